"""oneDNN, Intel's library of compiled kernels, which jaxlib carries for x86 processors.

XLA calls it by custom calls of its own, and only where told to by a flag for the whole program. Given as
operations they are a lowering among others: a convolution forward, and products of matrices. Three bounds of
jaxlib 0.9 to 0.12 decide where:

- XLA cannot write these calls to its persistent cache (it crashes), nor would other jaxlibs read them.
- oneDNN's older kernels, made of products of matrices, start threads within threads; under XLA's thread pool
  they wait for each other for ever. Only shapes for which it was seen to have newer ones are given to it.
- The arguments are XLA's own business, so only versions that were seen to take them get them.

``JAXCNN_ONEDNN=0`` in the environment does without it.
"""

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from jax import lax
from jax.typing import DTypeLike

from jaxcnn.ops.lowering.direct import as_forward
from jaxcnn.ops.lowering.lowering import Form, Lowering, restate
from jaxcnn.ops.lowering.phases import by_phases
from jaxcnn.ops.lowering.products import Products
from jaxcnn.ops.lowering.spec import ConvSpec, Problem
from jaxcnn.ops.lowering.strides import Unstrided, spare_taps, unstrides

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
"""What is given to it; of half precision the values in float32."""


def missing() -> str | None:
    """What would be needed to call oneDNN, or None."""
    if _kept():
        return "no persistent compilation cache, which cannot hold its calls"
    return not_here()


def _kept() -> bool:
    """Whether JAX may write compiled programs to its cache; once used, switching it off is not enough."""
    config: Any = jax.config  # its options are made when jax is imported
    return bool(config.jax_compilation_cache_dir) and not stays()


_stays = ContextVar("stays", default=False)


def stays() -> bool:
    """Whether this thread is within :func:`staying`."""
    return _stays.get()


@contextmanager
def staying() -> Iterator[None]:
    """What this thread lowers within runs in processes of this machine alone, and JAX's cache is kept off it.

    It may call oneDNN even where there is a cache, and where it is exported.
    """
    token = _stays.set(True)
    try:
        yield
    finally:
        _stays.reset(token)


