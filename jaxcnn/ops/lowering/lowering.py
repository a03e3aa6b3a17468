"""What a lowering is: one way to compute a convolution and its two gradients."""

from abc import ABC, abstractmethod
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxcnn.ops.lowering.spec import ConvSpec, Problem

Form = Literal["output", "input", "kernel"]
"""Which of the three tensors is computed, from the two others."""


class Lowering(ABC):
    """One way to compute the three forms of a convolution.

    The sum ``Σ y · conv(x, kernel)`` is linear in each of x, kernel and y; its gradient by one of them is a
    function of the two others: the output, the input gradient or the kernel gradient. A subclass gives the
    output; the input gradient is then the output of a restated problem.
    """

    name: str
    summary: str

    @abstractmethod
    def refuses(self, problem: Problem, form: Form) -> str | None:
        """What the lowering would need to compute this form, or None where it can."""

    def refuses_dtype(self, dtype: DTypeLike) -> str | None:
        """What numbers the lowering would need instead of these, or None."""
        return None

    def takes_half(self, problem: Problem, form: Form) -> bool:
        """Whether half precision is summed in float32 and rounded once; else it is given float32."""
        return False

    @abstractmethod
    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        """The convolution."""

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        """The gradient by the input, for the cotangent ``y``."""
        return self.output(*restate(kernel, y, problem))

    @abstractmethod
    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        """The gradient by the kernel, for the cotangent ``y``."""


def restate(kernel: jax.Array, y: jax.Array, problem: Problem) -> tuple[jax.Array, jax.Array, Problem]:
    """State an input gradient as a convolution of the cotangent.

    ``x[j] = Σ_tap y[(j + low - tap·dilation) / stride] · kernel[tap]`` is the convolution of the cotangent,
    with stride - 1 zeros between its pixels, by the kernel with its taps reversed and its channels and
    features exchanged.
    """
    edges, restated = _restated(problem)
    if any(edge != (0, 0, 0) for edge in edges):
        y = lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    return y, reverse(kernel, problem), restated


def reverse(kernel: jax.Array, problem: Problem) -> jax.Array:
    """Reverse the taps, and exchange channels and features within each group."""
    taps, groups, ndim = problem.taps, problem.spec.groups, problem.spec.ndim
    kernel = lax.rev(kernel, tuple(range(ndim)))
    kernel = kernel.reshape(*taps, problem.channels, groups, problem.features)
    kernel = jnp.moveaxis(kernel, -1, ndim).swapaxes(-1, -2)
    return kernel.reshape(*taps, problem.features, groups * problem.channels)


def _restated(problem: Problem) -> tuple[list[tuple[int, int, int]], Problem]:
    """For each axis (low, high, interior) zeros of the cotangent, negative to crop; and the new numbers."""
    edges, padding, spatial = [], [], []
    axes = zip(problem.gradient_padding, problem.spans, problem.spec.strides, strict=True)
    for (low, high), span, stride in axes:
        if span + min(low, 0) + min(high, 0) < 1:  # every output lies in the padding
            edges.append((-span, 1, stride - 1))
            padding.append((0, span + low + high - 1))
        else:
            edges.append((min(low, 0), min(high, 0), stride - 1))
            padding.append((max(low, 0), max(high, 0)))
        spatial.append(span + sum(edges[-1][:2]))
    ones = (1,) * problem.spec.ndim
    spec = ConvSpec(ones, tuple(padding), problem.spec.dilation, problem.spec.groups)
    kernel = (*problem.taps, problem.features, problem.spec.groups * problem.channels)
    return edges, Problem((problem.input[0], *spatial, problem.kernel[-1]), kernel, spec)
