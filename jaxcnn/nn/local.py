"""Modules whose weights differ from place to place."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import WindowOwner
from jaxcnn.nn.initializers import by_place
from jaxcnn.ops import geometry


class LocalConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.local_conv`, for one size of image; its bias differs by place."""

    groups: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        kernel = self.kernel_shape(x, self.groups)
        outputs = geometry.output_sizes(x.shape[1:-1], kernel[:-2], **self.window())
        init = by_place(self.kernel_init, len(outputs))
        arrays = self.own(x, {"kernel": (*outputs, *kernel)}, (*outputs, self.features), init)
        return ops.local_conv(*arrays, **self.window(), groups=self.groups)


class TiledConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.tiled_conv`; its bias differs by tile.

    Attributes:
      tiles: kernels that take turns along each spatial axis.
    """

    tiles: int | Sequence[int] = 2
    groups: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        kernel = self.kernel_shape(x, self.groups)
        tiles = geometry.spatial_tuple(self.tiles, x.ndim - 2, "tiles")
        init = by_place(self.kernel_init, len(tiles))
        arrays = self.own(x, {"kernel": (*tiles, *kernel)}, (*tiles, self.features), init)
        return ops.tiled_conv(*arrays, **self.window(), groups=self.groups)
