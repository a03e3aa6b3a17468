"""The input gradient of a strided convolution as convolutions of stride 1, one for each residue of pixels."""

from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops import geometry
from jaxcnn.ops.lowering.lowering import reverse
from jaxcnn.ops.lowering.spec import ConvSpec, Problem
from jaxcnn.ops.lowering.windows import pad
from jaxcnn.ops.phase import interleave

Convolve = Callable[[jax.Array, jax.Array, Problem], jax.Array]


def by_phases(convolve: Convolve, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
    """Compute the input gradient without the zeros that a stride puts between the cotangent's pixels.

    Pixels with one residue modulo the stride are read by every stride-th tap of neighbouring windows, so
    their gradient is a convolution of the cotangent by these taps; those that read the same pixels are
    features of one convolution.

    Paper: Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016, arXiv:1609.07009.

    Args:
      convolve: a lowering's output, for stride 1.
      kernel: (*taps, channels, groups · features).
      y: cotangent, of the output's shape.
      problem: strided.
    """
    spec, ndim = problem.spec, problem.spec.ndim
    axes = [
        geometry.transposed_phases(taps, stride=stride, low=low, outputs=size, dilation=dilation)
        for taps, stride, (low, _), size, dilation in zip(
            problem.taps, spec.strides, spec.padding, problem.input[1:-1], spec.dilation, strict=True
        )
    ]
    counts = tuple(count for _, count, _ in axes)
    phases = list(product(*(phases for phases, _, _ in axes)))
    alike: dict[object, list[int]] = {}
    for index, phase in enumerate(phases):
        # a depthwise convolution stays one: others are many times slower
        depthwise = problem.channels == 1 and spec.groups > 1
        key = index if depthwise else tuple((axis.start, len(axis.taps)) for axis in phase)
        alike.setdefault(key, []).append(index)
    parts: dict[int, jax.Array] = {}
    for indices in alike.values():
        part = _correlate(convolve, kernel, y, [phases[i] for i in indices], counts, problem)
        parts |= {index: part[..., place, :] for place, index in enumerate(indices)}
    x = jnp.stack([parts[i] for i in range(len(phases))], axis=-2)
    x = interleave(x.reshape(y.shape[0], *counts, *spec.strides, problem.input[-1]), ndim)
    for axis, ((_, _, drop), size) in enumerate(zip(axes, problem.input[1:-1], strict=True), start=1):
        x = lax.slice_in_dim(x, drop, drop + size, axis=axis)
    return x


def _correlate(
    convolve: Convolve,
    kernel: jax.Array,
    y: jax.Array,
    phases: list[tuple[geometry.Phase, ...]],
    counts: tuple[int, ...],
    problem: Problem,
) -> jax.Array:
    """Phases that read the same pixels: (n, *counts, phases, groups · channels)."""
    groups, channels = problem.spec.groups, problem.channels
    shape = (y.shape[0], *counts, len(phases), groups * channels)
    padding, edges = [], []
    for axis, count, size in zip(phases[0], counts, y.shape[1:-1], strict=True):
        rows = geometry.input_size(count, len(axis.taps), dilation=axis.dilation) if axis.taps else 0
        first, last = max(axis.start, 0), min(axis.start + rows, size)
        if first >= last:  # these pixels are read by no window
            return jnp.zeros(shape, y.dtype)
        edges.append((-first, last - size))
        padding.append((first - axis.start, axis.start + rows - last))
    taken = [kernel[tuple(slice(a.taps.start, None, a.taps.step) for a in phase)] for phase in phases]
    part = problem._replace(kernel=taken[0].shape)
    taken = [reverse(taps, part).reshape(*part.taps, problem.features, groups, 1, channels) for taps in taken]
    joined = jnp.concatenate(taken, axis=-2)
    joined = joined.reshape(*part.taps, problem.features, -1)
    y = pad(y, edges)
    spec = ConvSpec((1,) * len(counts), tuple(padding), tuple(a.dilation for a in phases[0]), groups)
    x = convolve(y, joined, Problem(y.shape, joined.shape, spec))
    x = x.reshape(y.shape[0], *counts, groups, len(phases), channels)
    return jnp.swapaxes(x, -3, -2).reshape(shape)
