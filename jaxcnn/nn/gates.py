"""Modules that own the layers of attention gates."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import Dtype
from jaxcnn.nn.initializers import Initializer
from jaxcnn.nn.norm import BatchNorm
from jaxcnn.ops.check import whole
from jaxcnn.ops.geometry import spatial_tuple

Function = Callable[[Array], Array]


class _Gate(nn.Module, kw_only=True):
    """What the gates share.

    Attributes:
      reduction: channels for each unit of the bottleneck.
      least: units of the bottleneck at least.
      reduced: units of the bottleneck, in place of both.
      dtype: what to compute and return; None promotes input and parameters.
      kernel_init, bias_init: initialisers.
    """

    reduction: int = 16
    least: int = 1
    reduced: int | None = None
    dtype: Dtype = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    @nn.nowrap
    def _units(self, channels: int) -> int:
        if self.reduced is not None:
            return whole("reduced", self.reduced)
        return max(channels // whole("reduction", self.reduction), whole("least", self.least))

    @nn.nowrap
    def _own(self, x: Array, **kernels: tuple[int, ...]) -> list[Any]:
        """The input and pairs of kernel and bias, in one dtype."""
        owned = []
        for name, shape in kernels.items():
            owned.append(self.param(f"{name}_kernel", self.kernel_init, shape, jnp.float32))
            owned.append(self.param(f"{name}_bias", self.bias_init, shape[-1:], jnp.float32))
        x, *owned = promote_dtype(x, *owned, dtype=self.dtype)
        return [x, *zip(owned[::2], owned[1::2], strict=True)]


class SqueezeExcite(_Gate):
    """Module form of :func:`jaxcnn.ops.squeeze_excite`.

    Attributes:
      activation: between the two layers.
      gate: of the result, such as ``jax.nn.hard_sigmoid``.

    Example:
      >>> layer, x = SqueezeExcite(reduction=4), jnp.ones((1, 6, 6, 8))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, variables["params"]["squeeze_kernel"].shape, variables["params"]["excite_kernel"].shape
      ((1, 6, 6, 8), (8, 2), (2, 8))
    """

    activation: Function = jax.nn.relu
    gate: Function = jax.nn.sigmoid

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        c, r = x.shape[-1], self._units(x.shape[-1])
        x, squeeze, excite = self._own(x, squeeze=(c, r), excite=(r, c))
        return ops.squeeze_excite(x, squeeze, excite, activation=self.activation, gate=self.gate, mask=mask)


class CBAM(_Gate):
    """Module form of :func:`jaxcnn.ops.cbam`.

    Attributes:
      kernel_size: taps of the convolution that finds the spatial gate.
      activation: between the two layers of the channel gate.

    Example:
      >>> layer, x = CBAM(reduction=4), jnp.ones((1, 6, 6, 8))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, variables["params"]["squeeze_kernel"].shape, variables["params"]["spatial_kernel"].shape
      ((1, 6, 6, 8), (8, 2), (7, 7, 2, 1))
    """

    kernel_size: int | Sequence[int] = 7
    activation: Function = jax.nn.relu

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        c, r = x.shape[-1], self._units(x.shape[-1])
        taps = spatial_tuple(self.kernel_size, ops.check.image(x).ndim - 2, "kernel_size")
        x, squeeze, excite, spatial = self._own(x, squeeze=(c, r), excite=(r, c), spatial=(*taps, 2, 1))
        return ops.cbam(x, squeeze, excite, *spatial, activation=self.activation, mask=mask)


class CoordinateAttention(_Gate):
    """Module form of :func:`jaxcnn.ops.coordinate_attention`, with batch normalisation ``norm``.

    Attributes:
      activation: behind the normalisation.

    Example:
      >>> layer, x = CoordinateAttention(reduced=2), jnp.ones((1, 6, 6, 8))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, variables["params"]["reduce_kernel"].shape, variables["params"]["expand_0_kernel"].shape
      ((1, 6, 6, 8), (8, 2), (2, 8))
    """

    reduction: int = 32
    least: int = 8
    activation: Function = jax.nn.hard_swish

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        c, r = ops.check.image(x).shape[-1], self._units(x.shape[-1])
        expands = {f"expand_{axis}": (r, c) for axis in range(x.ndim - 2)}
        x, reduce, *expand = self._own(x, reduce=(c, r), **expands)
        batch_norm = BatchNorm(name="norm")

        def norm(codes: Array, counted: Array | None = None) -> Array:
            return batch_norm(codes, train=train, mask=counted)

        return ops.coordinate_attention(x, reduce, expand, norm=norm, activation=self.activation, mask=mask)
