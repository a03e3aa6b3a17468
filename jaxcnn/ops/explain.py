"""How a convolution would be computed, and why, in words."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcnn.ops.conv import conv
from jaxcnn.ops.geometry import Padding
from jaxcnn.ops.lowering import PLATFORMS, Form, choose, conv_p, lowering_platform


def explain(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    dtype: DTypeLike = jnp.float32,
    lowering: str = "auto",
    platform: str | None = None,
    portable: bool = False,
) -> str:
    """Say which lowering computes a convolution and each of its gradients, and why.

    Args:
      x_shape: (n, *spatial, c).
      kernel_shape: (*taps, c / groups, features).
      strides, padding, dilation, groups, lowering: as in :func:`jaxcnn.ops.conv`.
      dtype: of the arrays.
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``; JAX's default backend if not given.
      portable: of a program that is exported or kept, not run where it is compiled.

    Returns:
      Four lines: the shapes and the work, then the lowering of the output, the input gradient and the kernel
      gradient, each with the reason.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv` does; the platform is not known.

    Example:
      >>> print(explain((8, 56, 56, 128), (3, 3, 1, 128), groups=128, platform="cpu", portable=True))
      (8, 56, 56, 128) -> (8, 56, 56, 128): 28.9 M multiply-accumulates of float32 on cpu
      output: shift, depthwise: ...
      input gradient: shift, depthwise: ...
      kernel gradient: shift, depthwise: ...
    """
    if platform and platform not in PLATFORMS:
        raise ValueError(f"platform={platform!r} is not known; expected one of {', '.join(PLATFORMS)}")
    call = partial(
        conv, strides=strides, padding=padding, dilation=dilation, groups=groups, lowering=lowering
    )
    arrays = (jax.ShapeDtypeStruct(tuple(shape), dtype) for shape in (x_shape, kernel_shape))
    equations = jax.make_jaxpr(call)(*arrays).eqns
    (problem,) = (eqn.params["problem"] for eqn in equations if eqn.primitive is conv_p)
    platform = platform or lowering_platform()
    lines = [
        f"{tuple(x_shape)} -> {problem.output}: {problem.macs / 1e6:,.1f} M multiply-accumulates "
        f"of {jnp.dtype(dtype)} on {platform}"
    ]
    forms: dict[str, Form] = {
        "output": "output",
        "input gradient": "input",
        "kernel gradient": "kernel",
    }
    for name, form in forms.items():
        way, reason = choose(problem, form, dtype, platform, lowering, portable=portable)
        lines.append(f"{name}: {way.name}, {reason}")
    return "\n".join(lines)
