"""The forms of a convolution, the output and its two gradients, by every lowering that can and by torch."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.ops import lowering
from jaxcnn.ops.lowering import Form, Problem, choose
from jaxcnn.ops.lowering.primitive import operands, shape_of

FORMS: tuple[Form, ...] = ("output", "input", "kernel")


def names(problem: Problem, form: Form, dtype: str) -> list[str]:
    """The lowerings that can compute a form here."""
    platform = lowering.lowering_platform()
    named = [name for name in lowering.NAMES if name != "auto"]
    return [name for name in named if choose(problem, form, dtype, platform, name).way.name == name]


def program(problem: Problem, form: Form, dtype: str, name: str) -> Any:
    """The compiled program of one lowering."""

    def compute(first: jax.Array, second: jax.Array) -> jax.Array:
        return lowering.bind(form, dict(zip(operands(form), (first, second), strict=True)), problem, name)

    shapes = (jax.ShapeDtypeStruct(shape_of(tensor, problem), dtype) for tensor in operands(form))
    return jax.jit(compute).lower(*shapes).compile()


def tensors(problem: Problem, form: Form, dtype: str) -> list[jax.Array]:
    """What a form reads, at random."""
    rng = np.random.default_rng(0)
    shapes = (shape_of(tensor, problem) for tensor in operands(form))
    return [jnp.asarray(rng.standard_normal(shape, np.float32), dtype) for shape in shapes]


def in_torch(problem: Problem, dtype: str, calls: int = 1) -> dict[Form, dict[str, Callable[[], None]]]:
    """Each form, ``calls`` times, in torch and each of its layouts; nothing where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch
    from torch.nn import functional

    spec, ndim = problem.spec, problem.spec.ndim
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[ndim - 1]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    even = all(low == high for low, high in spec.padding)  # else the input is made as large as if padded
    padding = [low for low, _ in spec.padding] if even else [0] * ndim
    spatial = problem.input[1:-1] if even else problem.padded
    layouts = {"torch": torch.contiguous_format}
    if ndim > 1:
        layouts["torch channels last"] = (torch.channels_last, torch.channels_last_3d)[ndim - 2]
    found: dict[Form, dict[str, Callable[[], None]]] = {form: {} for form in FORMS}

    def normal(layout: Any, *shape: int) -> Any:
        return torch.randn(*shape, device=device, dtype=getattr(torch, dtype)).to(memory_format=layout)

    for name, layout in layouts.items():
        x = normal(layout, problem.input[0], problem.input[-1], *spatial)
        kernel = normal(layout, problem.kernel[-1], problem.kernel[-2], *problem.taps)
        arguments = (None, spec.strides, padding, spec.dilation, spec.groups)
        y = torch.randn_like(convolve(x, kernel, *arguments))

        numbers = (spec.strides, padding, spec.dilation, False, [0] * ndim, spec.groups)
        back = partial(torch.ops.aten.convolution_backward, y, x, kernel, None, *numbers)
        forms: dict[Form, Callable[[], Any]] = {
            "output": partial(convolve, x, kernel, *arguments),
            "input": partial(back, [True, False, False]),
            "kernel": partial(back, [False, True, False]),
        }
        for form, compute in forms.items():
            found[form][name] = partial(_repeat, compute, calls, device == "cuda")
    return found


def _repeat(compute: Callable[[], Any], calls: int, wait: bool) -> None:
    import torch

    with torch.no_grad():
        for _ in range(calls):
            compute()
    if wait:
        torch.cuda.synchronize()
