"""LeNet-5, the network that read cheques."""

import functools
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice
from jaxcnn.ops import geometry

SIZE = 32  # pixels, to which the paper centred its 20-pixel digits


TABLE = (
    # for each map of C3 the maps of S2 it reads: three neighbours, four neighbours, four in two pairs, all
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, i + 1, i + 3, (i + 4) % 6) for i in range(3)),
    tuple(range(6)),
)
"""Table I of the paper: 60 connections where 96 are possible, so that the maps have to differ."""


@register
class LeNet5(ConvNet, kw_only=True):
    """LeNet-5: 61,706 parameters on one channel and 10 classes with every map of C3 connected to all of S2.

    C1 6@5×5 – S2 2×2 – C3 16@5×5 – S4 2×2 – C5 120@5×5 – F6 84 – output. As in the paper C5 is a
    convolution, so larger inputs work with the same parameters: the logits are the average over positions.
    Smaller inputs are centred in zeros up to 32 pixels, as the paper did with its digits.

    ``lenet5_1998`` connects and subsamples as the paper, with its activation 1.7159 tanh(2x/3). Layer by
    layer it has the paper's 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000 parameters, and 850 in the
    output, which in the paper measures distances from codes drawn by hand and learns nothing.

    Kernels start LeCun normal (variance 1/fan-in, of which C3 has more or less by its table), biases at zero,
    the coefficients of learned subsampling at 1.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      connections: of C3 with S2, ``full``, or ``table``: those of :data:`TABLE`.
      subsampling: ``average``; or ``learned``: times a coefficient of each map, plus a bias, and activated.
      norm: behind each convolution.

    Reference: LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE, 1998.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> shapes = jax.eval_shape(models.create("lenet5").init, jax.random.key(0), jnp.ones((1, 28, 28, 1)))
      >>> sum(leaf.size for leaf in jax.tree.leaves(shapes))
      61706
    """

    least_size = SIZE
    input_shape = (28, 28, 1)

    num_classes: int = 10
    connections: str = "full"
    subsampling: str = "average"
    norm: Choice = "none"
    activation: Choice = "tanh"

    def __post_init__(self) -> None:
        choices.one_of("connections", self.connections, ("full", "table"))
        choices.one_of("subsampling", self.subsampling, ("average", "learned"))
        if self.connections == "table" and (self.width != 1 or self.conv != "conv"):
            raise ValueError(
                f"connections='table' is of 6 maps with 16 by plain kernels, not with width={self.width}, "
                f"conv={self.conv!r}; write connections='full'"
            )
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        margins = tuple(geometry.centre_padding(size, SIZE) for size in x.shape[1:-1])
        x = self._convolution(x, 6, "c1", train, padding=margins)
        x = self._subsample(x, "s2")
        x = self._convolution(x, 16, "c3", train)
        x = self._subsample(x, "s4")
        x = self._convolution(x, 120, "c5", train)
        x = nn.Dense(self.scaled(84), dtype=self.dtype, name="f6")(x)
        return self.scores(choices.activation(self.activation)(x), train)

    @linen.nowrap
    def _convolution(
        self, x: jax.Array, features: int, name: str, train: bool, padding: geometry.Padding = "VALID"
    ) -> jax.Array:
        options: dict[str, Any] = {"padding": padding, "use_bias": self.norm == "none", "dtype": self.dtype}
        if name == "c3" and self.connections == "table":
            x = nn.TableConv(TABLE, 5, name=name, **options)(x)
        else:
            x = choices.conv(self.conv)(self.scaled(features), 5, name=name, **options)(x)
        return choices.activation(self.activation)(self.normalized(x, train, f"{name}_norm"))

    @linen.nowrap
    def _subsample(self, x: jax.Array, name: str) -> jax.Array:
        x = nn.AvgPool(2, strides=2, name=name)(x)
        if self.subsampling == "average":
            return x
        ones = linen.initializers.ones
        scale = nn.DepthwiseConv(1, kernel_init=ones, dtype=self.dtype, name=f"{name}_scale")
        return choices.activation(self.activation)(scale(x))


register(
    functools.partial(LeNet5, connections="table", subsampling="learned", activation="scaled_tanh"),
    name="lenet5_1998",
)
