"""Modules whose weights differ from place to place."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import WindowOwner
from jaxcnn.nn.initializers import by_place
from jaxcnn.ops import geometry


class LocalConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.local_conv`, for one size of image; its bias differs by place.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = LocalConv(8, 3, strides=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 3, 3, 8), {'bias': (3, 3, 8), 'kernel': (3, 3, 3, 3, 4, 8)})
    """

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

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = TiledConv(8, 3, tiles=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'bias': (2, 2, 8), 'kernel': (2, 2, 3, 3, 4, 8)})
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
