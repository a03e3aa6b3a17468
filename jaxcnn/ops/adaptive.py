"""Pooling to a given size from any size."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcnn.ops import check, geometry
from jaxcnn.ops.pool import max_pool
from jaxcnn.ops.spread import spread


def adaptive_avg_pool(
    x: Float[Array, "n *spatial c"],
    size: int | Sequence[int],
    *,
    sizes: Int[Array, "n axes"] | None = None,
) -> Float[Array, "n *size c"]:
    """Mean over windows that spread evenly, so that ``size`` outputs result.

    Output i of S from N pixels averages pixels ⌊i·N/S⌋ to ⌈(i + 1)·N/S⌉ − 1, as in torch: equal windows where
    S divides N, else windows that differ by a pixel and may overlap; repeated pixels where S exceeds N.

    Args:
      x: values, shape (n, *spatial, c).
      size: outputs on each spatial axis.
      sizes: of images of mixed sizes, padded to one: the pixels of each in the low corner of x, shape (n,
        spatial axes).

    Returns:
      Means, shape (n, *size, c), dtype of x.

    Raises:
      TypeError, ValueError: ``size`` is not positive ints, one for each spatial axis, or ``sizes`` have
        another shape.

    Example:
      >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 3).ravel()
      Array([0.5, 2. , 3.5], dtype=float32)
    """
    x, outputs = _sizes(x, size)
    if sizes is None:
        return spread(x, outputs, _mean)
    return spread(x, outputs, _mean, (sizes, jnp.broadcast_to(jnp.array(outputs), jnp.shape(sizes))))


def _mean(pixel: Any, output: Any, pixels: Any, outputs: Any) -> Any:
    start, stop = geometry.adaptive_window(output, pixels, outputs)
    return ((start <= pixel) & (pixel < stop)) / (stop - start)


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
    starts, stops = geometry.adaptive_window(np.arange(outputs), x.shape[axis], outputs)
    best = jnp.take(x, starts, axis)
    for tap in range(1, (stops - starts).max()):
        # A window that is a pixel shorter reads its last pixel again, which never beats itself.
        read = jnp.take(x, np.minimum(starts + tap, stops - 1), axis)
        best = jnp.where((read > best) | (read != read), read, best)
    return best


def _sizes(x: Array, size: int | Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    x = check.image(x)
    return x, geometry.spatial_tuple(size, x.ndim - 2, "size")
