"""The convolution that XLA knows."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Form, Lowering, restate, reverse
from jaxcnn.ops.lowering.spec import ConvSpec, Problem, dimension_numbers
from jaxcnn.ops.lowering.strides import Unstrided, unstrides
from jaxcnn.ops.lowering.windows import pad


class Direct(Lowering):
    """``lax.conv_general_dilated``, with the gradients in the form that JAX gives them."""

    name = "direct"
    summary = "XLA's own convolution"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        return None

    def takes_half(self, problem: Problem, form: Form) -> bool:
        return True

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
        if _unstriding_helps(problem):
            same = Unstrided(problem)
            return same.input_back(self.input(same.kernel(kernel), y, same.problem))
        padding = problem.gradient_padding
        if any(side < 0 for pair in padding for side in pair):
            # before jaxlib 0.12, XLA on CPU reads beyond the array where padding is negative
            return self.output(*restate(kernel, y, problem))
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
        lhs, rhs, forward = as_forward(x, y, problem)
        return jnp.moveaxis(self.output(lhs, rhs, forward), 0, -2)


def as_forward(x: jax.Array, y: jax.Array, problem: Problem) -> tuple[jax.Array, jax.Array, Problem]:
    """State a kernel gradient as a convolution of the input by the cotangent.

    Channels take the place of the batch, the batch that of the channels, the outputs that of the taps, and
    strides and dilation change places.

    Returns:
      Input, kernel and problem of a convolution whose output is (channels of a group, *taps, features).
    """
    spec, n = problem.spec, problem.input[0]
    lhs = jnp.moveaxis(x.reshape(*x.shape[:-1], spec.groups, problem.channels), (-1, 0), (0, -1))
    padding, edges = [], []
    axes = zip(problem.spans, problem.extents, problem.input[1:-1], spec.padding, strict=True)
    for places, extent, size, (low, _) in axes:
        span = places + extent - 1  # of all windows, from the first padded pixel
        read = min(size, span - low)
        edges.append((0, read - size) if read > 0 else (-size, 1))
        padding.append((low, span - low - read) if read > 0 else (0, span - 1))
    lhs = pad(lhs.reshape(*lhs.shape[:-2], spec.groups * n), edges)
    reversed_spec = ConvSpec(spec.dilation, tuple(padding), spec.strides, spec.groups)
    forward = Problem(lhs.shape, (*problem.output[1:-1], n, problem.kernel[-1]), reversed_spec)
    return lhs, jnp.moveaxis(y, 0, -2), forward


def _unstriding_helps(problem: Problem) -> bool:
    """XLA multiplies by the zeros between the pixels; three axes it computes naively if there are any."""
    wide = max(problem.taps) > max(3, *problem.spec.strides)
    return unstrides(problem) and (problem.spec.ndim == 3 or (problem.spec.ndim == 2 and wide))
