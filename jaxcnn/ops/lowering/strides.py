"""A strided convolution as one of stride 1: each square of stride × stride pixels becomes one pixel."""

from math import prod

import jax
import jax.numpy as jnp

from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.spec import ConvSpec, Problem
from jaxcnn.ops.lowering.windows import pad


class Unstriding(Lowering):
    """A lowering that is faster at stride 1: it is given strided convolutions as such, where that can be."""

    def __init__(self, inner: Lowering):
        self.inner, self.name, self.summary = inner, inner.name, inner.summary

    def refuses(self, problem: Problem, form: Form) -> str | None:
        return self.inner.refuses(problem, form)

    def takes_half(self, problem: Problem, form: Form) -> bool:
        return self.inner.takes_half(problem, form)

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        if not unstrides(problem):
            return self.inner.output(x, kernel, problem)
        same = Unstrided(problem)
        return self.inner.output(same.input(x), same.kernel(kernel), same.problem)

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        if not unstrides(problem):
            return self.inner.input(kernel, y, problem)
        same = Unstrided(problem)
        return same.input_back(self.inner.input(same.kernel(kernel), y, same.problem))

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        if not unstrides(problem):
            return self.inner.kernel(x, y, problem)
        same = Unstrided(problem)
        return same.kernel_back(self.inner.kernel(same.input(x), y, same.problem))


def unstrides(problem: Problem) -> bool:
    """Whether there is something for :class:`Unstrided` to do, and it can.

    Some axis is strided, and none is both strided and dilated, whose taps would fall apart.
    """
    axes = zip(problem.spec.strides, problem.spec.dilation, strict=True)
    return set(problem.spec.strides) != {1} and all(s == 1 or d == 1 for s, d in axes)


def spare_taps(problem: Problem) -> float:
    """Taps of :class:`Unstrided`'s kernel, zeros among them, for each tap that it is given.

    >>> from jaxcnn.ops.lowering.spec import ConvSpec
    >>> spec = ConvSpec((2, 2), ((1, 1), (1, 1)), (1, 1))
    >>> spare_taps(Problem((1, 8, 8, 4), (3, 4, 4, 4), spec))  # 4 of 3 and 4 of 4
    1.3333333333333333
    """
    axes = zip(problem.taps, problem.spec.strides, strict=True)
    return prod(-(-taps // stride) * stride / taps for taps, stride in axes)


class Unstrided:
    """A convolution of stride 1 that computes a strided one.

    On an axis of stride s, pixel ``q·s + r`` of the padded input becomes channel r of pixel q, and so do the
    taps, of which zeros make up a multiple of s: 3 taps of stride 2 become 2 taps on pairs of pixels.

    Args:
      problem: strided on axes that are not dilated.
    """

    def __init__(self, problem: Problem):
        self.strided, spec = problem, problem.spec
        self.taps = tuple(-(-k // s) for k, s in zip(problem.taps, spec.strides, strict=True))
        grid = zip(problem.output[1:-1], self.taps, spec.dilation, strict=True)
        self.pixels = tuple(outputs + (taps - 1) * gap for outputs, taps, gap in grid)
        channels = prod(spec.strides) * problem.channels
        ndim = spec.ndim
        self.problem = Problem(
            (problem.input[0], *self.pixels, spec.groups * channels),
            (*self.taps, channels, problem.kernel[-1]),
            ConvSpec((1,) * ndim, ((0, 0),) * ndim, spec.dilation, spec.groups),
        )

    def input(self, x: jax.Array) -> jax.Array:
        """The input of the problem of stride 1."""
        strides, ndim, groups = self.strided.spec.strides, self.strided.spec.ndim, self.strided.spec.groups
        x = pad(x, self._edges())
        x = x.reshape(x.shape[0], *_pairs(self.pixels, strides), groups, self.strided.channels)
        squares, inside = range(1, 2 * ndim, 2), range(2, 2 * ndim + 1, 2)
        x = x.transpose(0, *squares, 2 * ndim + 1, *inside, 2 * ndim + 2)
        return x.reshape(self.problem.input)

    def input_back(self, x: jax.Array) -> jax.Array:
        """The transpose of :meth:`input`."""
        strides, ndim, groups = self.strided.spec.strides, self.strided.spec.ndim, self.strided.spec.groups
        x = x.reshape(x.shape[0], *self.pixels, groups, *strides, self.strided.channels)
        order = [axis for i in range(ndim) for axis in (1 + i, ndim + 2 + i)]
        x = x.transpose(0, *order, ndim + 1, 2 * ndim + 2)
        sizes = (p * s for p, s in zip(self.pixels, strides, strict=True))
        x = x.reshape(x.shape[0], *sizes, groups * self.strided.channels)
        return pad(x, [(-low, -high) for low, high in self._edges()])

    def kernel(self, kernel: jax.Array) -> jax.Array:
        """The kernel of the problem of stride 1."""
        strides, ndim = self.strided.spec.strides, self.strided.spec.ndim
        kernel = jnp.pad(kernel, [*((0, more) for more in self._missing()), (0, 0), (0, 0)])
        kernel = kernel.reshape(*_pairs(self.taps, strides), *kernel.shape[-2:])
        order = (*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2), 2 * ndim, 2 * ndim + 1)
        return kernel.transpose(order).reshape(self.problem.kernel)

    def kernel_back(self, kernel: jax.Array) -> jax.Array:
        """The transpose of :meth:`kernel`."""
        strides, ndim = self.strided.spec.strides, self.strided.spec.ndim
        kernel = kernel.reshape(*self.taps, *strides, self.strided.channels, kernel.shape[-1])
        order = [axis for i in range(ndim) for axis in (i, ndim + i)]
        kernel = kernel.transpose(*order, 2 * ndim, 2 * ndim + 1)
        sizes = (t * s for t, s in zip(self.taps, strides, strict=True))
        kernel = kernel.reshape(*sizes, *kernel.shape[-2:])
        return kernel[tuple(slice(taps) for taps in self.strided.taps)]

    def _edges(self) -> list[tuple[int, int]]:
        """Padding of the input, negative where no window reads."""
        sizes = zip(self.pixels, self.strided.spec.strides, self.strided.input[1:-1], strict=True)
        lows = (low for low, _ in self.strided.spec.padding)
        return [
            (low, pixels * stride - size - low)
            for (pixels, stride, size), low in zip(sizes, lows, strict=True)
        ]

    def _missing(self) -> list[int]:
        """Taps of zeros added on each axis."""
        every = zip(self.taps, self.strided.spec.strides, self.strided.taps, strict=True)
        return [taps * stride - own for taps, stride, own in every]


def _pairs(first: tuple[int, ...], second: tuple[int, ...]) -> list[int]:
    return [size for pair in zip(first, second, strict=True) for size in pair]
