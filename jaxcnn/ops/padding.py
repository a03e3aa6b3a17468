"""Padding that is more than zeros: the input continued periodically, mirrored, or by its edge pixel."""

from collections.abc import Sequence

import jax.numpy as jnp
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
