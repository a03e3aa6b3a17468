"""The convolutions of the benchmark in torch."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcnn.ops.lowering import Problem


def torch_sides(
    problem: Problem, x: jax.Array, kernel: jax.Array, y: jax.Array, calls: int = 1
) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """For each layout, functions that compute the output, and the output with both gradients.

    Args:
      problem: the convolution.
      x, kernel, y: its input and kernel, and the output's cotangent.
      calls: how often each function computes it before it waits for the device.

    Returns:
      Nothing where torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch
    from torch.nn import functional

    ndim = problem.spec.ndim
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[ndim - 1]
    last = {2: torch.channels_last, 3: torch.channels_last_3d}.get(ndim)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(os.cpu_count() or 1)
    dtype = getattr(torch, str(x.dtype))
    spec, even = problem.spec, all(low == high for low, high in problem.spec.padding)

    def tensor(value: jax.Array, axes: tuple[int, ...], layout: Any) -> Any:
        array = torch.from_numpy(np.array(value, np.float32)).to(device=device, dtype=dtype)
        return array.permute(axes).clone(memory_format=layout)

    def run(x: Any, kernel: Any) -> Any:
        padding = [low for low, _ in spec.padding]
        if not even:
            x = functional.pad(x, [side for pair in reversed(spec.padding) for side in pair])
            padding = [0] * ndim
        return convolve(x, kernel, None, spec.strides, padding, spec.dilation, spec.groups)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def sides(layout: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
        first = (0, ndim + 1, *range(1, ndim + 1))
        images = tensor(x, first, layout).requires_grad_()
        weights = tensor(kernel, (ndim + 1, ndim, *range(ndim)), layout).requires_grad_()
        cotangent = tensor(y, first, layout)

        def output() -> None:
            with torch.no_grad():
                for _ in range(calls):
                    run(images, weights)
            wait()

        def gradients() -> None:
            for _ in range(calls):
                images.grad = weights.grad = None
                run(images, weights).backward(cotangent)
            wait()

        return output, gradients

    layouts = {"torch": torch.contiguous_format} | ({"torch channels last": last} if last else {})
    return {name: sides(layout) for name, layout in layouts.items()}
