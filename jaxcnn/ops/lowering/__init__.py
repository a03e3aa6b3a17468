"""How a convolution is computed: several ways to the same function, one file each."""

from collections.abc import Callable

import jax

from jaxcnn.errors import nearest
from jaxcnn.ops.lowering import direct
from jaxcnn.ops.lowering.spec import ConvSpec, dimension_numbers, output_shape

__all__ = ["ConvSpec", "compute", "dimension_numbers", "output_shape"]

_LOWERINGS: dict[str, Callable[[jax.Array, jax.Array, ConvSpec], jax.Array]] = {"direct": direct.conv}


def compute(x: jax.Array, kernel: jax.Array, spec: ConvSpec, lowering: str = "auto") -> jax.Array:
    """Compute a convolution by a named lowering, or by the one chosen for its shape.

    Args:
      x: input (n, *spatial, c).
      kernel: (*taps, c / groups, features), of the input's dtype.
      spec: strides, padding, dilation, groups; validated by the caller.
      lowering: a name, or ``"auto"``.

    Returns:
      The output (n, *spatial, features), of the input's dtype.

    Raises:
      ValueError: the name is not known.
    """
    if lowering == "auto":
        lowering = "direct"
    if lowering not in _LOWERINGS:
        raise ValueError(f"lowering={lowering!r} is not known; {nearest(lowering, ['auto', *_LOWERINGS])}")
    return _LOWERINGS[lowering](x, kernel, spec)
