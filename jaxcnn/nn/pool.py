"""Modules over :mod:`jaxcnn.ops.pool`; none owns parameters."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.ops.geometry import Padding


class MaxPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.max_pool`."""

    window: int | Sequence[int]
    strides: int | Sequence[int] | None = None
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    ceil_mode: bool = False

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.max_pool(
            x,
            self.window,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class AvgPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.avg_pool`."""

    window: int | Sequence[int]
    strides: int | Sequence[int] | None = None
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.avg_pool(
            x,
            self.window,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


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
