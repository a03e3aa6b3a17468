"""Kernels of one tap or one window: a product of matrices."""

from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.products import Products
from jaxcnn.ops.lowering.spec import Problem


class Dot(Lowering):
    """``y = x · kernel`` over the channels of every pixel that the strides keep, or over whole images."""

    name = "dot"
    summary = "one tap, or one window: a product of matrices"

    def __init__(self, products: Products):
        self.products = products

    @property
    def takes_lanes(self) -> bool:
        """Whether products of several lanes are as fast in one batch as each alone."""
        return self.products.takes_lanes

    def refuses(self, problem: Problem, form: Form) -> str | None:
        if set(problem.taps) != {1} and not _whole(problem):
            return "one tap, or a window as large as the image"
        if problem.spec.groups != 1:
            return "groups=1"
        if any(pair != (0, 0) for pair in problem.spec.padding):
            return "no padding"
        return None

    def takes_half(self, problem: Problem, form: Form) -> bool:
        return self.products.takes_half

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        return self.products.product(_rows(x, problem), _matrix(kernel)[None]).reshape(problem.output)

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        x = self.products.product(_pixels(y), _matrix(kernel).T[None])
        if _whole(problem):
            return x.reshape(problem.input)
        x = x.reshape(*y.shape[:-1], problem.channels)
        edges = [
            (0, size - span, stride - 1)
            for size, span, stride in zip(
                problem.input[1:-1], problem.spans, problem.spec.strides, strict=True
            )
        ]
        return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        return self.products.transposed(_rows(x, problem), _pixels(y)).reshape(problem.kernel)


def _whole(problem: Problem) -> bool:
    """Whether there is one window, the whole image."""
    return problem.taps == problem.input[1:-1]


def _rows(x: jax.Array, problem: Problem) -> jax.Array:
    """What each output reads: (1, outputs, taps · channels)."""
    if _whole(problem):
        return x.reshape(1, len(x), prod(x.shape[1:]))
    return _pixels(lax.slice(x, (0,) * x.ndim, x.shape, (1, *problem.spec.strides, 1)))


def _pixels(x: jax.Array) -> jax.Array:
    """(1, pixels, channels)."""
    return x.reshape(1, prod(x.shape[:-1]), x.shape[-1])


def _matrix(kernel: jax.Array) -> jax.Array:
    """(taps · channels, features)."""
    return kernel.reshape(prod(kernel.shape[:-1]), kernel.shape[-1])
