"""Depthwise convolution as a sum of shifted products."""

from itertools import product
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.phases import by_phases
from jaxcnn.ops.lowering.spec import ConvSpec, Problem
from jaxcnn.ops.lowering.windows import add, pad, window


class Shift(Lowering):
    """``y = Σ_tap shifted(x, tap) · kernel[tap]``, channel by channel, in one fused loop.

    The kernel gradient ``Σ_pixels shifted(x, tap) · y`` first adds blocks of rows to each other, which fuses
    with the products, and only then reduces: XLA would write out the products of a plain reduction.
    """

    name = "shift"
    summary = "depthwise: a sum of shifted products"
    most_taps = 128
    most_features = 4
    most_unrolled = 9

    def refuses(self, problem: Problem, form: Form) -> str | None:
        if problem.channels != 1 or problem.spec.groups == 1:
            return "groups of one channel each"
        if problem.features > self.most_features:
            return f"at most {self.most_features} features for each channel, since each is written out"
        if prod(problem.taps) > self.most_taps:
            return f"at most {self.most_taps} taps, since each is written out"
        return None

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        groups, channels, ndim = problem.spec.groups, problem.channels, problem.spec.ndim
        x = pad(x, problem.spec.padding)
        x = x.reshape(*x.shape[:-1], groups, channels, 1)
        kernel = kernel.reshape(*problem.taps, channels, *(1,) * (ndim + 1), groups, problem.features)
        partial = []  # a sum for each leading tap: short chains of additions overlap, one long chain waits
        for lead in range(problem.taps[0]):
            terms = (
                window(x[..., c, :], problem, (lead, *rest)) * kernel[(lead, *rest, c)]
                for *rest, c in product(*map(range, problem.taps[1:]), range(channels))
            )
            partial.append(add(terms))
        return add(partial).reshape(problem.output)

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        if set(problem.spec.strides) == {1}:
            return super().input(kernel, y, problem)
        return by_phases(self.output, kernel, y, problem)

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        rows = _rows_at_once(problem.output[1])
        problem = _with_rows(problem, -problem.output[1] % rows)
        y = pad(y, [(0, new - old) for new, old in zip(problem.output[1:-1], y.shape[1:-1], strict=True)])
        x, y, read = _long_rows(pad(x, problem.spec.padding), y, problem)
        channels = (problem.spec.groups, problem.features)

        def sums(x: jax.Array, lead: int) -> jax.Array:
            taps = product([lead], *map(range, problem.taps[1:]))
            products = jnp.stack([_added_rows(window(x, read, tap) * y, rows) for tap in taps])
            return products.reshape(len(products), -1, *channels).sum(1)

        lead = problem.taps[0]
        if prod(problem.taps) <= self.most_unrolled:
            return jnp.stack([sums(x, tap) for tap in range(lead)]).reshape(problem.kernel)
        span = problem.spans[0]
        starts = jnp.arange(lead) * problem.spec.dilation[0]
        gradient = lax.map(lambda start: sums(lax.dynamic_slice_in_dim(x, start, span, 1), 0), starts)
        return gradient.reshape(problem.kernel)


class Summed(Shift):
    """The same for GPUs: the kernel gradient is one reduction for each tap, which fuses with its products.

    Each image is summed first, and then the images: many sums at once keep a GPU busy.
    """

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        x = pad(x, problem.spec.padding)[..., None]
        y = y.reshape(*y.shape[:-1], problem.spec.groups, problem.features)
        axes = tuple(range(1, problem.spec.ndim + 1))
        taps = product(*map(range, problem.taps))
        images = jnp.stack([(window(x, problem, tap) * y).sum(axes) for tap in taps])
        return images.sum(1).reshape(problem.kernel)


def _long_rows(x: jax.Array, y: jax.Array, problem: Problem) -> tuple[jax.Array, jax.Array, Problem]:
    """The padded input and the cotangent, and the problem by which one is read at the pixels of the other.

    Where neighbours on the last axis are read together, that axis and the channels are one axis of long rows.
    """
    strides, _, dilation, groups = problem.spec
    unpadded = ((0, 0),) * len(strides)
    if len(strides) > 1 and strides[-1] == 1 and problem.features == 1:
        x = x.reshape(*x.shape[:-2], -1, 1)
        spec = ConvSpec(strides, unpadded, (*dilation[:-1], dilation[-1] * groups))
        return x, y.reshape(*y.shape[:-2], -1, 1), Problem(x.shape, (*problem.taps, 1, 1), spec)
    read = problem._replace(input=x.shape, spec=problem.spec._replace(padding=unpadded))
    return x[..., None], y.reshape(*y.shape[:-1], groups, problem.features), read


def _added_rows(values: jax.Array, rows: int) -> jax.Array:
    """Add blocks of rows to each other, ``rows`` of them."""
    n, size, *rest = values.shape
    blocks = values.reshape(n, rows, size // rows, *rest)
    return add(blocks[:, i] for i in range(rows))


def _rows_at_once(outputs: int, most: int = 8) -> int:
    """A divisor of the rows where a good one exists, so that none need be added.

    >>> _rows_at_once(56), _rows_at_once(7), _rows_at_once(10), _rows_at_once(13)
    (8, 7, 5, 8)
    """
    divisor = max(d for d in range(1, most + 1) if outputs % d == 0)
    return divisor if divisor >= most // 2 else min(most, outputs)


def _with_rows(problem: Problem, more: int) -> Problem:
    """The same convolution with more rows of output, that read zeros at the end."""
    (low, high), *others = problem.spec.padding
    padding = ((low, high + more * problem.spec.strides[0]), *others)
    return problem._replace(spec=problem.spec._replace(padding=padding))
