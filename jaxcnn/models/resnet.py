"""The residual networks for photographs: ResNet, ResNeXt and wide ResNet."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice

BLOCKS = {"basic": nn.BasicBlock, "bottleneck": nn.BottleneckBlock}
STEMS = ("imagenet", "cifar")


@register(name="resnet")
class ResNet(Network):
    """A stem, stages of residual blocks with 1×, 2×, 4×, … ``num_filters`` channels, and a head.

    Names and defaults are torchvision's: ``resnet18`` is ``resnet(stages=(2, 2, 2, 2), block="basic")``,
    11,689,512 parameters on 1,000 classes; ``resnet50`` 25,557,032. The stride of a bottleneck is on its 3×3
    convolution. Convolutions start He normal by fan-out, norms at scale 1 and bias 0, the head LeCun normal.
    With ``drop_path`` the probability grows linearly to that of the last block.

    Attributes:
      num_classes: logits.
      stages: blocks of each stage; every stage but the first halves the map.
      block: ``basic`` or ``bottleneck``.
      num_filters: channels of the first stage, before a bottleneck's expansion.
      groups, width: of a bottleneck's 3×3 convolution, see :class:`jaxcnn.nn.BottleneckBlock`.
      stem: ``imagenet``, a 7×7 convolution of stride 2 and 3×3 max pooling of stride 2; or ``cifar``, a 3×3
        convolution that keeps the size.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      head: ``pooled``, ``flatten`` (one input size), or a callable from the number of classes.
      drop_path: probability that the last block is left out for an example in training.
      zero_init: start every block as the identity.
      dtype: of the computation; parameters and logits are float32.

    References:
      He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016.
      Xie, Girshick, Dollár, Tu and He, Aggregated Residual Transformations, 2017.
      Zagoruyko and Komodakis, Wide Residual Networks, 2016.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("resnet50(num_filters=8)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    num_classes: int = 1000
    stages: Sequence[int] = (2, 2, 2, 2)
    block: str = "basic"
    num_filters: int = 64
    groups: int = 1
    width: float = 1.0
    stem: str = "imagenet"
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    head: Choice = "pooled"
    drop_path: float = 0.0
    zero_init: bool = False
    dtype: Any = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "num_filters", "groups"):
            arguments.whole(name, getattr(self, name))
        arguments.wholes("stages", self.stages)
        choices.pick("block", self.block, BLOCKS)
        choices.pick("stem", self.stem, dict.fromkeys(STEMS))
        if self.block == "basic" and (self.groups, self.width) != (1, 1.0):
            raise ValueError(
                f"groups={self.groups}, width={self.width}: basic blocks have neither; use bottleneck"
            )
        choices.norm(self.norm, self.num_filters)
        choices.activation(self.activation)
        choices.conv(self.conv)
        choices.pick("head", self.head, heads.HEADS)
        arguments.rate("drop_path", self.drop_path)
        arguments.flag("zero_init", self.zero_init)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        parts: dict[str, Any] = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype}
        wide: dict[str, Any] = {} if self.block == "basic" else {"groups": self.groups, "width": self.width}
        size, strides = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = nn.ConvNorm(self.num_filters, size, strides, name="stem", **parts)(x, train=train)
        x = choices.activation(self.activation)(x)
        if self.stem == "imagenet":
            x = nn.MaxPool(3, strides=2, padding=1)(x)
        total, done = sum(self.stages), 0
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                done += 1
                x = BLOCKS[self.block](
                    self.num_filters * 2**stage,
                    strides=2 if stage > 0 and block == 0 else 1,
                    activation=self.activation,
                    drop_path=self.drop_path * done / total,
                    zero_init=self.zero_init,
                    name=f"stage{stage + 1}_block{block + 1}",
                    **wide,
                    **parts,
                )(x, train=train)
        return heads.head(self.head, self.num_classes, name="head")(x, train=train)


_bottleneck = functools.partial(ResNet, block="bottleneck")
for _name, _builder in {
    "resnet18": functools.partial(ResNet, stages=(2, 2, 2, 2), block="basic"),
    "resnet34": functools.partial(ResNet, stages=(3, 4, 6, 3), block="basic"),
    "resnet50": functools.partial(_bottleneck, stages=(3, 4, 6, 3)),
    "resnet101": functools.partial(_bottleneck, stages=(3, 4, 23, 3)),
    "resnet152": functools.partial(_bottleneck, stages=(3, 8, 36, 3)),
    "resnext50_32x4d": functools.partial(_bottleneck, stages=(3, 4, 6, 3), groups=32, width=2.0),
    "resnext101_32x8d": functools.partial(_bottleneck, stages=(3, 4, 23, 3), groups=32, width=4.0),
    "resnext101_64x4d": functools.partial(_bottleneck, stages=(3, 4, 23, 3), groups=64, width=4.0),
    "wide_resnet50_2": functools.partial(_bottleneck, stages=(3, 4, 6, 3), width=2.0),
    "wide_resnet101_2": functools.partial(_bottleneck, stages=(3, 4, 23, 3), width=2.0),
}.items():
    register(_builder, name=_name)
