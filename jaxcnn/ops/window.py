"""Windows sliding over spatial axes, as strided slices: one for each tap, combined axis by axis."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.padding import pad_boundary


class Window(NamedTuple):
    """A window on one axis of an array: its taps, and the padding still to add."""

    axis: int
    size: int
    kernel: int
    stride: int
    dilation: int
    low: int
    high: int
    overhang: int
    outputs: int

    def taps_inside(self, low: int = 0, high: int = 0) -> list[int]:
        """How many taps of each output lie within the input and so many pixels beside it."""
        return [
            sum(
                -low <= i * self.stride - self.low + tap * self.dilation < self.size + high
                for tap in range(self.kernel)
            )
            for i in range(self.outputs)
        ]


def slide(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: geometry.Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> tuple[Array, list[Window]]:
    """Resolve the arguments of a pooling function.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each axis.
      strides: pixels between windows; the window's size by default.
      padding: as in :func:`jaxcnn.ops.geometry.resolve_padding`.
      dilation: pixels between taps.
      ceil_mode: keep a last window that hangs over the end.

    Returns:
      x with all padding but zeros applied, and one :class:`Window` for each spatial axis.
    """
    x = check.image(x)
    ndim = x.ndim - 2
    kernel = geometry.spatial_tuple(window, ndim, "window")
    steps = kernel if strides is None else geometry.spatial_tuple(strides, ndim, "strides")
    gaps = geometry.spatial_tuple(dilation, ndim, "dilation")
    x, pairs = pad_boundary(x, geometry.resolve_padding(padding, x.shape[1:-1], kernel, steps, gaps))
    windows = []
    for axis, (taps, step, pair, gap) in enumerate(zip(kernel, steps, pairs, gaps, strict=True), start=1):
        size = x.shape[axis]
        outputs = geometry.output_size(
            size, taps, stride=step, padding=pair, dilation=gap, ceil_mode=ceil_mode
        )
        over = geometry.overhang(size, taps, stride=step, padding=pair, dilation=gap) if ceil_mode else 0
        windows.append(Window(axis, size, taps, step, gap, *pair, over, outputs))
    return x, windows


def taps(x: Array, window: Window, fill: float) -> Iterator[Array]:
    """What each tap reads at every output, one strided slice a tap; ``fill`` outside the input."""
    widths = [(0, 0, 0)] * x.ndim
    widths[window.axis] = (window.low, window.high + window.overhang, 0)
    if window.low or window.high or window.overhang:
        x = jax.lax.pad(x, jnp.asarray(fill, x.dtype), widths)
    for tap in range(window.kernel):
        start = tap * window.dilation
        stop = start + (window.outputs - 1) * window.stride + 1
        yield jax.lax.slice_in_dim(x, start, stop, window.stride, window.axis)
