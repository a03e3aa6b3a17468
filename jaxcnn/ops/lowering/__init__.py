"""How a convolution is computed: several ways to the same function, one file each.

:mod:`~jaxcnn.ops.lowering.rules` holds what was measured, :mod:`~jaxcnn.ops.lowering.primitive` the calculus.
"""

import jax

from jaxcnn.ops.lowering import onednn
from jaxcnn.ops.lowering.choose import NAMES, PLATFORMS, check, choose
from jaxcnn.ops.lowering.lowering import Form
from jaxcnn.ops.lowering.primitive import bind, conv_p, lowering_platform, reference
from jaxcnn.ops.lowering.spec import ConvSpec, Problem, dimension_numbers

__all__ = [
    "NAMES",
    "PLATFORMS",
    "ConvSpec",
    "Form",
    "Problem",
    "check",
    "choose",
    "compute",
    "conv_p",
    "dimension_numbers",
    "lowering_platform",
    "onednn",
    "reference",
    "transposed",
]


def compute(x: jax.Array, kernel: jax.Array, spec: ConvSpec, lowering: str = "auto") -> jax.Array:
    """Compute a convolution by a named lowering, or by the one chosen for its shape.

    The gradients, too, are computed by the lowering that is named, where it can, or by the one chosen for
    each. Forward and reverse differentiation of any order, ``vmap``, loops and checkpointing all work.

    Args:
      x: input (n, *spatial, c).
      kernel: (*taps, c / groups, features), of the input's dtype.
      spec: strides, padding, dilation, groups; validated by the caller.
      lowering: a name, or ``"auto"``.

    Returns:
      The output (n, *spatial, features), of the input's dtype.

    Raises:
      ValueError: the name is not known, or that lowering cannot compute this convolution.
    """
    problem = Problem(x.shape, kernel.shape, spec)
    check(problem, lowering)
    return bind("output", {"input": x, "kernel": kernel}, problem, lowering)


def transposed(
    y: jax.Array, kernel: jax.Array, sizes: tuple[int, ...], spec: ConvSpec, lowering: str = "auto"
) -> jax.Array:
    """Compute the transpose of a convolution, its gradient by the input.

    Args:
      y: (n, *spatial, features), of the shape that the convolution would give.
      kernel: of the convolution, (*taps, c / groups, features).
      sizes: the spatial sizes of the convolution's input.
      spec, lowering: as for :func:`compute`.

    Returns:
      The convolution's input (n, *sizes, c).

    Raises:
      ValueError: the name is not known, or that lowering cannot compute this.
    """
    problem = Problem((y.shape[0], *sizes, kernel.shape[-2] * spec.groups), kernel.shape, spec)
    check(problem, lowering, "input")
    return bind("input", {"kernel": kernel, "output": y}, problem, lowering)
