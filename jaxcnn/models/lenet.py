"""LeNet-5, the network that read cheques."""

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


@register
class LeNet5(Network):
    """LeNet-5, every map of C3 connected to every map of S2: 61,706 parameters on one channel and 10 classes.

    C1 6@5×5 – S2 average 2×2 – C3 16@5×5 – S4 average 2×2 – C5 120@5×5 – F6 84 – output. As in the paper C5
    is a convolution, so larger inputs work with the same parameters: the logits are the average over
    positions. Smaller inputs are centred in zeros up to 32 pixels, as the paper did with its digits.

    Unlike the paper, subsampling has no coefficients of its own, the activation is a plain tanh and the
    output is linear. Kernels start LeCun normal (variance 1/fan-in), biases at zero.

    Attributes:
      num_classes: logits.
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

    num_classes: int = 10
    activation: Choice = "tanh"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.whole("num_classes", self.num_classes)
        choices.activation(self.activation)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        activation = choices.activation(self.activation)
        margins = tuple(geometry.centre_padding(size, SIZE) for size in x.shape[1:-1])
        x = activation(nn.Conv(6, 5, padding=margins, dtype=self.dtype, name="c1")(x))
        x = nn.AvgPool(2, strides=2, name="s2")(x)
        x = activation(nn.Conv(16, 5, padding="VALID", dtype=self.dtype, name="c3")(x))
        x = nn.AvgPool(2, strides=2, name="s4")(x)
        x = activation(nn.Conv(120, 5, padding="VALID", dtype=self.dtype, name="c5")(x))
        x = activation(nn.Dense(84, dtype=self.dtype, name="f6")(x))
        return nn.PooledHead(self.num_classes, name="head")(x)
