"""Linen modules over the convolutions of :mod:`jaxcnn.ops`."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from jaxcnn import ops
from jaxcnn.ops import geometry

Initializer = jax.nn.initializers.Initializer
_lecun = nn.initializers.lecun_normal()
_zeros = nn.initializers.zeros_init()


class Conv(nn.Module):
    """Module form of :func:`jaxcnn.ops.conv`, with parameters ``kernel`` and ``bias``.

    Attributes:
      features: channels of the output.
      kernel_size: taps, an int or one for each spatial axis.
      strides, padding, dilation, groups, lowering: as in :func:`jaxcnn.ops.conv`.
      use_bias: add a learned number to each feature.
      dtype: of the computation; None promotes input and parameters.

    Example:
      >>> layer = Conv(features=8, kernel_size=3, strides=2)
      >>> x = jax.numpy.ones((1, 6, 6, 3))
      >>> y, variables = layer.init_with_output(jax.random.key(0), x)
      >>> y.shape, variables["params"]["kernel"].shape
      ((1, 3, 3, 8), (3, 3, 3, 8))
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: geometry.Padding = "SAME"
    dilation: int | Sequence[int] = 1
    groups: int = 1
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Initializer = _lecun
    bias_init: Initializer = _zeros
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        ops.check.image(x)
        ops.check.divides("groups", self.groups, "channels of x", x.shape[-1])
        taps = geometry.spatial_tuple(self.kernel_size, x.ndim - 2, "kernel_size")
        kernel = self.param("kernel", self.kernel_init, (*taps, x.shape[-1] // self.groups, self.features))
        bias = self.param("bias", self.bias_init, (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return ops.conv(
            x,
            kernel,
            bias,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            lowering=self.lowering,
        )


class Dense(nn.Module):
    """An affine map of the last axis: ``y = x · kernel + bias``.

    Attributes:
      features: size of the last axis of the output.
      use_bias: add a learned number to each feature.
      dtype: of the computation; None promotes input and parameters.

    Example:
      >>> y, _ = Dense(5).init_with_output(jax.random.key(0), jax.numpy.ones((2, 3)))
      >>> y.shape
      (2, 5)
    """

    features: int
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Initializer = _lecun
    bias_init: Initializer = _zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", self.bias_init, (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return ops.dense(x, kernel, bias)
