"""Padding, windows as slices, sums: what the lowerings that are not XLA's own share."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add as _plus

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.spec import Problem


def pad(x: jax.Array, padding: Sequence[tuple[int, int]]) -> jax.Array:
    """Pad the spatial axes with zeros, or crop them where the padding is negative.

    The last spatial axis and the channels are padded as one axis: XLA on CPU then copies long rows, twice as
    fast as many short ones.
    """
    if not any(low or high for low, high in padding):
        return x
    n, *spatial, c = x.shape
    *outer, (low, high) = padding
    edges = [(0, 0, 0), *((*pair, 0) for pair in outer), (low * c, high * c, 0)]
    x = lax.pad(x.reshape(n, *spatial[:-1], spatial[-1] * c), jnp.zeros((), x.dtype), edges)
    return x.reshape(n, *x.shape[1:-1], spatial[-1] + low + high, c)


def window(
    x: jax.Array, problem: Problem, tap: Sequence[int], axes: Sequence[int] | None = None
) -> jax.Array:
    """The pixels that one tap reads, for every output: a strided slice of the padded input.

    Args:
      x: padded input (n, *spatial, ...).
      problem: the convolution.
      tap: index of the tap on each of ``axes``.
      axes: spatial axes that the window slides over, all by default; the others are kept whole.

    Returns:
      (n, *spatial, ...) with the outputs' sizes on ``axes``.
    """
    start, limit, stride = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for axis, index in zip(range(problem.spec.ndim) if axes is None else axes, tap, strict=True):
        start[axis + 1] = index * problem.spec.dilation[axis]
        stride[axis + 1] = problem.spec.strides[axis]
        limit[axis + 1] = start[axis + 1] + problem.spans[axis]
    return lax.slice(x, start, limit, stride)


def add(terms: Iterable[jax.Array]) -> jax.Array:
    """The sum of one array or more, from the left."""
    return reduce(_plus, terms)
