"""Pooling to a given size from any size."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.pool import max_pool


def adaptive_avg_pool(
    x: Float[Array, "n *spatial c"], size: int | Sequence[int]
) -> Float[Array, "n *size c"]:
    """Mean over windows that spread evenly, so that ``size`` outputs result.

    Output i of S from N pixels averages pixels ⌊i·N/S⌋ to ⌈(i + 1)·N/S⌉ − 1, as in torch: equal windows where
    S divides N, else windows that differ by a pixel and may overlap; repeated pixels where S exceeds N.

    Args:
      x: values, shape (n, *spatial, c).
      size: outputs on each spatial axis.

    Returns:
      Means, shape (n, *size, c), dtype of x.

    Raises:
      TypeError, ValueError: sizes are not positive ints, one for each spatial axis.

    Example:
      >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 3).ravel()
      Array([0.5, 2. , 3.5], dtype=float32)
    """
    x, sizes = _sizes(x, size)
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, outputs in enumerate(sizes, start=1):
        if outputs == y.shape[axis]:
            continue  # every window is one pixel
        weights = np.zeros((y.shape[axis], outputs), y.dtype)
        for i, (start, stop) in enumerate(geometry.adaptive_windows(y.shape[axis], outputs)):
            weights[start:stop, i] = 1 / (stop - start)
        y = jnp.moveaxis(jnp.tensordot(y, jnp.asarray(weights), (axis, 0), precision="highest"), -1, axis)
    return y.astype(x.dtype)


def adaptive_max_pool(
    x: Float[Array, "n *spatial c"], size: int | Sequence[int]
) -> Float[Array, "n *size c"]:
    """Maximum over windows that spread evenly, so that ``size`` outputs result.

    The windows are those of :func:`adaptive_avg_pool`; as in :func:`max_pool` the first maximum of a window
    in scan order takes its gradient, and NaN wins.

    Args:
      x: values, shape (n, *spatial, c).
      size: outputs on each spatial axis.

    Returns:
      Maxima, shape (n, *size, c), dtype of x.

    Raises:
      TypeError, ValueError: sizes are not positive ints, one for each spatial axis.

    Example:
      >>> adaptive_max_pool(jnp.arange(5.0).reshape(1, 5, 1), 3).ravel()
      Array([1., 3., 4.], dtype=float32)
    """
    x, sizes = _sizes(x, size)
    if all(pixels % outputs == 0 for pixels, outputs in zip(x.shape[1:-1], sizes, strict=True)):
        return max_pool(x, [pixels // outputs for pixels, outputs in zip(x.shape[1:-1], sizes, strict=True)])
    for axis, outputs in reversed(list(enumerate(sizes, start=1))):
        x = _axis_max(x, axis, outputs)
    return x


def _axis_max(x: Array, axis: int, outputs: int) -> Array:
    starts, stops = np.array(geometry.adaptive_windows(x.shape[axis], outputs)).T
    best = jnp.take(x, starts, axis)
    for tap in range(1, (stops - starts).max()):
        # A window that is a pixel shorter reads its last pixel again, which never beats itself.
        read = jnp.take(x, np.minimum(starts + tap, stops - 1), axis)
        best = jnp.where((read > best) | (read != read), read, best)
    return best


def _sizes(x: Array, size: int | Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    x = check.image(x)
    return x, geometry.spatial_tuple(size, x.ndim - 2, "size")
