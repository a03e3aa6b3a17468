"""Maxima over windows as maxima of shifted arrays, for CPUs.

XLA's CPU backend runs ``lax.reduce_window`` tap by tap and scatters its gradient through index arrays as
large as the input. Elementwise maxima of strided slices fuse into one vectorised loop instead, and so does
the gradient once each window remembers which tap won. ``experiments/benchmarks/pool.py`` measures both.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from jaxcnn.ops.geometry.window import Window
from jaxcnn.ops.window import read, taps

JOINT_TAPS = 9
"""Windows of more taps go axis by axis: Σ k reads for each output rather than Π k."""

Static = tuple[tuple[int, Window], ...]


def shifted_max(x: Array, windows: dict[int, Window]) -> Array:
    """Largest value of each window; the first maximum in scan order takes the gradient.

    Args:
      x: values.
      windows: the window on each axis slid over, all of whose outputs meet the input.

    Returns:
      Maxima, with ``outputs`` entries on each of those axes.
    """
    if math.prod(window.kernel for window in windows.values()) <= JOINT_TAPS:
        return _max(x, tuple(windows.items()))
    # The last axis first: the first maximum of each row, then of the first such row, is the scan's first.
    for item in reversed(windows.items()):
        x = _max(x, (item,))
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max(x: Array, static: Static) -> Array:
    windows = dict(static)
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    return functools.reduce(jnp.maximum, (read(x, windows, tap, lowest) for tap in taps(windows)))


@_max.defjvp
def _max_jvp(static: Static, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    y = _max(x, static)
    # JAX would keep a mask for every tap; the checkpoint keeps the winners, one byte for each window.
    select = jax.checkpoint(functools.partial(_select, static=static), prevent_cse=False)
    return y, select(_winners(x, y, static), dx)


def _winners(x: Array, y: Array, static: Static) -> Array:
    """The number, in scan order, of the first tap that reads each window's maximum."""
    windows = dict(static)
    order = list(taps(windows))
    # Padding must lose even to −∞ here, and must differ from that of the maximum: reads in common would be
    # written to memory for both. A NaN equals nothing and leaves the middle tap.
    loser = float(jnp.finfo(x.dtype).min)
    number_type = jnp.int8 if len(order) < 128 else jnp.int32
    winners = jnp.full(y.shape, len(order) // 2, number_type)
    for number, tap in reversed(list(enumerate(order))):
        winners = jnp.where(read(x, windows, tap, loser) == y, number_type(number), winners)
    return _materialize(winners)


def _select(winners: Array, dx: Array, static: Static) -> Array:
    """dx at each window's winner. Written so that its transpose is one loop over the input, without scatter.

    The input is split into its residues modulo the stride, of which each tap reads a plain slice.
    """
    windows = dict(static)
    # Compared as int32: with int8 throughout, LLVM gives up on vectorising the transpose.
    winners = winners.astype(jnp.int32)
    residues: dict[tuple[int, ...], Array] = {(): dx}
    for axis, window in windows.items():
        residues = {
            (*key, number): part
            for key, value in residues.items()
            for number, part in enumerate(_residues(value, axis, window))
        }
    terms = []
    for number, tap in enumerate(taps(windows)):
        places = [window.place(each) for each, window in zip(tap, windows.values(), strict=True)]
        part = residues[tuple(residue for _, residue in places)]
        for (block, _), (axis, window) in zip(places, windows.items(), strict=True):
            part = lax.slice_in_dim(part, block, block + window.outputs, axis=axis)
        terms.append(jnp.where(winners == number, part, 0))
    return functools.reduce(jnp.add, terms)


def _residues(x: Array, axis: int, window: Window) -> list[Array]:
    """x and its padding at positions 0, 1, … modulo the stride."""
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (window.low, window.blocks * window.stride - window.size - window.low, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), widths)
    if window.stride == 1:
        return [x]
    shape = (*x.shape[:axis], window.blocks, window.stride, *x.shape[axis + 1 :])
    parts = lax.split(x.reshape(shape), (1,) * window.stride, axis=axis + 1)
    return [lax.squeeze(part, (axis + 1,)) for part in parts]


@custom_vmap
def _materialize(codes: Array) -> Array:
    """Codes, none negative, written to memory.

    XLA's CPU backend drops ``lax.optimization_barrier`` before it fuses, and would compute the winners anew
    for every tap of the gradient. It cannot see that the condition always holds.
    """
    if not codes.size:
        return codes
    return lax.cond(codes[(0,) * codes.ndim] >= 0, lambda c: c, lambda c: c + codes.dtype.type(1), codes)


@_materialize.def_vmap
def _materialize_batch(size: int, batched: list[bool], codes: Array) -> tuple[Array, bool]:
    return _materialize(codes), True
