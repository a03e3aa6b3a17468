"""The general product of matrices: unfold some axes before it, fold the leading one after it."""

from itertools import product
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.gemm import Gemm, blocks, to_blocks
from jaxcnn.ops.lowering.lowering import Form
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.windows import add, pad, window


class Tiles(Gemm):
    """Patches times kernel, with the taps split between the two sides of the product.

    Taps of the trailing axes are unfolded: each pixel is copied once for each tap. Where the stride allows,
    taps of the leading axis are folded instead: the product has columns for each tap, whose rows are shifted
    and added. A kernel of 3×3 so copies its input 3 times and adds 3 products, where unfolding both axes
    would copy it 9 times.
    """

    name = "tiles"
    summary = "products of matrices over tiles of the batch"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        return None

    def takes_half(self, problem: Problem, form: Form) -> bool:
        return self.products.takes_half

    def inner(self, problem: Problem) -> int:
        return prod(self._grid(problem)) * prod(problem.taps[len(_folded(problem)) :]) * problem.input[-1]

    def unfold(self, x: jax.Array, problem: Problem) -> jax.Array:
        axes = range(len(_folded(problem)), problem.spec.ndim)
        x = pad(x, problem.spec.padding)
        taps = product(*(range(problem.taps[axis]) for axis in axes))
        return to_blocks(jnp.stack([window(x, problem, tap, axes) for tap in taps], axis=-2), problem)

    def fold(self, rows: jax.Array, problem: Problem) -> jax.Array:
        count, _ = blocks(problem)
        columns = rows.reshape(count, problem.input[0], *self._grid(problem), *_folded(problem), -1)
        if _folded(problem):
            height, gap = problem.output[1], problem.spec.dilation[0]
            columns = add(
                lax.slice_in_dim(columns[..., tap, :], tap * gap, tap * gap + height, axis=2)
                for tap in range(problem.taps[0])
            )
        return jnp.moveaxis(columns, 0, -2).reshape(problem.output)

    def spread(self, y: jax.Array, problem: Problem) -> jax.Array:
        if not _folded(problem):
            return to_blocks(y[..., None, :], problem)
        extra, gap = problem.padded[0] - problem.output[1], problem.spec.dilation[0]
        others = ((0, 0),) * (problem.spec.ndim - 1)
        copies = [pad(y, ((tap * gap, extra - tap * gap), *others)) for tap in range(problem.taps[0])]
        return to_blocks(jnp.stack(copies, axis=-2), problem)

    def matrix(self, kernel: jax.Array, problem: Problem) -> jax.Array:
        count, groups = blocks(problem)
        folded = prod(_folded(problem))
        kernel = kernel.reshape(folded, -1, problem.channels, count, groups, problem.features)
        same = jnp.eye(groups, dtype=kernel.dtype)
        matrix = jnp.einsum("ftcbko,mk->btmcfko", kernel, same)
        return matrix.reshape(count, -1, folded * groups * problem.features)

    def unmatrix(self, matrix: jax.Array, problem: Problem) -> jax.Array:
        count, groups = blocks(problem)
        folded = prod(_folded(problem))
        shape = (count, -1, groups, problem.channels, folded, groups, problem.features)
        same = jnp.eye(groups, dtype=matrix.dtype)
        kernel = jnp.einsum("btmcfko,mk->ftcbko", matrix.reshape(shape), same)
        return kernel.reshape(problem.kernel)

    def _grid(self, problem: Problem) -> tuple[int, ...]:
        """Pixels of the product: the padded input on the folded axis, the outputs on the others."""
        return problem.padded[:1] + problem.output[2:-1] if _folded(problem) else problem.output[1:-1]


def _folded(problem: Problem) -> tuple[int, ...]:
    """Taps of the leading axis if it is folded, else nothing."""
    fold = problem.spec.ndim > 1 and problem.taps[0] > 1 and problem.spec.strides[0] == 1
    return problem.taps[:1] if fold else ()
