"""MobileNet v1: depthwise and 1×1 convolutions in turn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.mobile import MobileNetwork
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class Stage(NamedTuple):
    """Channels and number of blocks, and the strides of the first."""

    features: int
    blocks: int
    strides: int = 1


STAGES = (Stage(64, 1), Stage(128, 2, 2), Stage(256, 2, 2), Stage(512, 6, 2), Stage(1024, 2, 2))


class DepthwiseSeparable(linen.Module):
    """A depthwise 3×3 and a 1×1 convolution, each with norm and activation.

    Attributes:
      features: channels of the output.
      strides: of the depthwise convolution.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is the depthwise one.
      dtype: of the computation; None is that of the input.
    """

    features: int
    strides: int = 1
    norm: Choice = "batch"
    activation: Choice = "relu6"
    conv: Choice = "conv"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        activation, parts = choices.activation(self.activation), {"norm": self.norm, "dtype": self.dtype}
        channels = x.shape[-1]
        depthwise = nn.ConvNorm(
            channels, 3, self.strides, groups=channels, conv=self.conv, name="depthwise", **parts
        )
        x = activation(depthwise(x, train=train))
        return activation(nn.ConvNorm(self.features, 1, name="pointwise", **parts)(x, train=train))


TORCH_NAMES = {
    "timm": (
        Rule("stem/conv", "conv_stem"),
        Rule("stem/norm", "bn1"),
        Rule(r"stage(\d+)_block(\d+)", "blocks/{1:n-1}/{2:n-1}"),
        Rule("depthwise/conv", "conv_dw"),
        Rule("depthwise/norm", "bn1"),
        Rule("pointwise/conv", "conv_pw"),
        Rule("pointwise/norm", "bn2"),
        Rule("head/dense", "classifier"),
    ),
}


@register(name="mobilenet_v1")
class MobileNetV1(MobileNetwork, kw_only=True):
    """MobileNet v1: a strided stem, 13 pairs of depthwise and 1×1 convolutions, and a head.

    ``mobilenet_v1`` has the 4,231,976 parameters of timm's ``mobilenetv1_100`` on 1,000 classes, and like it
    and the authors' code it clips activations at 6. Convolutions start He normal by fan-out, norms at scale 1
    and bias 0, the head normal with deviation 0.01.

    Attributes: those of :class:`jaxcnn.models.mobile.MobileNetwork`, ``width`` being α of the paper, and
      stages: (channels, blocks, strides of the first) of each.

    Reference: Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications, 2017.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("mobilenet_v1(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    stages: Sequence[Sequence[int]] = STAGES
    activation: Choice = "relu6"

    def __post_init__(self) -> None:
        arguments.rows("stages", self.stages, Stage)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.begin(x, 32, train)
        for number, row in enumerate(self.stages, start=1):
            stage = Stage(*row)
            for block in range(1, stage.blocks + 1):
                x = DepthwiseSeparable(
                    self.scaled(stage.features),
                    stage.strides if block == 1 else 1,
                    name=f"stage{number}_block{block}",
                    **self.parts,
                )(x, train=train)
        return self.scores(x, train, dropout=self.dropout, kernel_init=linen.initializers.normal(0.01))
