"""MobileNet v3: inverted residuals with gates, found by search."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.mobile import MobileNetwork, divisible
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class Block(NamedTuple):
    """A row of the paper's tables: the arguments of an inverted residual."""

    kernel_size: int
    inner: int
    features: int
    gated: bool
    early: bool  # with the cheap activation of large maps
    strides: int = 1


LARGE = (
    (Block(3, 16, 16, False, True),),
    (Block(3, 64, 24, False, True, 2), Block(3, 72, 24, False, True)),
    (Block(5, 72, 40, True, True, 2), *2 * (Block(5, 120, 40, True, True),)),
    (
        Block(3, 240, 80, False, False, 2),
        Block(3, 200, 80, False, False),
        *2 * (Block(3, 184, 80, False, False),),
    ),
    (Block(3, 480, 112, True, False), Block(3, 672, 112, True, False)),
    (Block(5, 672, 160, True, False, 2), *2 * (Block(5, 960, 160, True, False),)),
)
SMALL = (
    (Block(3, 16, 16, True, True, 2),),
    (Block(3, 72, 24, False, True, 2), Block(3, 88, 24, False, True)),
    (Block(5, 96, 40, True, False, 2), *2 * (Block(5, 240, 40, True, False),)),
    (Block(5, 120, 48, True, False), Block(5, 144, 48, True, False)),
    (Block(5, 288, 96, True, False, 2), *2 * (Block(5, 576, 96, True, False),)),
)

TORCH_NAMES = {
    "torchvision": (
        Rule(("stem", r"stage\d+_block\d+", "last"), "features/{#}"),
        Rule(("expand", "depthwise", "squeeze_excite", "project"), "block/{#}"),
        Rule("squeeze", "fc1", Layout(ones=2)),
        Rule("excite", "fc2", Layout(ones=2)),
        Rule("conv", "0"),
        Rule("norm", "1"),
        Rule("head/hidden1", "classifier/0", Layout(flat=True)),
        Rule("head/dense", "classifier/3"),
    ),
    "timm": (
        Rule("stem/conv", "conv_stem"),
        Rule("stem/norm", "bn1"),
        Rule(r"stage(\d+)_block(\d+)", "stage{1}/{2:n-1}"),
        Rule("last/conv", "last/0/conv"),
        Rule("last/norm", "last/0/bn1"),
        Rule((r"stage\d+", "last"), "blocks/{#}"),
        Rule("depthwise/conv", "conv_dw"),
        Rule(("expand/conv", "project/conv"), lambda match, count: ("conv_pw", "conv_pwl")[count]),
        Rule(("expand/norm", "depthwise/norm", "project/norm"), "bn{#:n+1}"),
        Rule("squeeze_excite/squeeze", "se/conv_reduce", Layout(ones=2)),
        Rule("squeeze_excite/excite", "se/conv_expand", Layout(ones=2)),
        Rule("head/hidden1", "conv_head"),
        Rule("head/dense", "classifier"),
    ),
}
TORCH_OPTIONS = {
    "torchvision": {"epsilon": 1e-3, "momentum": 0.99},
    "timm": {"epsilon": 1e-5, "momentum": 0.9},
}


@register(name="mobilenet_v3")
class MobileNetV3(MobileNetwork, kw_only=True):
    """MobileNet v3: a strided stem, gated inverted residuals, a 1×1 convolution, one hidden layer, scores.

    Names and sizes are torchvision's: ``mobilenet_v3_large`` has 5,483,032 parameters on 1,000 classes,
    ``mobilenet_v3_small`` 2,542,856. Convolutions start He normal by fan-out, norms at scale 1 and bias 0,
    gates LeCun normal, the dense layers normal with deviation 0.01. Weights of timm go with ``epsilon=1e-5,
    momentum=0.9``.

    Attributes: those of :class:`jaxcnn.models.mobile.MobileNetwork`, and
      stages: the blocks of each stage, each (kernel size, inner channels, channels, gated, early, strides).
      hidden: units of the layer before the scores, of the ``fc`` head.
      early_activation: of the blocks at the start that are marked ``early``.
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`.

    Reference: Howard et al., Searching for MobileNetV3, 2019.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("mobilenet_v3_small(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES
    torch_options = TORCH_OPTIONS

    stages: Sequence[Sequence[Sequence[Any]]] = LARGE
    hidden: int = 1280
    dropout: float = 0.2
    activation: Choice = "hard_swish"
    early_activation: Choice = "relu"
    epsilon: float = 1e-3
    momentum: float = 0.99
    head: Choice = "fc"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        arguments.whole("hidden", self.hidden)
        choices.activation(self.early_activation)
        arguments.listed("stages", self.stages)
        for i, blocks in enumerate(self.stages):
            arguments.rows(f"stages[{i}]", blocks, Block)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.begin(x, 16, train)
        total, done = sum(map(len, self.stages)), 0
        for stage, blocks in enumerate(self.stages, start=1):
            for number, row in enumerate(blocks, start=1):
                block, done = Block(*row), done + 1
                inner = self.scaled(block.inner)
                early = {"activation": self.early_activation} if block.early else {}
                x = nn.InvertedResidual(
                    self.scaled(block.features),
                    inner,
                    block.kernel_size,
                    block.strides,
                    squeeze=divisible(inner // 4) if block.gated else 0,
                    gate="hard_sigmoid",
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage}_block{number}",
                    **self.parts | early,
                )(x, train=train)
        x = self.widen(x, 6 * x.shape[-1], train)
        fc = {"size": 1} | self.hidden_layers([self.hidden])
        normal = linen.initializers.normal(0.01)
        return self.scores(x, train, fc=fc, dropout=self.dropout, kernel_init=normal)


register(functools.partial(MobileNetV3, stages=LARGE, hidden=1280), name="mobilenet_v3_large")
register(functools.partial(MobileNetV3, stages=SMALL, hidden=1024), name="mobilenet_v3_small")
