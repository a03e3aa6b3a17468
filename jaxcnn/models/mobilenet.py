"""MobileNet v2: inverted residuals with depthwise convolutions."""

from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice

SETTING = (
    # expansion, channels, blocks, strides of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

TORCH_NAMES = {
    "torchvision": (
        Rule("(stem|last|expand|depthwise)/conv", "{1}/0"),
        Rule("(stem|last|expand|depthwise)/norm", "{1}/1"),
        Rule(("stem", r"stage\d+_block\d+", "last"), "features/{#}"),
        Rule(("expand", "depthwise", "project/conv", "project/norm"), "conv/{#}"),
        Rule("head/dense", "classifier/1"),
    ),
    "timm": (
        Rule("stem/conv", "conv_stem"),
        Rule("stem/norm", "bn1"),
        Rule("last/conv", "conv_head"),
        Rule("last/norm", "bn2"),
        Rule(r"stage(\d+)_block(\d+)", "blocks/{1:n-1}/{2:n-1}"),
        Rule("depthwise/conv", "conv_dw"),
        Rule(("expand/conv", "project/conv"), lambda match, count: ("conv_pw", "conv_pwl")[count]),
        Rule(("expand/norm", "depthwise/norm", "project/norm"), "bn{#:n+1}"),
        Rule("head/dense", "classifier"),
    ),
}


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of ``by``, but not more than a tenth below ``channels``.

    >>> divisible(32 * 0.35), divisible(24 * 0.75)
    (16, 24)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


@register(name="mobilenet_v2")
class MobileNetV2(Network):
    """MobileNet v2: a strided stem, 17 inverted residuals, a 1×1 convolution to 1,280 channels, and a head.

    ``mobilenet_v2`` has torchvision's 3,504,872 parameters on 1,000 classes. Convolutions start He normal by
    fan-out, norms at scale 1 and bias 0, the head normal with deviation 0.01.

    Attributes:
      num_classes: logits.
      width: multiplies every number of channels, rounded to multiples of 8.
      setting: (expansion, channels, blocks, strides) of each stage.
      dropout: rate before the head's dense layer.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is that of the depthwise convolutions.
      head: ``pooled``, ``flatten`` (one input size), or a callable from the number of classes.
      drop_path: probability that the last block is left out for an example in training.
      dtype: of the computation; parameters and logits are float32.

    Reference: Sandler, Howard, Zhu, Zhmoginov and Chen, MobileNetV2: Inverted Residuals and Linear
    Bottlenecks, 2018.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("mobilenet_v2(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    num_classes: int = 1000
    width: float = 1.0
    setting: Sequence[Sequence[int]] = SETTING
    dropout: float = 0.2
    norm: Choice = "batch"
    activation: Choice = "relu6"
    conv: Choice = "conv"
    head: Choice = "pooled"
    drop_path: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        for i, stage in enumerate(self.setting):
            arguments.wholes(f"setting[{i}]", stage)
            if len(stage) != 4:
                raise ValueError(f"setting[{i}]={stage!r}: expected (expansion, channels, blocks, strides)")
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        activation = choices.activation(self.activation)
        parts: dict[str, Any] = {"norm": self.norm, "dtype": self.dtype}
        x = activation(nn.ConvNorm(divisible(32 * self.width), 3, 2, name="stem", **parts)(x, train=train))
        total, done = sum(blocks for _, _, blocks, _ in self.setting), 0
        for stage, (expansion, channels, blocks, strides) in enumerate(self.setting):
            for block in range(blocks):
                done += 1
                x = nn.InvertedResidual(
                    divisible(channels * self.width),
                    x.shape[-1] * expansion,
                    strides=strides if block == 0 else 1,
                    activation=self.activation,
                    conv=self.conv,
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage + 1}_block{block + 1}",
                    **parts,
                )(x, train=train)
        last = divisible(1280 * max(1.0, self.width))
        x = activation(nn.ConvNorm(last, 1, name="last", **parts)(x, train=train))
        head = heads.head(
            self.head,
            self.num_classes,
            dropout=self.dropout,
            kernel_init=linen.initializers.normal(0.01),
            name="head",
        )
        return head(x, train=train)
