"""Sums and maxima over windows, from shifted arrays, for CPUs.

XLA's CPU backend runs ``lax.reduce_window`` over several axes tap by tap, and scatters the gradient of a
maximum through index arrays larger than the input. Here both are elementwise sums and maxima of strided
slices, which fuse into one vectorised loop, or go axis by axis, and gradients are such loops too.
``experiments/benchmarks/pool.py`` measures them.

The gradient goes from outputs to inputs. Cut the padded input into blocks of one stride: the pixel of block b
with residue r is read by output b − q through the tap at distance q·stride + r from the window's start, if
there is one. So for each distance q in blocks, all pixels take from outputs q blocks below, by a table of
taps over residues.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from jaxcnn.ops.geometry.window import Window
from jaxcnn.ops.window import lowest, read, reduce_window, taps

FEW_TAPS = 9
"""Strided windows of so few taps are reduced over all axes at once, others axis by axis."""
JOINT_TAPS = 27
"""Windows of more taps have their gradients, too, taken axis by axis."""


class Stage(NamedTuple):
    """Axes whose windows are reduced together, and how.

    Attributes:
      items: the window on each axis.
      by_axis: reduce by ``lax.reduce_window`` over one axis at a time, which XLA does well; over several it
        does not.
      pad_once: write the padded x to memory, rather than give each tap its own padding as it is read, which
        saves the copy but puts branches into the loop.
    """

    items: tuple[tuple[int, Window], ...]
    by_axis: bool
    pad_once: bool

    @property
    def windows(self) -> dict[int, Window]:
        return dict(self.items)


def shifted_max(x: Array, windows: dict[int, Window]) -> Array:
    """Largest value of each window; the first maximum in scan order takes the gradient.

    Args:
      x: values.
      windows: the window on each axis slid over, all of whose outputs meet the input.

    Returns:
      Maxima, with ``outputs`` entries on each of those axes.
    """
    return functools.reduce(_max, _stages(windows, x.dtype), x)


def shifted_sum(x: Array, windows: dict[int, Window]) -> Array:
    """Sum of each window, zeros outside the input; arguments as for :func:`shifted_max`."""
    return functools.reduce(_sum, _stages(windows, x.dtype), x)


def picked(x: Array, numbers: Array, windows: dict[int, Window]) -> Array:
    """What one tap of each window reads, 0 outside the input; the gradient goes where the value came from.

    Args:
      x: values.
      numbers: for each output the number, in scan order, of a tap.
      windows: the window on each axis slid over.
    """
    return _select(numbers, x, Stage(tuple(windows.items()), by_axis=False, pad_once=False))


def _stages(windows: dict[int, Window], dtype: jnp.dtype) -> list[Stage]:
    kernel = [window.kernel for window in windows.values()]
    few = math.prod(kernel) <= FEW_TAPS
    # A strided step over one axis costs as much as all at once. Half precision is emulated, and loses its
    # vectorisation both to XLA's own form and to branches.
    strided = any(window.stride > 1 for window in windows.values())
    half = jnp.dtype(dtype).itemsize == 2
    by_axis = not half and not (few and strided and sum(k > 1 for k in kernel) > 1)
    if math.prod(kernel) <= JOINT_TAPS:
        return [Stage(tuple(windows.items()), by_axis, pad_once=half or not few)]
    # The last axis first: the first maximum of each row, then of the first such row, is the scan's first.
    return [Stage((item,), by_axis, pad_once=True) for item in reversed(windows.items())]


def _reduced(x: Array, stage: Stage, combine: Callable[..., Array], initial: float) -> Array:
    if not stage.by_axis:
        return functools.reduce(combine, _reads(x, stage, initial))
    for axis, window in reversed(stage.items):
        x = reduce_window(x, {axis: window}, combine, initial)
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _sum(x: Array, stage: Stage) -> Array:
    return _reduced(x, stage, lax.add, 0.0)


@_sum.defjvp
def _sum_jvp(stage: Stage, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents

    def every(pixels: Array, table: np.ndarray, q: tuple[int, ...]) -> Array:
        return pixels if (table >= 0).all() else jnp.where(jnp.asarray(table >= 0), pixels, 0)

    return _sum(x, stage), _gather(dx, stage, every)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max(x: Array, stage: Stage) -> Array:
    return _reduced(x, stage, lax.max, lowest(x.dtype))


@_max.defjvp
def _max_jvp(stage: Stage, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    y = _max(x, stage)
    # JAX would keep a mask for every distance; the checkpoint keeps the winners, one byte for each window.
    select = jax.checkpoint(functools.partial(_select, stage=stage), prevent_cse=False)
    return y, select(_winners(x, y, stage), dx)


def _winners(x: Array, y: Array, stage: Stage) -> Array:
    """The number, in scan order, of the first tap that reads each window's maximum."""
    # Padding must lose to every number, as a NaN does, and must differ from that of the maximum: reads in
    # common would be written to memory for both. So a maximum that is NaN leaves the middle tap.
    reads = list(_reads(x, stage, math.nan))
    number_type = jnp.int8 if len(reads) < 128 else jnp.int32
    winners = jnp.full(y.shape, len(reads) // 2, number_type)
    for number, value in reversed(list(enumerate(reads))):
        winners = jnp.where(value == y, number_type(number), winners)
    return _materialize(winners)


def _select(winners: Array, dx: Array, stage: Stage) -> Array:
    """dx at each window's winner."""
    padded = lax.pad(winners, jnp.asarray(-2, winners.dtype), _margins(stage, winners.ndim))

    def won(pixels: Array, table: np.ndarray, q: tuple[int, ...]) -> Array:
        starts, stops = [0] * padded.ndim, list(padded.shape)
        for (axis, window), distance in zip(stage.items, q, strict=True):
            starts[axis] = window.reaches - 1 - distance
            stops[axis] = starts[axis] + window.blocks
        numbers = lax.slice(padded, starts, stops)
        kept_axes = [axis + sum(each < axis for each, _ in stage.items) for axis in range(padded.ndim)]
        numbers = lax.broadcast_in_dim(numbers, pixels.shape, kept_axes)
        return jnp.where(numbers == jnp.asarray(table, numbers.dtype), pixels, 0)

    return _gather(dx, stage, won)


def _gather(dx: Array, stage: Stage, weigh: Callable[[Array, np.ndarray, tuple[int, ...]], Array]) -> Array:
    """For each window the sum of what ``weigh`` leaves of the pixels its taps read.

    Its transpose, which is what runs in training, is one loop over pixels that reads padded outputs at a few
    distances: no scatter, and no branch. Hence the sums are placed in a padded result that is cropped.
    """
    pixels = _cut(dx, stage)
    residues = tuple(axis + i + 1 for i, (axis, _) in enumerate(stage.items))
    zero = jnp.zeros((), dx.dtype)
    placed = []
    for q in itertools.product(*(range(window.reaches) for _, window in stage.items)):
        table = _table(stage, q, dx.ndim)
        if (table < 0).all():
            continue
        widths = [(0, 0, 0)] * dx.ndim
        for (axis, window), distance in zip(stage.items, q, strict=True):
            widths[axis] = (window.reaches - 1 - distance, distance, 0)
        placed.append(lax.pad(weigh(pixels, table, q).sum(residues), zero, widths))
    crop = [(-low, -high, 0) for low, high, _ in _margins(stage, dx.ndim)]
    return lax.pad(functools.reduce(jnp.add, placed), zero, crop)


def _cut(x: Array, stage: Stage) -> Array:
    """x and its padding, each axis of the stage as blocks and residues."""
    widths, shape = [(0, 0, 0)] * x.ndim, []
    for axis, size in enumerate(x.shape):
        window = stage.windows.get(axis)
        if window is None:
            shape.append(size)
        else:
            widths[axis] = (window.low, window.blocks * window.stride - window.low - size, 0)
            shape += [window.blocks, window.stride]
    return lax.pad(x, jnp.zeros((), x.dtype), widths).reshape(shape)


def _margins(stage: Stage, ndim: int) -> list[tuple[int, int, int]]:
    """What pads outputs so that every block finds one at every distance."""
    widths = [(0, 0, 0)] * ndim
    for axis, window in stage.items:
        widths[axis] = (window.reaches - 1, window.blocks - window.outputs, 0)
    return widths


def _table(stage: Stage, q: tuple[int, ...], ndim: int) -> np.ndarray:
    """The number of the tap that reads each residue at these distances, −1 where there is none."""
    each = np.meshgrid(
        *(window.reaching(distance) for (_, window), distance in zip(stage.items, q, strict=True)),
        indexing="ij",
    )
    numbers = np.zeros(each[0].shape, int)
    for tap, (_, window) in zip(each, stage.items, strict=True):
        numbers = numbers * window.kernel + tap
    numbers[functools.reduce(np.logical_or, (tap < 0 for tap in each))] = -1
    shape = []
    for axis in range(ndim):
        shape += [1, stage.windows[axis].stride] if axis in stage.windows else [1]
    return numbers.reshape(shape)


def _reads(x: Array, stage: Stage, fill: float) -> Iterator[Array]:
    windows = stage.windows
    if stage.pad_once:
        widths = [(0, 0, 0)] * x.ndim
        for axis, window in windows.items():
            widths[axis] = (*window.reach(), 0)
            windows[axis] = window.padded()
        x = lax.pad(x, jnp.asarray(fill, x.dtype), widths)
    return (read(x, windows, tap, fill) for tap in taps(windows))


@custom_vmap
def _materialize(codes: Array) -> Array:
    """Codes, none negative, written to memory.

    XLA's CPU backend drops ``lax.optimization_barrier`` before it fuses, and would compute the winners anew
    for every distance of the gradient. It cannot see that the condition always holds.
    """
    if not codes.size:
        return codes
    return lax.cond(codes[(0,) * codes.ndim] >= 0, lambda c: c, lambda c: c + codes.dtype.type(1), codes)


@_materialize.def_vmap
def _materialize_batch(size: int, batched: list[bool], codes: Array) -> tuple[Array, bool]:
    return _materialize(codes), True