@cache
def not_here() -> str | None:
    """What this machine and jaxlib would need to call oneDNN in any program, or None."""
    version = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
    if not ((0, 9) <= version < (0, 13) and sys.platform == "linux" and platform.machine() == "x86_64"):
        return "jaxlib 0.9 to 0.12 on x86-64 Linux"
    # without AVX-512, or told to do without, it has no newer kernels for products of matrices
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:  # not told, as in some sandboxes
        flags = []
    limited = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & set(os.environ)
    if limited or not {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(flags):
        return "a processor with AVX-512"
    return "JAXCNN_ONEDNN=1" if os.environ.get("JAXCNN_ONEDNN") == "0" else None


class OneDnn(Lowering):
    """A kernel compiled for the shape, which reads pixels where they lie."""

    name = "onednn"
    summary = "oneDNN's kernels, each compiled for its shape"

    def refuses(self, problem: Problem, form: Form) -> str | None:
        sizes, groups = (*problem.input, *problem.kernel), problem.spec.groups
        if not all(isinstance(size, int) and size for size in sizes):
            return "sizes that are known, of 1 or more"
        # as the convolution that it is: a kernel gradient has images for channels, its taps lie strides apart
        gaps = problem.spec.strides if form == "kernel" else problem.spec.dilation
        if groups > 1 and max(gaps) > 1 and _side_by_side(groups) == 1:
            return "no gaps between taps, or groups that can be joined"
        return None

    def refuses_dtype(self, dtype: DTypeLike) -> str | None:
        return None if dtype in DTYPES else "float32 or half precision"

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        shape = problem.output
        if problem.spec.groups > 1 and problem.channels == problem.features == 1:
            # of these it has new kernels on two axes or more, without gaps between taps
            if max(problem.spec.dilation) > 1:
                kernel, problem = _joined(kernel, problem)
            elif problem.spec.ndim == 1:
                x, kernel, problem = x[:, None], kernel[None], _with_axis(problem)
        arguments: dict[str, object] = {"onednn_conv_config": _arguments(problem)}
        return _call("convolution", problem.output, arguments, x, kernel).reshape(shape)

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        if set(problem.spec.strides) == {1}:
            return self.output(*restate(kernel, y, problem))
        if (
            problem.channels > 1
            and unstrides(problem)
            and (problem.spec.groups > 1 or spare_taps(problem) < 1.5)
        ):
            same = Unstrided(problem)
            return same.input_back(self.output(*restate(same.kernel(kernel), y, same.problem)))
        return by_phases(self.output, kernel, y, problem)

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        if problem.spec.groups == 1 or problem.channels > 1 or problem.features > 1:
            return self._kernel(x, y, problem)
        # image by image it is itself depthwise, for which the kernels are made
        one = problem._replace(input=(1, *problem.input[1:]))

        def add(total: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            image, cotangent = pair
            return total + self._kernel(image[None], cotangent[None], one), None

        return lax.scan(add, jnp.zeros(problem.kernel, x.dtype), (x, y))[0]

    def _kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        lhs, rhs, forward = as_forward(x, y, problem)
        return jnp.moveaxis(self.output(lhs, rhs, forward), 0, -2)


def _with_axis(problem: Problem) -> Problem:
    """The same convolution with an axis of one pixel and one tap before the others."""
    (n, *sizes), (strides, padding, dilation, groups) = problem.input, problem.spec
    spec = ConvSpec((1, *strides), ((0, 0), *padding), (1, *dilation), groups)
    return Problem((n, 1, *sizes), (1, *problem.kernel), spec)


def _joined(kernel: jax.Array, problem: Problem) -> tuple[jax.Array, Problem]:
    """The same depthwise convolution in fewer groups, whose channels do not meet: zeros are between them."""
    size = _side_by_side(problem.spec.groups)
    groups = problem.spec.groups // size
    taps = kernel.reshape(*problem.taps, groups, size)
    spread = lax.pad(taps, jnp.zeros((), kernel.dtype), [(0, 0, 0)] * (taps.ndim - 1) + [(0, 0, size)])
    squares = spread.reshape(*taps.shape, size)  # with the taps on their diagonals
    kernel = jnp.moveaxis(squares, -3, -2).reshape(*problem.taps, size, groups * size)
    return kernel, Problem(problem.input, kernel.shape, problem.spec._replace(groups=groups))


def _side_by_side(groups: int, most: int = 16) -> int:
    """Groups that a vector register takes at once, a divisor of all.

    >>> _side_by_side(96), _side_by_side(24), _side_by_side(31)
    (16, 12, 1)
    """
    return max(size for size in range(1, most + 1) if groups % size == 0)


class OneDnnProducts(Products):
    """Batched products of matrices by oneDNN, of float32."""

    takes_lanes = True

    def product(self, left: jax.Array, right: jax.Array) -> jax.Array:
        if left.dtype != jnp.float32:
            return super().product(left, right)
        shape = (*left.shape[:-1], right.shape[-1])
        return _call("matmul", shape, {"onednn_matmul_config": {}}, left, right)

    def transposed(self, left: jax.Array, right: jax.Array) -> jax.Array:
        if left.dtype != jnp.float32:
            return super().transposed(left, right)
        shape = (len(left), left.shape[-1], right.shape[-1])
        return _call("matmul", shape, {"onednn_matmul_config": {"transpose_a": True}}, left, right)


def _call(kind: str, shape: Sequence[int], arguments: dict[str, object], *operands: jax.Array) -> jax.Array:
    """One of XLA's custom calls to oneDNN; its arguments are XLA's ``BackendConfig`` in JSON."""
    call = jax.ffi.ffi_call(
        f"__onednn${kind}",
        jax.ShapeDtypeStruct(shape, operands[0].dtype),
        custom_call_api_version=1,
        legacy_backend_config=json.dumps(arguments, default=int),  # which NumPy's integers become
        vmap_method="broadcast_all"
        if kind == "matmul"
        else None,  # lanes of products are more axes of a batch
    )
    return call(*operands)


def _arguments(problem: Problem) -> dict[str, object]:
    """XLA's ``OneDnnConvolutionConfig``, in JSON's form of a protocol buffer."""
    (strides, padding, dilation, groups), ndim = problem.spec, problem.spec.ndim
    image = {"batch_dim": 0, "feature_dim": ndim + 1, "spatial_dims": list(range(1, ndim + 1))}
    taps = {"input_feature_dim": ndim, "output_feature_dim": ndim + 1, "spatial_dims": list(range(ndim))}
    return {
        "dims": ndim + 2,
        "input": {"dims": ndim + 2, "data": image},
        "kernel": {"dims": ndim + 2, "filter": taps},
        "output": {"dims": ndim + 2, "data": image},
        "window": {
            "size": list(problem.taps),
            "pad_left": [low for low, _ in padding],
            "pad_right": [high for _, high in padding],
            "strides": list(strides),
            "window_dilations": list(dilation),
        },
        "feature_groups": groups,
    }
