"""What a convolution computes, as static numbers: the contract of every lowering."""

from math import prod
from typing import NamedTuple

from jax import lax

from jaxcnn.ops.geometry import extent, gradient_padding, output_size


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


class Problem(NamedTuple):
    """A convolution with the shapes of its arrays: all that a choice of lowering may depend on.

    >>> problem = Problem((8, 5, 5, 6), (3, 3, 2, 9), ConvSpec((2, 2), ((1, 1), (1, 1)), (1, 1), 3))
    >>> problem.output, problem.macs
    ((8, 3, 3, 9), 11664)
    """

    input: tuple[int, ...]
    kernel: tuple[int, ...]
    spec: ConvSpec

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the result, from the arithmetic of :mod:`jaxcnn.ops.geometry`."""
        spatial = (
            output_size(size, taps, stride=stride, padding=pair, dilation=dilation)
            for size, taps, stride, pair, dilation in zip(
                self.input[1:-1],
                self.taps,
                self.spec.strides,
                self.spec.padding,
                self.spec.dilation,
                strict=True,
            )
        )
        return (self.input[0], *spatial, self.kernel[-1])

    @property
    def taps(self) -> tuple[int, ...]:
        """Taps on each spatial axis."""
        return self.kernel[:-2]

    @property
    def extents(self) -> tuple[int, ...]:
        """Pixels that the window spans on each spatial axis."""
        return tuple(extent(k, d) for k, d in zip(self.taps, self.spec.dilation, strict=True))

    @property
    def spans(self) -> tuple[int, ...]:
        """Pixels from the first place of a tap to its last, on each spatial axis."""
        return tuple(
            extent(n, stride) for n, stride in zip(self.output[1:-1], self.spec.strides, strict=True)
        )

    @property
    def gradient_padding(self) -> list[tuple[int, int]]:
        """See :func:`jaxcnn.ops.geometry.gradient_padding`, for each spatial axis."""
        spec = self.spec
        sizes = zip(self.input[1:-1], self.output[1:-1], self.taps, strict=True)
        numbers = zip(sizes, spec.strides, spec.padding, spec.dilation, strict=True)
        return [
            gradient_padding(*axis, stride=stride, low=low, dilation=gap)
            for axis, stride, (low, _), gap in numbers
        ]

    @property
    def padded(self) -> tuple[int, ...]:
        """Spatial sizes of the padded input."""
        return tuple(
            size + low + high for size, (low, high) in zip(self.input[1:-1], self.spec.padding, strict=True)
        )

    @property
    def channels(self) -> int:
        """Channels of one group."""
        return self.kernel[-2]

    @property
    def features(self) -> int:
        """Features of one group."""
        return self.kernel[-1] // self.spec.groups

    @property
    def macs(self) -> int:
        """Multiply-accumulates, counting those on padding; the same for the output and both gradients."""
        return prod(self.output) * prod(self.kernel[:-1])


def dimension_numbers(ndim: int) -> lax.ConvDimensionNumbers:
    """Channels last: input and output (n, *spatial, c), kernel (*taps, c, features).

    >>> dimension_numbers(1)
    ConvDimensionNumbers(lhs_spec=(0, 2, 1), rhs_spec=(2, 1, 0), out_spec=(0, 2, 1))
    """
    spatial = tuple(range(ndim))
    image = (0, ndim + 1, *(axis + 1 for axis in spatial))
    return lax.ConvDimensionNumbers(image, (ndim + 1, ndim, *spatial), image)
