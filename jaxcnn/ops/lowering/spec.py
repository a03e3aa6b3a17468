"""What a convolution computes, as static numbers: the contract of every lowering."""

from typing import NamedTuple

import jax
from jax import lax

from jaxcnn.ops.geometry import output_size


class ConvSpec(NamedTuple):
    """The static part of a cross-correlation; hashable, one entry for each spatial axis.

    With input ``(n, *spatial, c)`` and kernel ``(*taps, c / groups, features)`` a lowering computes::

        y[n, i, f] = Σ_tap Σ_c  x[n, i·stride - low + tap·dilation, group(f)·c/groups + c] · kernel[tap, c, f]

    where pixels outside the input are zero and feature ``f`` belongs to group ``f // (features / groups)``.

    Attributes:
      strides: step between windows, 1 or more.
      padding: (low, high) zeros, 0 or more.
      dilation: distance between taps, 1 or more.
      groups: divides the channels and the features.
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def ndim(self) -> int:
        """The number of spatial axes."""
        return len(self.strides)


def dimension_numbers(ndim: int) -> lax.ConvDimensionNumbers:
    """Channels last: input and output (n, *spatial, c), kernel (*taps, c, features).

    >>> dimension_numbers(1)
    ConvDimensionNumbers(lhs_spec=(0, 2, 1), rhs_spec=(2, 1, 0), out_spec=(0, 2, 1))
    """
    spatial = tuple(range(ndim))
    image = (0, ndim + 1, *(axis + 1 for axis in spatial))
    return lax.ConvDimensionNumbers(image, (ndim + 1, ndim, *spatial), image)


def output_shape(x: jax.Array, kernel: jax.Array, spec: ConvSpec) -> tuple[int, ...]:
    """The shape of the result, from the arithmetic of :mod:`jaxcnn.ops.geometry`."""
    spatial = (
        output_size(size, taps, stride=stride, padding=pair, dilation=dilation)
        for size, taps, stride, pair, dilation in zip(
            x.shape[1:-1], kernel.shape[:-2], spec.strides, spec.padding, spec.dilation, strict=True
        )
    )
    return (x.shape[0], *spatial, kernel.shape[-1])
