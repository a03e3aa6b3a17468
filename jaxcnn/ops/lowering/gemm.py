"""Convolution as products of matrices over tiles of the batch that stay in cache."""

from abc import abstractmethod
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Lowering
from jaxcnn.ops.lowering.products import Products
from jaxcnn.ops.lowering.spec import Problem

CACHE = 6 << 20
"""Bytes of unfolded pixels in one tile: what the last cache of a small machine holds beside the products."""

_BLOCK_CHANNELS = 8
"""Groups narrower than this are merged: a product of matrices wants full vectors more than fewer zeros."""


class Blocks(NamedTuple):
    """Groups merged into blocks, each a dense product of matrices: so many blocks, of so many groups."""

    number: int
    groups: int


def blocks(problem: Problem) -> Blocks:
    """Merge as few groups as make a block of 8 channels.

    >>> from jaxcnn.ops.lowering.spec import ConvSpec
    >>> spec = ConvSpec((1,), ((1, 1),), (1,), groups=12)
    >>> blocks(Problem((1, 9, 24), (3, 2, 12), spec))
    Blocks(number=3, groups=4)
    """
    groups = problem.spec.groups
    for merged in range(1, groups + 1):
        if groups % merged == 0 and merged * problem.channels >= _BLOCK_CHANNELS:
            return Blocks(groups // merged, merged)
    return Blocks(1, groups)


class Gemm(Lowering):
    """``conv(x, kernel) = fold(unfold(x) · matrix(kernel))``, for each block of groups and tile of images.

    A subclass says how pixels become rows of a matrix. With ``spread`` the transpose of ``fold``, the kernel
    gradient is ``unmatrix(Σ_tiles unfold(x)ᵀ · spread(y))``.
    """

    def __init__(self, products: Products, tile_bytes: int = CACHE):
        self.products, self.tile_bytes = products, tile_bytes

    @abstractmethod
    def unfold(self, x: jax.Array, problem: Problem) -> jax.Array:
        """Images to (blocks, rows, inner)."""

    @abstractmethod
    def matrix(self, kernel: jax.Array, problem: Problem) -> jax.Array:
        """The kernel to (blocks, inner, columns)."""

    @abstractmethod
    def fold(self, rows: jax.Array, problem: Problem) -> jax.Array:
        """(blocks, rows, columns) to the output."""

    @abstractmethod
    def spread(self, y: jax.Array, problem: Problem) -> jax.Array:
        """The transpose of :meth:`fold`."""

    @abstractmethod
    def unmatrix(self, matrix: jax.Array, problem: Problem) -> jax.Array:
        """The transpose of :meth:`matrix`."""

    @abstractmethod
    def inner(self, problem: Problem) -> int:
        """Numbers that :meth:`unfold` writes for one image."""

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        images, tile = self._tile(problem)
        matrix = self.matrix(kernel, problem)

        def compute(x: jax.Array) -> jax.Array:
            return self.fold(self.products.product(self.unfold(x, tile), matrix), tile)

        if images == x.shape[0]:
            return compute(x)
        return lax.map(compute, _in_tiles(x, images)).reshape(problem.output)

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        images, tile = self._tile(problem)

        def compute(x: jax.Array, y: jax.Array) -> jax.Array:
            return self.products.transposed(self.unfold(x, tile), self.spread(y, tile))

        if images == x.shape[0]:
            return self.unmatrix(compute(x, y), problem)
        tiles = _in_tiles(x, images), _in_tiles(y, images)
        start = jnp.zeros_like(jax.eval_shape(compute, tiles[0][0], tiles[1][0]))
        total, _ = lax.scan(lambda total, pair: (total + compute(*pair), None), start, tiles)
        return self.unmatrix(total, problem)

    def _tile(self, problem: Problem) -> tuple[int, Problem]:
        """How many images are computed at once, a divisor of the batch, and the problem they pose."""
        n, *image = problem.input
        fit = max(1, self.tile_bytes // (4 * self.inner(problem)))
        images = max(count for count in range(1, min(n, fit) + 1) if n % count == 0)
        return images, problem._replace(input=(images, *image))


def to_blocks(pixels: jax.Array, problem: Problem) -> jax.Array:
    """(..., copies, channels) to (blocks, rows, copies · channels of a block)."""
    count = blocks(problem).number
    *outer, copies, channels = pixels.shape
    if count == 1:
        return pixels.reshape(1, prod(outer), copies * channels)
    pixels = pixels.reshape(prod(outer), copies, count, channels // count)
    return jnp.moveaxis(pixels, 2, 0).reshape(count, prod(outer), -1)


def _in_tiles(values: jax.Array, images: int) -> jax.Array:
    return values.reshape(values.shape[0] // images, images, *values.shape[1:])
