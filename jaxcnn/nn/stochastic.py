"""Modules that draw from the rng collection ``dropout`` for :mod:`jaxcnn.ops.stochastic`.

``make_rng`` folds a module's path and its number of calls into the key, so no two blocks share a mask. With
``train=False`` or a rate of 0 a module is the identity and needs no key.
"""

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops


class _Drop(nn.Module):
    rate: float | Array = 0.5

    @nn.nowrap
    def _idle(self, train: bool) -> bool:
        return not train or (isinstance(self.rate, int | float) and self.rate == 0)


class Dropout(_Drop):
    """Module form of :func:`jaxcnn.ops.dropout`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = Dropout(0.5), jnp.ones((1, 50))
      >>> bool((layer.apply({}, x) == x).all())
      True
      >>> y = layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
      >>> sorted(set(y.ravel().tolist()))
      [0.0, 2.0]
    """

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        return x if self._idle(train) else ops.dropout(self.make_rng("dropout"), x, self.rate)


class SpatialDropout(_Drop):
    """Module form of :func:`jaxcnn.ops.spatial_dropout`."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        return x if self._idle(train) else ops.spatial_dropout(self.make_rng("dropout"), x, self.rate)


class DropPath(_Drop):
    """Module form of :func:`jaxcnn.ops.drop_path`, for the end of a residual branch."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        return x if self._idle(train) else ops.drop_path(self.make_rng("dropout"), x, self.rate)


class DropBlock(_Drop):
    """Module form of :func:`jaxcnn.ops.drop_block`."""

    block: int = 7

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        return x if self._idle(train) else ops.drop_block(self.make_rng("dropout"), x, self.rate, self.block)
