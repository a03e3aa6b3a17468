"""Modules over pooling; only :class:`WeightedPool` owns parameters."""

from collections.abc import Sequence
from math import prod
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import Dtype
from jaxcnn.ops.geometry import Padding, spatial_tuple


class _Pool(nn.Module):
    """A window that slides: arguments as of :func:`jaxcnn.ops.max_pool`."""

    window: int | Sequence[int]
    strides: int | Sequence[int] | None = None
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    ceil_mode: bool = False

    @nn.nowrap
    def _sliding(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
        }


class MaxPool(_Pool):
    """Module form of :func:`jaxcnn.ops.max_pool`."""

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.max_pool(x, self.window, **self._sliding())


class AvgPool(_Pool):
    """Module form of :func:`jaxcnn.ops.avg_pool`."""

    count_include_pad: bool = True

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.avg_pool(x, self.window, **self._sliding(), count_include_pad=self.count_include_pad)


class LpPool(_Pool):
    """Module form of :func:`jaxcnn.ops.lp_pool`."""

    p: float = 2.0

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.lp_pool(x, self.window, p=self.p, **self._sliding())


class GaussianPool(_Pool):
    """Module form of :func:`jaxcnn.ops.gaussian_pool`."""

    sigma: float | Sequence[float] | None = None

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.gaussian_pool(x, self.window, sigma=self.sigma, **self._sliding())


class WeightedPool(_Pool):
    """Module form of :func:`jaxcnn.ops.weighted_pool`, with learned ``weights`` that begin as average
    pooling.

    Attributes:
      per_channel: own weights for each channel, rather than one window for all.
      dtype: what to compute and return; None promotes input and weights.

    Example:
      >>> import jax
      >>> layer, x = WeightedPool(2, per_channel=True), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 3, 3, 4), {'weights': (2, 2, 4)})
    """

    per_channel: bool = False
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        window = spatial_tuple(self.window, ops.check.image(x).ndim - 2, "window")
        shape = (*window, x.shape[-1]) if self.per_channel else window
        weights = self.param("weights", nn.initializers.constant(1 / prod(window)), shape, jnp.float32)
        x, weights = promote_dtype(x, weights, dtype=self.dtype)
        return ops.weighted_pool(x, weights, **self._sliding())


class StochasticPool(_Pool):
    """Module form of :func:`jaxcnn.ops.stochastic_pool`: draws in training, the expectation in evaluation.

    Example:
      >>> import jax
      >>> layer, x = StochasticPool(2), jnp.array([1.0, 3.0]).reshape(1, 2, 1)
      >>> layer.apply({}, x).ravel().tolist()
      [2.5]
      >>> layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)}).item() in (1.0, 3.0)
      True
    """

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        key = self.make_rng("dropout") if train else None
        return ops.stochastic_pool(key, x, self.window, **self._sliding())


class BlurPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.blur_pool`."""

    window: int | Sequence[int] = 3
    strides: int | Sequence[int] = 2
    padding: Padding = "REFLECT"

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.blur_pool(x, self.window, strides=self.strides, padding=self.padding)


class AdaptiveAvgPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.adaptive_avg_pool`."""

    size: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False, sizes: Array | None = None) -> Array:
        return ops.adaptive_avg_pool(x, self.size, sizes=sizes)


class AdaptiveMaxPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.adaptive_max_pool`."""

    size: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False, sizes: Array | None = None) -> Array:
        return ops.adaptive_max_pool(x, self.size, sizes=sizes)


class GlobalAvgPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.global_avg_pool`."""

    keepdims: bool = False

    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        return ops.global_avg_pool(x, mask=mask, keepdims=self.keepdims)


class GlobalMaxPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.global_max_pool`."""

    keepdims: bool = False

    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        return ops.global_max_pool(x, mask=mask, keepdims=self.keepdims)


class Maxout(nn.Module):
    """Module form of :func:`jaxcnn.ops.maxout`."""

    pieces: int

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.maxout(x, self.pieces)


class ComplexCell(nn.Module):
    """Module form of :func:`jaxcnn.ops.complex_cell`."""

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.complex_cell(x)
