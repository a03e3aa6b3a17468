"""LeNet-5, the network that read cheques."""

import functools
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
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
class LeNet5(Network):
    """LeNet-5: 61,706 parameters on one channel and 10 classes with every map of C3 connected to all of S2.

    C1 6@5×5 – S2 2×2 – C3 16@5×5 – S4 2×2 – C5 120@5×5 – F6 84 – output. As in the paper C5 is a
    convolution, so larger inputs work with the same parameters: the logits are the average over positions.
    Smaller inputs are centred in zeros up to 32 pixels, as the paper did with its digits.

    ``lenet5_1998`` connects and subsamples as the paper, with its activation 1.7159 tanh(2x/3). Layer by
    layer it has the paper's 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000 parameters, and 850 in the
    output, which in the paper measures distances from codes drawn by hand and learns nothing.

    Kernels start LeCun normal (variance 1/fan-in, of which C3 has more or less by its table), biases at zero,
    the coefficients of learned subsampling at 1.

    Attributes:
      num_classes: logits.
      connections: of C3 with S2, ``full``, or ``table``: those of :data:`TABLE`.
      subsampling: ``average``; or ``learned``: times a coefficient of each map, plus a bias, and activated.
      activation: see :mod:`jaxcnn.nn.choices`.
      dtype: of the computation; parameters and logits are float32.

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

    num_classes: int = 10
    connections: str = "full"
    subsampling: str = "average"
    activation: Choice = "tanh"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        choices.one_of("connections", self.connections, ("full", "table"))
        choices.one_of("subsampling", self.subsampling, ("average", "learned"))
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        activation = choices.activation(self.activation)
        margins = tuple(geometry.centre_padding(size, SIZE) for size in x.shape[1:-1])
        x = activation(nn.Conv(6, 5, padding=margins, dtype=self.dtype, name="c1")(x))
        x = self._subsample(x, "s2")
        c3: dict[str, Any] = {"padding": "VALID", "dtype": self.dtype, "name": "c3"}
        full = self.connections == "full"
        x = activation((nn.Conv(16, 5, **c3) if full else nn.TableConv(TABLE, 5, **c3))(x))
        x = self._subsample(x, "s4")
        x = activation(nn.Conv(120, 5, padding="VALID", dtype=self.dtype, name="c5")(x))
        x = activation(nn.Dense(84, dtype=self.dtype, name="f6")(x))
        return nn.PooledHead(self.num_classes, name="head")(x)

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
