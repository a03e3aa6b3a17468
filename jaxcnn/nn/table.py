"""Module that owns the kernels of a table of connections."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import Owner
from jaxcnn.ops.check import whole
from jaxcnn.ops.geometry import Padding, spatial_tuple


class TableConv(Owner):
    """Module form of :func:`jaxcnn.ops.table_conv`; the fan-in of a feature is that of its own connections.

    Attributes:
      table: for each feature the channels it reads.
      kernel_size: taps, an int or one for each spatial axis.
      strides, padding, dilation, lowering: as in :func:`jaxcnn.ops.conv`.

    Example:
      >>> layer, x = TableConv([[0, 1], [1, 2, 3]], 3), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 2), {'bias': (2,), 'kernel': (3, 3, 5)})
    """

    table: Sequence[Sequence[int]]
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    dilation: int | Sequence[int] = 1
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps = spatial_tuple(self.kernel_size, ops.check.image(x).ndim - 2, "kernel_size")
        features = whole("len(table)", len(self.table))
        connections = sum(whole(f"len(table[{f}])", len(row)) for f, row in enumerate(self.table))

        def draw(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            keys = jax.random.split(key, features)
            rows = zip(keys, self.table, strict=True)
            kernels = [self.kernel_init(key, (*taps, len(row), 1), dtype)[..., 0] for key, row in rows]
            return jnp.concatenate(kernels, axis=-1)

        return ops.table_conv(
            *self.own(x, {"kernel": (*taps, connections)}, (features,), draw),
            table=self.table,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            lowering=self.lowering,
        )
