"""Convolution by a table of which feature reads which channels."""

import operator
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv

Table = Sequence[Sequence[int]]
"""For each feature the channels it reads."""


def table_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps connections"],
    bias: Float[Array, " features"] | None = None,
    *,
    table: Table,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve, every feature reading only the channels that a table gives it.

    y[i, f] = b[f] + Σ over c in table[f] of Σ_t x[i·s − low + t·d, c] · k[t, (f, c)], with one kernel for
    each connection (f, c), in the order of the table. It is computed as the dense convolution whose other
    kernels are zero.

    Args:
      x: batch, one to three spatial axes, c channels.
      kernel: taps of each spatial axis, connections: as many as ``table`` has entries.
      bias: one number for each feature.
      table: for each feature the channels it reads.
      strides, padding, dilation, lowering: as in :func:`jaxcnn.ops.conv`.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; the table has no feature; one reads no channel, one
        twice, or one that x does not have; ``kernel`` has not as many kernels as ``table`` has entries.

    Example:
      >>> x, kernel = jnp.array([[[1.0, 10.0, 100.0]]]), jnp.ones((1, 3))
      >>> table_conv(x, kernel, table=[[0, 1], [2]]).tolist()
      [[[11.0, 100.0]]]

    Paper: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998,
    table I.
    """
    x, kernel = check.image(x), jnp.asarray(kernel)
    try:
        rows = [list(map(operator.index, row)) for row in table]
    except TypeError:
        raise TypeError(f"table={table!r}: expected for each feature the channels it reads, ints") from None
    if not rows:
        raise ValueError(f"table={table!r}: expected one feature or more")
    channels, features = x.shape[-1], len(rows)
    for f, row in enumerate(rows):
        if not row or len(set(row)) != len(row) or not all(0 <= c < channels for c in row):
            raise ValueError(f"table[{f}]={row}: expected different channels of x, from 0 to {channels - 1}")
    reads = np.array([c for row in rows for c in row])
    feeds = np.array([f for f, row in enumerate(rows) for _ in row])
    if kernel.ndim != x.ndim - 1 or kernel.shape[-1] != len(reads):
        raise ValueError(
            f"kernel has shape {kernel.shape}: expected {x.ndim - 2} axes of taps and {len(reads)} "
            f"connections"
        )
    dense = jnp.zeros((*kernel.shape[:-1], channels, features), kernel.dtype)
    return conv(
        x,
        dense.at[..., reads, feeds].set(kernel),
        bias,
        strides=strides,
        padding=padding,
        dilation=dilation,
        lowering=lowering,
    )
