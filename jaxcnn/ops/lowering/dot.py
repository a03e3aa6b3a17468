"""Kernels of one tap: a product of matrices."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.spec import Problem


class Dot(Lowering):
    """``y = x · kernel`` over the channels of every pixel that the strides keep."""

    name = "dot"
    summary = "one tap: a product of matrices"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        if set(problem.taps) != {1}:
            return "one tap"
        if problem.spec.groups != 1:
            return "groups=1"
        if any(pair != (0, 0) for pair in problem.spec.padding):
            return "no padding"
        return None

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        return jnp.dot(_kept(x, problem), kernel.reshape(kernel.shape[-2:]))

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        x = jnp.dot(y, kernel.reshape(kernel.shape[-2:]).T)
        edges = [
            (0, size - (outputs - 1) * stride - 1, stride - 1)
            for size, outputs, stride in zip(
                problem.input[1:-1], problem.output[1:-1], problem.spec.strides, strict=True
            )
        ]
        return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        pixels = tuple(range(y.ndim - 1))
        return jnp.tensordot(_kept(x, problem), y, (pixels, pixels)).reshape(problem.kernel)


def _kept(x: jax.Array, problem: Problem) -> jax.Array:
    return lax.slice(x, (0,) * x.ndim, x.shape, (1, *problem.spec.strides, 1))
