"""The residual networks for small images."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen

from jaxcnn.models import arguments
from jaxcnn.models.registry import register
from jaxcnn.models.residual import BLOCKS, ResidualNetwork
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

STAGES = 3
LAYERS = {"basic": 2, "bottleneck": 3}  # of each block
DEPTHS = (8, 14, 20, 32, 44, 56, 110)


@register(name="resnet_cifar")
class CifarResNet(ResidualNetwork, kw_only=True):
    """A residual network of 6n + 2 layers: a 3×3 stem and three stages of n basic blocks, then the head.

    ``resnet20`` is ``resnet_cifar(depth=20)``: 269,722 parameters on 3 channels and 10 classes, or 272,474
    with ``shortcut="projection"``. ``preact_resnet20`` is ``resnet_cifar(depth=20, order="pre")``, which
    moves every norm and so has as many; ``preact_resnet164`` has bottlenecks, 9n + 2 layers, and projections.
    ``wide_resnet28_10``, 36,479,194 parameters, is ``resnet_cifar(depth=26, num_filters=160, stem_filters=16,
    order="pre", shortcut="projection")``: its name counts the projections. For initialization see
    :class:`jaxcnn.models.residual.ResidualNetwork`.

    Attributes: those of :class:`jaxcnn.models.residual.ResidualNetwork`, with defaults of the paper's section
    4.2, and
      depth: layers with weights, counted along f: 6n + 2, or 9n + 2 with bottlenecks.
      block: ``basic`` or ``bottleneck``.

    References:
      He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016, section 4.2.
      He, Zhang, Ren and Sun, Identity Mappings in Deep Residual Networks, 2016 (order).
      Zagoruyko and Komodakis, Wide Residual Networks, 2016.
      Huang, Sun, Liu, Sedra and Weinberger, Deep Networks with Stochastic Depth, 2016 (drop path).

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("resnet20(num_filters=4)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 8, 8, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 9, 9, 3))).shape
      (2, 5)
    """

    input_shape = (32, 32, 3)

    num_classes: int = 10
    num_filters: int = 16
    stem: Choice = "cifar"
    shortcut: str = "pad"
    depth: int = 20
    block: str = "basic"

    def __post_init__(self) -> None:
        arguments.whole("depth", self.depth)
        choices.one_of("block", self.block, tuple(BLOCKS))
        step = STAGES * LAYERS[self.block]
        if self.depth < step + 2 or self.depth % step != 2:
            examples = DEPTHS if self.block == "basic" else (11, 29, 164)
            raise ValueError(
                f"depth={self.depth}: expected {step}n + 2, e.g. {', '.join(map(str, examples))}"
            )
        super().__post_init__()

    @linen.nowrap
    def plan(self) -> tuple[Sequence[int], Callable[..., Any], dict[str, Any]]:
        return ((self.depth - 2) // (STAGES * LAYERS[self.block]),) * STAGES, BLOCKS[self.block], {}


for _depth in DEPTHS:
    register(functools.partial(CifarResNet, depth=_depth), name=f"resnet{_depth}")
    register(functools.partial(CifarResNet, depth=_depth, order="pre"), name=f"preact_resnet{_depth}")
register(
    functools.partial(CifarResNet, depth=164, block="bottleneck", shortcut="projection", order="pre"),
    name="preact_resnet164",
)
for _depth, _width in ((16, 4), (28, 10), (40, 2)):
    register(
        functools.partial(
            CifarResNet,
            depth=_depth - 2,  # the paper counts the projections, and not the dense layer
            num_filters=16 * _width,
            stem_filters=16,
            shortcut="projection",
            order="pre",
        ),
        name=f"wide_resnet{_depth}_{_width}",
    )
