"""The residual networks for small images."""

import functools
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice

STAGES = 3
DEPTHS = (8, 14, 20, 32, 44, 56, 110)


@register(name="resnet_cifar")
class CifarResNet(Network):
    """A residual network of 6n + 2 layers: a 3×3 stem and three stages of n basic blocks, then the head.

    Stages have 1×, 2× and 4× ``num_filters`` channels and the second and third halve the map. Any image of
    one to three spatial axes and any size fits the ``pooled`` head. Convolutions start He normal by fan-out,
    norms at scale 1 and bias 0, the head LeCun normal with bias 0. With ``drop_path`` the probability grows
    linearly to that of the last block.

    ``resnet20`` is ``resnet_cifar(depth=20)``: 269,722 parameters on 3 channels and 10 classes, or 272,474
    with ``shortcut="projection"``.

    Attributes:
      num_classes: logits.
      depth: layers with weights, counted along f: 6n + 2.
      num_filters: channels of the first stage.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      shortcut: where the shape changes, ``pad`` (the paper's) or ``projection``.
      head: ``pooled``, ``flatten`` (one input size), or a callable from the number of classes.
      drop_path: probability that the last block is left out for an example in training.
      zero_init: start every block as the identity.
      dtype: of the computation; parameters and logits are float32.

    References:
      He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016, section 4.2.
      Huang, Sun, Liu, Sedra and Weinberger, Deep Networks with Stochastic Depth, 2016.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("resnet20(num_filters=4)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 8, 8, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 9, 9, 3))).shape
      (2, 5)
    """

    num_classes: int = 10
    depth: int = 20
    num_filters: int = 16
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    shortcut: str = "pad"
    head: Choice = "pooled"
    drop_path: float = 0.0
    zero_init: bool = False
    dtype: Any = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "depth", "num_filters"):
            arguments.whole(name, getattr(self, name))
        if self.depth < 8 or self.depth % 6 != 2:
            raise ValueError(f"depth={self.depth}: expected 6n + 2, e.g. {', '.join(map(str, DEPTHS))}")
        choices.norm(self.norm, self.num_filters)
        choices.activation(self.activation)
        choices.conv(self.conv)
        if choices.shortcut(self.shortcut) == "identity":
            raise ValueError("shortcut='identity' cannot change shapes between stages; use pad or projection")
        choices.pick("head", self.head, heads.HEADS)
        arguments.rate("drop_path", self.drop_path)
        arguments.flag("zero_init", self.zero_init)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        parts: dict[str, Any] = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype}
        x = nn.ConvNorm(self.num_filters, name="stem", **parts)(x, train=train)
        x = choices.activation(self.activation)(x)
        blocks = (self.depth - 2) // 6
        for stage in range(STAGES):
            for block in range(blocks):
                x = nn.BasicBlock(
                    self.num_filters * 2**stage,
                    strides=2 if stage > 0 and block == 0 else 1,
                    activation=self.activation,
                    shortcut=self.shortcut,
                    drop_path=self.drop_path * (stage * blocks + block + 1) / (STAGES * blocks),
                    zero_init=self.zero_init,
                    name=f"stage{stage + 1}_block{block + 1}",
                    **parts,
                )(x, train=train)
        return heads.head(self.head, self.num_classes, name="head")(x, train=train)


for _depth in DEPTHS:
    register(functools.partial(CifarResNet, depth=_depth), name=f"resnet{_depth}")
