"""MobileNet v3: inverted residuals with gates, found by search."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.mobilenet import divisible
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices, heads
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
class MobileNetV3(Network):
    """MobileNet v3: a strided stem, gated inverted residuals, a 1×1 convolution, one hidden layer, scores.

    Names and sizes are torchvision's: ``mobilenet_v3_large`` has 5,483,032 parameters on 1,000 classes,
    ``mobilenet_v3_small`` 2,542,856. Convolutions start He normal by fan-out, norms at scale 1 and bias 0,
    gates LeCun normal, the dense layers normal with deviation 0.01. Weights of timm go with ``epsilon=1e-5,
    momentum=0.9``.

    Attributes:
      num_classes: logits.
      width: multiplies every number of channels, rounded to multiples of 8.
      stages: the blocks of each stage, each (kernel size, inner channels, channels, gated, early, strides).
      hidden: units of the layer before the scores, of the ``fc`` head.
      dropout: rate before the last layer.
      norm, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is that of the depthwise convolutions.
      epsilon, momentum: of batch normalization, as in :class:`jaxcnn.nn.BatchNorm`.
      activation, early_activation: of most blocks, and of those at the start marked ``early``.
      head: ``fc``, ``pooled``, ``flatten`` (one input size), or a callable from the number of classes.
      drop_path: probability that the last block is left out for an example in training.
      dtype: of the computation; parameters and logits are float32.

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

    num_classes: int = 1000
    width: float = 1.0
    stages: Sequence[Sequence[Sequence[Any]]] = LARGE
    hidden: int = 1280
    dropout: float = 0.2
    norm: Choice = "batch"
    activation: Choice = "hard_swish"
    early_activation: Choice = "relu"
    conv: Choice = "conv"
    epsilon: float = 1e-3
    momentum: float = 0.99
    head: Choice = "fc"
    drop_path: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        arguments.whole("hidden", self.hidden)
        choices.activation(self.early_activation)
        for i, blocks in enumerate(self.stages):
            arguments.rows(f"stages[{i}]", blocks, Block)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        norm = choices.tuned(self.norm, epsilon=self.epsilon, momentum=self.momentum)
        parts: dict[str, Any] = {"norm": norm, "dtype": self.dtype}
        activation = choices.activation(self.activation)
        x = activation(nn.ConvNorm(divisible(16 * self.width), 3, 2, name="stem", **parts)(x, train=train))
        total, done = sum(map(len, self.stages)), 0
        for stage, blocks in enumerate(self.stages, start=1):
            for number, row in enumerate(blocks, start=1):
                block, done = Block(*row), done + 1
                inner = divisible(block.inner * self.width)
                x = nn.InvertedResidual(
                    divisible(block.features * self.width),
                    inner,
                    block.kernel_size,
                    block.strides,
                    squeeze=divisible(inner // 4) if block.gated else 0,
                    activation=self.early_activation if block.early else self.activation,
                    gate="hard_sigmoid",
                    conv=self.conv,
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage}_block{number}",
                    **parts,
                )(x, train=train)
        x = activation(nn.ConvNorm(6 * x.shape[-1], 1, name="last", **parts)(x, train=train))
        options: dict[str, Any] = {}
        if self.head == "fc":
            options = {"size": 1, "hidden": (self.hidden,), "activation": activation, "dtype": self.dtype}
        normal = linen.initializers.normal(0.01)
        options |= {"dropout": self.dropout, "kernel_init": normal}
        return heads.head(self.head, self.num_classes, name="head", **options)(x, train=train)


register(functools.partial(MobileNetV3, stages=LARGE, hidden=1280), name="mobilenet_v3_large")
register(functools.partial(MobileNetV3, stages=SMALL, hidden=1024), name="mobilenet_v3_small")
