"""Three taps for the price of one and a half."""

from collections.abc import Sequence
from itertools import product
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxcnn.ops.lowering.gemm import Gemm, blocks, to_blocks
from jaxcnn.ops.lowering.lowering import Form
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.windows import add, pad, window

# Toom-Cook at the points 0, 1, -1, 2, -2, ∞:  y = Aᵀ [(G k) ⊙ (Bᵀ x)]  for 4 outputs y, 3 taps k, 6 inputs x.
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_OUTPUTS, _POINTS = _OUTPUT.shape


class Winograd(Gemm):
    """Minimal filtering F(4, 3) along the leading axis, a product of matrices for every point of it.

    Four outputs of a filter with three taps are values of a product of polynomials, fixed by its values at
    six points: 6 multiplications instead of 12. The convolution over the second axis is folded after the
    product, that over the third unfolded before it, as in :class:`jaxcnn.ops.lowering.tiles.Tiles`. The
    error is some five times that of the direct sum.

    Paper: Winograd, Arithmetic complexity of computations (1980); Lavin and Gray, Fast algorithms for
    convolutional neural networks, CVPR 2016, arXiv:1509.09308.
    """

    name = "winograd"
    summary = "minimal filtering: half the multiplications"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        if problem.taps[0] != 3:
            return "3 taps on the first spatial axis"
        if any(stride != 1 for stride in problem.spec.strides[:2]):
            return "stride 1 on the first two spatial axes"
        return None

    def refuses_dtype(self, dtype: DTypeLike) -> str | None:
        return None if jnp.issubdtype(dtype, jnp.floating) else "floating numbers"

    def inner(self, problem: Problem) -> int:
        _, *grid = self._grid(problem)
        wide = max(problem.input[-1] * prod(problem.taps[2:]), problem.kernel[-1] * prod(problem.taps[1:2]))
        return _POINTS * prod(grid) * wide

    def unfold(self, x: jax.Array, problem: Problem) -> jax.Array:
        n, tiles, gap, *_ = self._grid(problem)
        rows = (tiles + 1) * _OUTPUTS * gap
        low, _ = problem.spec.padding[0]
        x = pad(x, ((low, max(rows - low - problem.input[1], 0)), *problem.spec.padding[1:]))[:, :rows]
        _, _, *others, c = x.shape
        x = x.reshape(n, tiles + 1, _OUTPUTS, -1)
        steps = [x[:, i // _OUTPUTS : i // _OUTPUTS + tiles, i % _OUTPUTS] for i in range(_POINTS)]
        points = _combine(_INPUT, steps).reshape(-1, 1, *others, c)
        axes = range(2, problem.spec.ndim)
        taps = product(*(range(problem.taps[axis]) for axis in axes))
        return _to_blocks(jnp.stack([window(points, problem, tap, axes) for tap in taps], axis=-2), problem)

    def fold(self, rows: jax.Array, problem: Problem) -> jax.Array:
        count, (n, tiles, gap, *others) = blocks(problem).number, self._grid(problem)
        folded = prod(problem.taps[1:2])
        columns = rows.reshape(_POINTS, count, n, tiles, gap, *others, folded, -1)
        points = [self._added(columns[i], problem) for i in range(_POINTS)]
        # XLA writes what a loop stacks with one core, and all sums before it back to the last product; so
        # where blocks must be interleaved, too, these sums are one
        combine = _combine if count == 1 else _product
        steps = jnp.moveaxis(combine(_OUTPUT, points), (1, 0), (-2, 2))
        steps = steps.reshape(n, tiles * _OUTPUTS * gap, *problem.output[2:])
        return steps[:, : problem.output[1]]

    def spread(self, y: jax.Array, problem: Problem) -> jax.Array:
        n, tiles, gap, *_ = self._grid(problem)
        ndim, wide = problem.spec.ndim, problem.padded[1:2]
        missing = tiles * _OUTPUTS * gap - problem.output[1]
        copies = []
        for start in _starts(problem):
            edges = [(start, wide[0] - problem.output[2] - start)] if wide else []
            copies.append(pad(y, ((0, missing), *edges, *((0, 0),) * (ndim - 2))))
        steps = jnp.stack(copies, axis=-2).reshape(n, tiles, _OUTPUTS, -1)
        points = _combine(_OUTPUT.T, [steps[:, :, i] for i in range(_OUTPUTS)])
        return _to_blocks(points.reshape(_POINTS, -1, len(copies), problem.kernel[-1]), problem)

    def matrix(self, kernel: jax.Array, problem: Problem) -> jax.Array:
        count, groups = blocks(problem)
        folded = prod(problem.taps[1:2])
        kernel = kernel.reshape(3, folded, -1, problem.channels, count, groups, problem.features)
        same = jnp.eye(groups, dtype=kernel.dtype)
        matrix = jnp.einsum("pi,iftcbko,mk->pbtmcfko", _KERNEL.astype(kernel.dtype), kernel, same)
        return matrix.reshape(_POINTS * count, -1, folded * groups * problem.features)

    def unmatrix(self, matrix: jax.Array, problem: Problem) -> jax.Array:
        count, groups = blocks(problem)
        folded = prod(problem.taps[1:2])
        shape = (_POINTS, count, -1, groups, problem.channels, folded, groups, problem.features)
        same = jnp.eye(groups, dtype=matrix.dtype)
        kernel = jnp.einsum(
            "pi,pbtmcfko,mk->iftcbko", _KERNEL.astype(matrix.dtype), matrix.reshape(shape), same
        )
        return kernel.reshape(problem.kernel)

    def _added(self, columns: jax.Array, problem: Problem) -> jax.Array:
        """Add the columns of each tap of the second axis, (block, n, tiles, gap, wide, ..., tap, :)."""
        if problem.spec.ndim == 1:
            return columns[..., 0, :]
        wide = problem.output[2]
        return add(
            lax.slice_in_dim(columns[..., tap, :], start, start + wide, axis=4)
            for tap, start in enumerate(_starts(problem))
        )

    def _grid(self, problem: Problem) -> tuple[int, ...]:
        """Images, tiles of four outputs, interleaved sets of rows (the dilation), the other axes."""
        gap = problem.spec.dilation[0]
        tiles = -(-problem.output[1] // (_OUTPUTS * gap))
        return (problem.input[0], tiles, gap, *problem.padded[1:2], *problem.output[3:-1])


def _starts(problem: Problem) -> list[int]:
    """Where the taps of the second axis start."""
    if problem.spec.ndim == 1:
        return [0]
    return [tap * problem.spec.dilation[1] for tap in range(problem.taps[1])]


def _combine(matrix: np.ndarray, parts: Sequence[jax.Array]) -> jax.Array:
    """``Σ_i matrix[:, i] · parts[i]``, the rows of the matrix in front.

    One expression with the coefficients broadcast compiles in half the time of one expression for each row.
    """
    shape = (-1, *(1,) * parts[0].ndim)
    return add(
        column.reshape(shape).astype(part.dtype) * part[None]
        for column, part in zip(matrix.T, parts, strict=True)
    )


def _product(matrix: np.ndarray, parts: Sequence[jax.Array]) -> jax.Array:
    """The same as :func:`_combine`, by a product of matrices."""
    values = jnp.stack(parts)
    return jnp.tensordot(matrix.astype(values.dtype), values, 1, precision=lax.Precision.HIGHEST)


def _to_blocks(points: jax.Array, problem: Problem) -> jax.Array:
    """(points, ..., copies, channels) to (points · blocks, rows, inner)."""
    points = points.reshape(_POINTS, -1, *points.shape[-2:])
    rows = jax.vmap(lambda pixels: to_blocks(pixels, problem))(points)
    return rows.reshape(-1, *rows.shape[2:])
