"""Heads that keep positions, computed in float32 whatever the network's dtype."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcnn.nn import choices
from jaxcnn.nn.blocks import ConvNorm
from jaxcnn.nn.choices import Choice
from jaxcnn.nn.conv import Dense
from jaxcnn.nn.initializers import Initializer
from jaxcnn.nn.stochastic import Dropout


class DenseHead(nn.Module):
    """Scores at every position: a 1×1 convolution.

    Attributes:
      num_classes: logits at every position.
      dropout: rate before the dense layer.
      kernel_init: of the dense layer.

    Example:
      >>> jax.eval_shape(DenseHead(10).init_with_output, jax.random.key(0), jnp.ones((2, 5, 4, 8)))[0].shape
      (2, 5, 4, 10)
    """

    num_classes: int
    dropout: float = 0.0
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Dropout(self.dropout)(x.astype(jnp.float32), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


class LastHead(nn.Module):
    """Scores of the last time of a sequence (n, length, channels), where a causal network has heard it all.

    Called with ``lengths`` (n), of sequences that are padded to one length, it reads the last time of each.

    Attributes: those of :class:`DenseHead`.

    Example:
      >>> jax.eval_shape(LastHead(10).init_with_output, jax.random.key(0), jnp.ones((2, 5, 8)))[0].shape
      (2, 10)
    """

    num_classes: int
    dropout: float = 0.0
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, lengths: jax.Array | None = None) -> jax.Array:
        if x.ndim != 3:
            raise ValueError(f"head='last': expected a sequence (n, length, channels), not {x.shape}")
        x = x[:, -1] if lengths is None else x[jnp.arange(x.shape[0]), lengths - 1]
        x = Dropout(self.dropout)(x.astype(jnp.float32), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)


class FCNHead(nn.Module):
    """A 3×3 convolution to a quarter of the channels with norm and activation, then scores at every position.

    Attributes:
      num_classes: logits at every position.
      dropout: rate before the scores.
      norm, activation: see :mod:`jaxcnn.nn.choices`.
      kernel_init: of the layer that scores.
      dtype: of the convolution.

    Reference: Long, Shelhamer and Darrell, Fully Convolutional Networks for Semantic Segmentation, 2015.

    Example:
      >>> jax.eval_shape(FCNHead(10).init_with_output, jax.random.key(0), jnp.ones((2, 5, 4, 8)))[0].shape
      (2, 5, 4, 10)
    """

    num_classes: int
    dropout: float = 0.1
    norm: Choice = "batch"
    activation: Choice = "relu"
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = ConvNorm(max(x.shape[-1] // 4, 1), norm=self.norm, dtype=self.dtype, name="conv")
        x = choices.activation(self.activation)(conv(x, train=train))
        x = Dropout(self.dropout)(x.astype(jnp.float32), train=train)
        return Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name="dense")(x)
