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
        taps = self.taps(x)
        ops.check.divides("groups", self.groups, "channels of x", x.shape[-1])
        outputs = geometry.output_sizes(x.shape[1:-1], taps, **self.window())
        shape = (*outputs, *taps, x.shape[-1] // self.groups, self.features)
        init = by_place(self.kernel_init, len(outputs))
        arrays = self.own(x, {"kernel": shape}, (*outputs, self.features), init)
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
        taps = self.taps(x)
        ops.check.divides("groups", self.groups, "channels of x", x.shape[-1])
        tiles = geometry.spatial_tuple(self.tiles, len(taps), "tiles")
        shape = (*tiles, *taps, x.shape[-1] // self.groups, self.features)
        init = by_place(self.kernel_init, len(tiles))
        arrays = self.own(x, {"kernel": shape}, (*tiles, self.features), init)
        return ops.tiled_conv(*arrays, **self.window(), groups=self.groups)
