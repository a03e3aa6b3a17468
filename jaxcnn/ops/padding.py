"""Padding that is more than zeros: the input continued periodically, mirrored, or by its edge pixel."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcnn.ops.geometry import AxisPadding

_NUMPY_MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def pad_boundary(
    x: Float[Array, "n *spatial c"], padding: Sequence[AxisPadding]
) -> tuple[Float[Array, "n *padded c"], tuple[tuple[int, int], ...]]:
    """Apply all padding but zeros, which the operation that follows adds itself at no cost.

    Args:
      x: batch, spatial axes, channels.
      padding: one entry for each spatial axis, from :func:`jaxcnn.ops.geometry.resolve_padding`.

    Returns:
      The padded input and the (low, high) zeros still to add on each spatial axis.

    Example:
      >>> x = jnp.arange(3.0).reshape(1, 3, 1)
      >>> padded, zeros = pad_boundary(x, [AxisPadding(1, 1, "circular")])
      >>> padded.ravel().tolist(), zeros
      ([2.0, 0.0, 1.0, 2.0, 0.0], ((0, 0),))
    """
    zeros = []
    for axis, entry in enumerate(padding, start=1):
        if entry.mode == "zeros":
            zeros.append(entry.pair)
            continue
        zeros.append((0, 0))
        widths = [(0, 0)] * x.ndim
        widths[axis] = entry.pair
        x = jnp.pad(x, widths, mode=_NUMPY_MODES[entry.mode])
    return x, tuple(zeros)


def take_rows(x: Array, axis: int, start: int, count: int, *, circular: bool = False) -> Array:
    """Rows ``start`` to ``start + count - 1`` of an axis continued beyond its ends, by zeros or periodically.

    Args:
      x: any array.
      axis: which axis.
      start: first row; negative rows lie before the array.
      count: rows taken.
      circular: continue periodically.

    Returns:
      The array with ``count`` rows on that axis.

    Example:
      >>> take_rows(jnp.arange(1, 4), 0, -1, 6).tolist()
      [0, 1, 2, 3, 0, 0]
      >>> take_rows(jnp.arange(1, 4), 0, -1, 6, circular=True).tolist()
      [3, 1, 2, 3, 1, 2]
    """
    size = x.shape[axis]
    if circular:
        start = start % size if start > 0 else start
        low, high = max(-start, 0), max(start + count - size, 0)
        x = jnp.pad(x, [(low, high) if a == axis else (0, 0) for a in range(x.ndim)], mode="wrap")
        return lax.slice_in_dim(x, start + low, start + low + count, axis=axis)
    edges = [(-start, start + count - size, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)
