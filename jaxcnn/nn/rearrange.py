"""Modules over :mod:`jaxcnn.ops.rearrange`; none owns parameters."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops


class ChannelShuffle(nn.Module):
    """Module form of :func:`jaxcnn.ops.channel_shuffle`."""

    groups: int

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.channel_shuffle(x, self.groups)


class SpaceToDepth(nn.Module):
    """Module form of :func:`jaxcnn.ops.space_to_depth`."""

    block: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.space_to_depth(x, self.block)


class DepthToSpace(nn.Module):
    """Module form of :func:`jaxcnn.ops.depth_to_space`."""

    block: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.depth_to_space(x, self.block)


class PixelShuffle(nn.Module):
    """Module form of :func:`jaxcnn.ops.pixel_shuffle`."""

    block: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.pixel_shuffle(x, self.block)


class PixelUnshuffle(nn.Module):
    """Module form of :func:`jaxcnn.ops.pixel_unshuffle`."""

    block: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.pixel_unshuffle(x, self.block)
