"""The convolution that XLA knows."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Form, Lowering, reverse
from jaxcnn.ops.lowering.spec import Problem, dimension_numbers


class Direct(Lowering):
    """``lax.conv_general_dilated``, with the gradients in the form that JAX gives them."""

    name = "direct"
    summary = "XLA's own convolution"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        return None

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        spec = problem.spec
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=spec.strides,
            padding=spec.padding,
            rhs_dilation=spec.dilation,
            dimension_numbers=dimension_numbers(spec.ndim),
            feature_group_count=spec.groups,
        )

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        x = jax.ShapeDtypeStruct(problem.input, y.dtype)
        (gradient,) = jax.linear_transpose(lambda x: self.output(x, kernel, problem), x)(y)
        return gradient

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        kernel = jax.ShapeDtypeStruct(problem.kernel, y.dtype)
        (gradient,) = jax.linear_transpose(lambda kernel: self.output(x, kernel, problem), kernel)(y)
        return gradient


class Canonical(Direct):
    """``lax.conv_general_dilated``, with the gradients written as forward convolutions, channels last.

    XLA on CPU brings the convolutions that JAX writes for gradients, with their permuted axes and reversed
    windows, into this form too, but not inside the body of a loop: there they fall to a naive one, 20 to 100
    times slower. Written out, a loop costs no more than its steps.
    """

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        """The cotangent, its pixels apart by the stride, by the reversed kernel."""
        spec = problem.spec
        padding = [
            (extent - 1 - low, size + low - 1 - (outputs - 1) * stride)
            for outputs, stride, extent, size, (low, _) in _axes(problem)
        ]
        return lax.conv_general_dilated(
            y,
            reverse(kernel, problem),
            window_strides=(1,) * spec.ndim,
            padding=padding,
            lhs_dilation=spec.strides,
            rhs_dilation=spec.dilation,
            dimension_numbers=dimension_numbers(spec.ndim),
            feature_group_count=spec.groups,
        )

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        """Channels take the place of the batch, the batch that of the channels, y that of the kernel."""
        spec, groups = problem.spec, problem.spec.groups
        lhs = jnp.moveaxis(x.reshape(*x.shape[:-1], groups, problem.channels), (-1, 0), (0, -1))
        rhs = jnp.moveaxis(y, 0, -2)
        lhs = lhs.reshape(*lhs.shape[:-2], groups * x.shape[0])
        padding = [
            (low, (outputs - 1) * stride + extent - size - low)
            for outputs, stride, extent, size, (low, _) in _axes(problem)
        ]
        gradient = lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides=spec.dilation,
            padding=padding,
            rhs_dilation=spec.strides,
            dimension_numbers=dimension_numbers(spec.ndim),
            feature_group_count=groups,
        )
        return jnp.moveaxis(gradient, 0, -2)


def _axes(problem: Problem):
    """For each axis: outputs, stride, extent, size of the input, padding."""
    spec = problem.spec
    return zip(
        problem.output[1:-1], spec.strides, problem.extents, problem.input[1:-1], spec.padding, strict=True
    )
