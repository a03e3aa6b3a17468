"""From the last feature maps to class scores, computed in float32 whatever the network's dtype."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice, activation, pick
from jaxcnn.nn.conv import Conv, Dense
from jaxcnn.nn.dense_heads import DenseHead, FCNHead, LastHead
from jaxcnn.nn.initializers import as_dense
from jaxcnn.nn.pool import AdaptiveAvgPool, GlobalAvgPool
from jaxcnn.nn.stochastic import Dropout

Initializer = jax.nn.initializers.Initializer


class PooledHead(nn.Module):
    """Global average pooling, then a dense layer: any input size, no parameter for any position.

    Attributes:
      num_classes: logits.
      dropout: rate before the dense layer.
      norm: behind the pooling, see :mod:`jaxcnn.nn.choices`.
      kernel_init: of the dense layer.

    Reference: Lin, Chen and Yan, Network In Network, 2014.

    Example:
      >>> jax.eval_shape(PooledHead(10).init_with_output, jax.random.key(0), jnp.ones((2, 4, 4, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    dropout: float = 0.0
    norm: Choice = "none"
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = GlobalAvgPool(name="pool")(x.astype(jnp.float32))
        x = choices.normalized(self.norm, x, train, name="norm")
        x = Dropout(self.dropout)(x, train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


class FlattenHead(nn.Module):
    """A dense layer over every position and channel: it fits one input size.

    Attributes:
      num_classes: logits.
      dropout: rate before the dense layer.
      kernel_init: of the dense layer.

    Example:
      >>> jax.eval_shape(FlattenHead(10).init_with_output, jax.random.key(0), jnp.ones((2, 4, 4, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    dropout: float = 0.0
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Dropout(self.dropout)(x.astype(jnp.float32).reshape(x.shape[0], -1), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


class FullyConnectedHead(nn.Module):
    """Dense layers over a map of one size, which adaptive average pooling makes of every size.

    The first layer reads the whole map, so it is a convolution with a kernel of that size; the others read
    one position. Dropout follows each hidden layer.

    Attributes:
      num_classes: logits.
      size: the map is pooled to this many positions on each spatial axis.
      hidden: units of each hidden layer.
      dropout: rate behind each hidden layer.
      activation: of the hidden layers, see :mod:`jaxcnn.nn.choices`.
      kernel_init, bias_init: of the hidden layers; the last has ``kernel_init`` and no bias at first.
      dtype: of the hidden layers.

    Reference: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, 2012.

    Example:
      >>> head = FullyConnectedHead(10, size=2, hidden=(16,))
      >>> y, variables = jax.eval_shape(head.init_with_output, jax.random.key(0), jnp.ones((2, 5, 4, 8)))
      >>> y.shape, variables["params"]["hidden1"]["kernel"].shape
      ((2, 10), (2, 2, 8, 16))
    """

    num_classes: int
    size: int = 7
    hidden: Sequence[int] = (4096, 4096)
    dropout: float = 0.5
    activation: Choice = "relu"
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = AdaptiveAvgPool(self.size)(x)
        inits: dict[str, Any] = {"kernel_init": as_dense(self.kernel_init), "bias_init": self.bias_init}
        for i, units in enumerate(self.hidden, start=1):
            taps = self.size if i == 1 else 1
            x = Conv(units, taps, padding="VALID", dtype=self.dtype, **inits, name=f"hidden{i}")(x)
            x = Dropout(self.dropout)(activation(self.activation)(x), train=train)
        x = x.astype(jnp.float32).reshape(x.shape[0], -1)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


HEADS: dict[str, Callable[..., nn.Module]] = {
    "dense": DenseHead,
    "fc": FullyConnectedHead,
    "fcn": FCNHead,
    "flatten": FlattenHead,
    "last": LastHead,
    "pooled": PooledHead,
}


def head(choice: Choice, num_classes: int, **options: Any) -> nn.Module:
    """The head that a name of :data:`HEADS` means, or a callable makes from the number of classes."""
    return pick("head", choice, HEADS)(num_classes, **options)
