"""Windows over the spatial axes, read one tap at a time as strided slices, or reduced by XLA."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.geometry.window import Window
from jaxcnn.ops.padding import pad_boundary

Windows = Mapping[int, Window]
"""A window for each axis that is slid over; the others are left alone."""


def slide(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: geometry.Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> tuple[Array, dict[int, Window]]:
    """Resolve the arguments of a pooling function.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each axis.
      strides: pixels between windows; the window's size by default.
      padding: as in :func:`jaxcnn.ops.geometry.resolve_padding`.
      dilation: pixels between taps.
      ceil_mode: keep a last window that hangs over the end.

    Returns:
      x with all padding but zeros applied, and the window on each spatial axis.

    Raises:
      ValueError: a size is not positive, no window fits, or one would lie outside the input altogether.
    """
    x = check.image(x)
    ndim = x.ndim - 2
    kernel = geometry.spatial_tuple(window, ndim, "window")
    steps = kernel if strides is None else geometry.spatial_tuple(strides, ndim, "strides")
    gaps = geometry.spatial_tuple(dilation, ndim, "dilation")
    x, pairs = pad_boundary(x, geometry.resolve_padding(padding, x.shape[1:-1], kernel, steps, gaps))
    windows = {}
    for axis, (taps, step, pair, gap) in enumerate(zip(kernel, steps, pairs, gaps, strict=True), start=1):
        each = Window.fit(x.shape[axis], taps, stride=step, padding=pair, dilation=gap, ceil_mode=ceil_mode)
        if not all(each.counts()):
            raise ValueError(
                f"padding={padding!r}: a window of {taps} with dilation {gap} lies in padding alone on "
                f"spatial axis {axis - 1} of {x.shape[axis]} pixels; pad less than the window spans"
            )
        windows[axis] = each
    return x, windows


def taps(windows: Windows) -> Iterator[tuple[int, ...]]:
    """Every tap, in scan order: the last axis fastest."""
    return itertools.product(*(range(window.kernel) for window in windows.values()))


def read(x: Array, windows: Windows, tap: tuple[int, ...], fill: float) -> Array:
    """What one tap reads at every output; ``fill`` where it lies outside the input."""
    starts, stops, strides = [0] * x.ndim, list(x.shape), [1] * x.ndim
    outside = [(0, 0, 0)] * x.ndim
    for (axis, window), place in zip(windows.items(), tap, strict=True):
        reads = window.reads(place)
        starts[axis] = reads.start if reads.inside else 0
        stops[axis] = starts[axis] + (reads.inside - 1) * window.stride + 1 if reads.inside else 0
        strides[axis] = window.stride
        outside[axis] = (reads.before, reads.after, 0)
    inside = lax.slice(x, starts, stops, strides)
    # A pad for each tap is fused into what reads it; one pad of all of x would be written to memory.
    return lax.pad(inside, jnp.asarray(fill, x.dtype), outside) if any(map(any, outside)) else inside


def reduce_window(x: Array, windows: Windows, combine: Callable[..., Array], initial: float) -> Array:
    """``lax.reduce_window`` over the axes that have a window."""

    def each(value: Callable[[Window], Any], other: Any) -> tuple[Any, ...]:
        return tuple(value(windows[axis]) if axis in windows else other for axis in range(x.ndim))

    return lax.reduce_window(
        x,
        np.asarray(initial, x.dtype),  # concrete, so that JAX knows the gradient
        combine,
        window_dimensions=each(lambda window: window.kernel, 1),
        window_strides=each(lambda window: window.stride, 1),
        padding=each(lambda window: window.reach(), (0, 0)),
        window_dilation=each(lambda window: window.dilation, 1),
    )


def lowest(dtype: np.dtype) -> float:
    """What loses to every other value, or is none.

    >>> lowest(jnp.dtype("uint8")), lowest(jnp.dtype("bfloat16"))
    (0, -inf)
    """
    if jnp.issubdtype(dtype, jnp.floating):
        return -math.inf
    return False if jnp.issubdtype(dtype, jnp.bool) else int(jnp.iinfo(dtype).min)
