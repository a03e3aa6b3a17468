"""DenseNet: every layer reads all before it."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.stem import stem
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

he_normal = linen.initializers.he_normal()
_RULES = (
    Rule("stem/conv", "features/conv0"),
    Rule("stem/norm", "features/norm0"),
    Rule(r"stage(\d+)_block(\d+)", "features/denseblock{1}/denselayer{2}"),
    Rule(r"conv(\d)/(conv|norm)", "{2}{1}"),
    Rule(r"transition\d+", "features/{0}"),
    Rule("^norm", "features/norm5"),
    Rule("head/dense", "classifier"),
)
TORCH_NAMES: Mapping[str, Sequence[Rule]] = {"torchvision": _RULES, "timm": _RULES}


class NormConv(linen.Module):
    """Normalization, activation, convolution without bias: the order of :class:`jaxcnn.nn.ConvNorm` reversed.

    Attributes:
      features: channels of the output.
      kernel_size: odd, with zeros around that keep the size.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      dtype: of the computation; None is that of the input.
    """

    features: int
    kernel_size: int = 1
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = choices.normalized(self.norm, x, train, dtype=self.dtype, name="norm")
        x = choices.activation(self.activation)(x)
        return choices.conv(self.conv)(
            self.features,
            self.kernel_size,
            padding=self.kernel_size // 2,
            use_bias=self.norm == "none",
            kernel_init=he_normal,
            dtype=self.dtype,
            name="conv",
        )(x)


class DenseBlock(linen.Module):
    """The input, and behind its channels ``growth_rate`` new ones: 1×1 down, then 3×3.

    Attributes:
      growth_rate: channels that are added.
      bottleneck: channels between the two convolutions, as a multiple of ``growth_rate``.
      dropout: rate at the new channels.
      options: norm, activation, conv and dtype of both, see :class:`NormConv`.
    """

    growth_rate: int
    bottleneck: int
    dropout: float
    options: dict[str, Any]

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = NormConv(self.bottleneck * self.growth_rate, 1, **self.options, name="conv1")(x, train=train)
        y = NormConv(self.growth_rate, 3, **self.options, name="conv2")(y, train=train)
        return jnp.concatenate([x, nn.Dropout(self.dropout, name="dropout")(y, train=train)], axis=-1)


@register(name="densenet")
class DenseNet(ConvNet, kw_only=True):
    """A stem, stages of dense blocks with transitions between them that halve channels and map, and a head.

    Names and sizes are torchvision's: ``densenet121`` has 7,978,856 parameters on 1,000 classes. Convolutions
    start He normal by fan-in as the paper's, norms at scale 1 and bias 0, the head LeCun normal.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      stages: dense blocks of each stage.
      growth_rate: channels that each of them adds.
      num_filters: channels of the stem.
      bottleneck: channels inside a block, as a multiple of ``growth_rate``.
      stem: see :func:`jaxcnn.models.stem.stem`.
      dropout: rate at the channels that a block adds.

    Reference: Huang, Liu, van der Maaten and Weinberger, Densely Connected Convolutional Networks, 2017.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("densenet(stages=[2, 2], growth_rate=4, num_filters=8)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 48, 40, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    stages: Sequence[int] = (6, 12, 24, 16)
    growth_rate: int = 32
    num_filters: int = 64
    bottleneck: int = 4
    stem: Choice = "imagenet"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        arguments.wholes("stages", self.stages)
        for name in ("growth_rate", "num_filters", "bottleneck"):
            arguments.whole(name, getattr(self, name))
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        options = self.parts
        x = stem(self.stem, x, self.scaled(self.num_filters), train=train, kernel_init=he_normal, **options)
        for stage, blocks in enumerate(self.stages, start=1):
            if stage > 1:
                x = NormConv(x.shape[-1] // 2, 1, **options, name=f"transition{stage - 1}")(x, train=train)
                x = nn.AvgPool(2)(x)
            for block in range(1, blocks + 1):
                x = DenseBlock(
                    self.scaled(self.growth_rate),
                    self.bottleneck,
                    self.dropout,
                    options,
                    name=f"stage{stage}_block{block}",
                )(x, train=train)
        return self.scores(choices.activation(self.activation)(self.normalized(x, train)), train)


for _name, _stages, _growth_rate, _filters in (
    ("densenet121", (6, 12, 24, 16), 32, 64),
    ("densenet161", (6, 12, 36, 24), 48, 96),
    ("densenet169", (6, 12, 32, 32), 32, 64),
    ("densenet201", (6, 12, 48, 32), 32, 64),
):
    register(
        functools.partial(DenseNet, stages=_stages, growth_rate=_growth_rate, num_filters=_filters),
        name=_name,
    )
