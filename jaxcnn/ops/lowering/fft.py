"""Convolution as a product of spectra: large kernels."""

from itertools import product

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.windows import pad


class Fft(Lowering):
    """``y = F⁻¹(F(x) · conj F(kernel))``: the work does not grow with the kernel.

    The three tensors are laid on one grid, at least as large as the padded input, so that no window wraps
    round: taps of a dilated kernel lie dilation pixels apart on it, outputs stride pixels. Each form is the
    product of two spectra, channel by feature at each frequency.

    Reference: Mathieu, Henaff and LeCun, Fast Training of Convolutional Networks through FFTs, 2014.
    """

    name = "fft"
    summary = "large kernels: a product of spectra"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        return None

    def refuses_dtype(self, dtype: DTypeLike) -> str | None:
        return None if jnp.issubdtype(dtype, jnp.floating) else "floating numbers"

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        spectra = jnp.einsum(
            "gnc...,gcf...->gnf...", _of_input(x, problem), _of_kernel(kernel, problem).conj()
        )
        places = zip(problem.spans, problem.spec.strides, strict=True)
        y = _back(spectra, problem, [slice(0, span, stride) for span, stride in places])
        return jnp.moveaxis(y, 0, -2).reshape(problem.output)

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        spectra = jnp.einsum("gcf...,gnf...->gnc...", _of_kernel(kernel, problem), _of_output(y, problem))
        x = _back(spectra, problem, [slice(size) for size in problem.padded])
        x = jnp.moveaxis(x, 0, -2).reshape(-1, *problem.padded, problem.input[-1])
        return pad(x, [(-low, -high) for low, high in problem.spec.padding])

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        spectra = jnp.einsum("gnc...,gnf...->gcf...", _of_input(x, problem), _of_output(y, problem).conj())
        gaps = zip(problem.extents, problem.spec.dilation, strict=True)
        kernel = _back(spectra, problem, [slice(0, extent, gap) for extent, gap in gaps])
        return jnp.moveaxis(kernel, (0, 1), (-2, -3)).reshape(problem.kernel)


def _of_input(x: jax.Array, problem: Problem) -> jax.Array:
    """The spectra (groups, n, channels, *frequencies) of the padded input."""
    x = pad(x, problem.spec.padding).reshape(-1, *problem.padded, problem.spec.groups, problem.channels)
    return _spectra(jnp.moveaxis(x, (-2, -1), (0, 2)), problem)


def _of_kernel(kernel: jax.Array, problem: Problem) -> jax.Array:
    """The spectra (groups, channels, features, *frequencies) of the kernel."""
    kernel = _apart(kernel, problem.spec.dilation, 0)
    kernel = kernel.reshape(*problem.extents, problem.channels, problem.spec.groups, problem.features)
    return _spectra(jnp.moveaxis(kernel, (-2, -3, -1), (0, 1, 2)), problem)


def _of_output(y: jax.Array, problem: Problem) -> jax.Array:
    """The spectra (groups, n, features, *frequencies) of the output's cotangent."""
    y = _apart(y, problem.spec.strides, 1)
    y = y.reshape(*y.shape[:-1], problem.spec.groups, problem.features)
    return _spectra(jnp.moveaxis(y, (-2, -1), (0, 2)), problem)


def _apart(values: jax.Array, steps: tuple[int, ...], first: int) -> jax.Array:
    """Zeros between the pixels of the spatial axes, of which ``first`` is the first."""
    edges = [(0, 0, 0)] * values.ndim
    edges[first : first + len(steps)] = [(0, 0, step - 1) for step in steps]
    return lax.pad(values, jnp.zeros((), values.dtype), edges)


def _spectra(values: jax.Array, problem: Problem) -> jax.Array:
    return jnp.fft.rfftn(values, _grid(problem), axes=range(-problem.spec.ndim, 0))


def _back(spectra: jax.Array, problem: Problem, kept: list[slice]) -> jax.Array:
    """The pixels that are ``kept``, of (groups, a, b, *frequencies) as (groups, a, *spatial, b)."""
    values = jnp.fft.irfftn(spectra, _grid(problem), axes=range(-problem.spec.ndim, 0))
    return jnp.moveaxis(values[:, :, :, *kept], 2, -1)


def _grid(problem: Problem) -> tuple[int, ...]:
    return tuple(_smooth(size) for size in problem.padded)


def _smooth(least: int) -> int:
    """The least even number without large factors, which a fast transform wants.

    >>> _smooth(31), _smooth(97), _smooth(1)
    (32, 100, 2)
    """
    powers = (2**a * 3**b * 5**c for a, b, c in product(range(1, 30), range(6), range(6)))
    return min(size for size in powers if size >= least)
