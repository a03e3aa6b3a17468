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
      Means, shape (n, *size, c), dtype of x, float32 for integers.

    Raises:
      TypeError, ValueError: ``size`` is not positive ints, one for each spatial axis, ``sizes`` have
        another shape, or x has no pixel.

    Example:
      >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 3).ravel()
      Array([0.5, 2. , 3.5], dtype=float32)
    """
    x, outputs = _sizes(check.floats(x), size)
    if sizes is None:
        return spread(x, outputs, _mean)
    return spread(x, outputs, _mean, (sizes, jnp.broadcast_to(jnp.array(outputs), jnp.shape(sizes))))


def _mean(pixel: Any, output: Any, pixels: Any, outputs: Any) -> Any:
    start, stop = geometry.adaptive_window(output, pixels, outputs)
    return ((start <= pixel) & (pixel < stop)) / (stop - start)


def adaptive_max_pool(
    x: Float[Array, "n *spatial c"],
    size: int | Sequence[int],
    *,
    sizes: Int[Array, "n axes"] | None = None,
) -> Float[Array, "n *size c"]:
    """Maximum over windows that spread evenly, so that ``size`` outputs result.

    The windows are those of :func:`adaptive_avg_pool`; as in :func:`max_pool` the first maximum of a window
    in scan order takes its gradient, and NaN wins.

    Args:
      x: values, shape (n, *spatial, c).
      size: outputs on each spatial axis.
      sizes: of images of mixed sizes, as for :func:`adaptive_avg_pool`.

    Returns:
      Maxima, shape (n, *size, c), dtype of x.

    Raises:
      TypeError, ValueError: ``size`` is not positive ints, one for each spatial axis, ``sizes`` have
        another shape, or x has no pixel.

    Example:
      >>> adaptive_max_pool(jnp.arange(5.0).reshape(1, 5, 1), 3).ravel()
      Array([1., 3., 4.], dtype=float32)
    """
    x, counts = _sizes(x, size)
    spatial = x.shape[1:-1]
    if sizes is not None:
        sizes = check.shape(sizes, (x.shape[0], len(counts)), "sizes").astype(jnp.int32)
    elif all(pixels % outputs == 0 for pixels, outputs in zip(spatial, counts, strict=True)):
        return max_pool(x, [pixels // outputs for pixels, outputs in zip(spatial, counts, strict=True)])
    for axis, outputs in reversed(list(enumerate(counts, start=1))):
        pixels = np.array([x.shape[axis]]) if sizes is None else sizes[:, axis - 1]
        x = _axis_max(x, axis, pixels, outputs)
    return x


def _axis_max(x: Array, axis: int, pixels: Any, outputs: int) -> Array:
    """Maxima along an axis, of each example with its number of pixels or of all with one."""
    output = np.arange(outputs)[None]
    starts, stops = geometry.adaptive_window(output, pixels[:, None], outputs)
    shape = (-1, *(1,) * (axis - 1), outputs, *(1,) * (x.ndim - 1 - axis))
    # the longest window of any image that fits
    least, most = geometry.adaptive_window(output, np.arange(x.shape[axis] + 1)[:, None], outputs)
    best = jnp.take_along_axis(x, starts.reshape(shape), axis)
    for tap in range(1, (most - least).max()):
        # A window that is a pixel shorter reads its last pixel again, which never beats itself.
        read = jnp.take_along_axis(x, jnp.minimum(starts + tap, stops - 1).reshape(shape), axis)
        best = jnp.where((read > best) | (read != read), read, best)
    return best


def _sizes(x: Array, size: int | Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    x = check.pixels(x)
    return x, geometry.spatial_tuple(size, x.ndim - 2, "size")
