"""From the last feature maps to class scores, computed in float32 whatever the network's dtype."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcnn import ops
from jaxcnn.nn.choices import Choice, pick
from jaxcnn.nn.conv import Dense
from jaxcnn.nn.stochastic import Dropout

Initializer = jax.nn.initializers.Initializer


class PooledHead(nn.Module):
    """Global average pooling, then a dense layer: any input size, no parameter for any position.

    Attributes:
      num_classes: logits.
      dropout: rate before the dense layer.
      kernel_init: of the dense layer.

    Reference: Lin, Chen and Yan, Network In Network, 2014.

    Example:
      >>> PooledHead(10).init_with_output(jax.random.key(0), jnp.ones((2, 4, 4, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    dropout: float = 0.0
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Dropout(self.dropout)(ops.global_avg_pool(x.astype(jnp.float32)), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


class FlattenHead(nn.Module):
    """A dense layer over every position and channel: it fits one input size.

    Attributes:
      num_classes: logits.
      dropout: rate before the dense layer.
      kernel_init: of the dense layer.

    Example:
      >>> FlattenHead(10).init_with_output(jax.random.key(0), jnp.ones((2, 4, 4, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    dropout: float = 0.0
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Dropout(self.dropout)(x.astype(jnp.float32).reshape(x.shape[0], -1), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


HEADS: dict[str, Callable[..., nn.Module]] = {"pooled": PooledHead, "flatten": FlattenHead}


def head(choice: Choice, num_classes: int, **options: Any) -> nn.Module:
    """The head that a name of :data:`HEADS` means, or a callable makes from the number of classes."""
    return pick("head", choice, HEADS)(num_classes, **options)
