"""Padding by name, by number, by axis."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxcnn.errors import nearest
from jaxcnn.ops.geometry.size import (
    as_pair,
    extent,
    is_sequence,
    output_size,
    positive,
    spatial_tuple,
    transposed_size,
)

PADDINGS = ("VALID", "SAME", "CAUSAL", "FULL", "CIRCULAR", "REFLECT", "REPLICATE")
_BOUNDARIES = {"CIRCULAR": "circular", "REFLECT": "reflect", "REPLICATE": "replicate"}

Padding = str | int | Sequence[str | int | tuple[int, int]]
"""A name of :data:`PADDINGS`, an int, or one name, int or (low, high) pair for each spatial axis."""


class AxisPadding(NamedTuple):
    """Pixels added to one axis, and what they hold: ``zeros``, ``circular``, ``reflect`` or ``replicate``."""

    low: int
    high: int
    mode: str = "zeros"

    @property
    def pair(self) -> tuple[int, int]:
        return self.low, self.high


def resolve_padding(
    padding: Padding,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
) -> tuple[AxisPadding, ...]:
    """The pixels that a padding adds on each spatial axis.

    ======================  ===============================================================================
    ``VALID``               nothing
    ``SAME``                zeros, so that ⌈N / stride⌉ outputs result; the odd one on the high side (XLA's)
    ``CAUSAL``              zeros below only: output ``t`` reads inputs up to ``t·stride``
    ``FULL``                extent - 1 zeros on both sides: every window that meets the input
    ``CIRCULAR`` ``REFLECT`` ``REPLICATE``  the input continued periodically, mirrored, or by its edge pixel
    an int, (low, high)     so many zeros
    ======================  ===============================================================================

    The last three names put ⌊(extent - 1) / 2⌋ pixels below *whatever the stride* and above what ⌈N / stride⌉
    outputs need, so a strided result is every stride-th pixel of the unstrided one, and a circular one
    commutes with shifts by multiples of the stride when the stride divides the size.

    Args:
      padding: see the table; a sequence gives each axis its own entry, names included.
      sizes: pixels of each axis.
      kernel: taps on each axis.
      strides: step on each axis; 1 by default.
      dilation: distance between taps on each axis; 1 by default.

    Returns:
      One :class:`AxisPadding` for each axis.

    Raises:
      TypeError: an entry is neither a name, an int nor a pair.
      ValueError: an unknown name, a negative number, a wrong count, or a mirror deeper than the input.

    Example:
      >>> resolve_padding(("CAUSAL", 1), (8, 8), (3, 3), dilation=(2, 1))
      (AxisPadding(low=4, high=0, mode='zeros'), AxisPadding(low=1, high=1, mode='zeros'))
    """
    ndim = len(sizes)
    strides = strides or (1,) * ndim
    dilation = dilation or (1,) * ndim
    return tuple(
        _axis_padding(entry, size, extent(taps, gap), stride)
        for entry, size, taps, stride, gap in zip(
            axis_paddings(padding, ndim), sizes, kernel, strides, dilation, strict=True
        )
    )


def resolve_transposed_padding(
    padding: Padding,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
) -> tuple[tuple[AxisPadding, int], ...]:
    """What a transposed convolution crops on each spatial axis, and how many outputs are left.

    A convolution of stride s that leads from N to n pixels has a transpose that leads from n to N; the
    padding of the first is cropped by the second. Several N share one n, and a name settles which:

    - ``SAME``, ``CIRCULAR``: N = n·s, the transpose of the convolution with that padding.
    - ``CAUSAL``: N = n·s, and output ``t`` reads inputs up to ⌊t / s⌋ (the transpose reads only later ones).
    - ``VALID``, ``FULL``: the smallest N, plus ``output_padding``.
    - an int, (low, high): :func:`transposed_size`, plus ``output_padding``.

    Args:
      padding: a name, an int, or one name, int or (low, high) pair for each spatial axis.
      sizes: pixels of each axis of the input, n.
      kernel, strides, dilation: of the convolution, for each axis.
      output_padding: further outputs at the high end of each axis.

    Returns:
      For each axis the padding of the convolution, and N.

    Raises:
      TypeError: an entry is neither a name, an int nor a pair.
      ValueError: a name that has no transpose, an output padding that the name or stride forbids, or nothing
        left.
    """
    entries = axis_paddings(padding, len(sizes))
    result = []
    for entry, n, taps, stride, gap, extra in zip(
        entries, sizes, kernel, strides, dilation, output_padding, strict=True
    ):
        span = extent(taps, gap)
        if entry in ("REFLECT", "REPLICATE"):
            raise ValueError(f"padding={entry!r} has no transposed form; use 'SAME', 'CIRCULAR' or numbers")
        if entry in ("SAME", "CIRCULAR", "CAUSAL"):
            if extra:
                raise ValueError(
                    f"output_padding={extra}: padding={entry!r} already settles the size; leave it 0"
                )
            outputs = n * stride
            pads = (
                AxisPadding(0, span - stride)
                if entry == "CAUSAL"
                else _axis_padding(entry, outputs, span, stride)
            )
        else:
            if extra >= max(stride, gap):
                raise ValueError(
                    f"output_padding={extra}: expected less than the stride {stride} or dilation {gap}"
                )
            pads = _axis_padding(entry, n, span, stride)
            outputs = transposed_size(
                n, taps, stride=stride, padding=pads.pair, dilation=gap, output_padding=extra
            )
        result.append((pads, outputs))
    return tuple(result)


def middle_padding(kernel: int | Sequence[int], dilation: int = 1) -> Padding:
    """Zeros on both sides that put the middle of an odd window on every stride-th pixel, from the first on.

    >>> middle_padding(3), middle_padding((3, 7)), middle_padding(3, dilation=4)
    (1, (1, 3), 4)
    """
    if isinstance(kernel, Sequence):
        return tuple(extent(taps, dilation) // 2 for taps in kernel)
    return extent(kernel, dilation) // 2


def same_padding(size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """The (low, high) zeros that make ⌈size / stride⌉ outputs, the odd one above.

    >>> same_padding(32, 5), same_padding(32, 3, stride=2)
    ((2, 2), (0, 1))
    """
    positive(stride=stride)
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + extent(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def gradient_padding(
    size: int, outputs: int, kernel: int, *, stride: int = 1, low: int = 0, dilation: int = 1
) -> tuple[int, int]:
    """The (low, high) zeros around a cotangent, its pixels ``stride`` apart, of the gradient by the input.

    That gradient is the cotangent's convolution by the reversed kernel. Negative numbers crop: the input has
    no pixels where its padding was.

    Args:
      size: pixels of the input.
      outputs: pixels of the cotangent.
      kernel, stride, low, dilation: of the convolution.

    >>> gradient_padding(5, 2, 3, stride=2, low=1)
    (1, 3)
    """
    span = extent(kernel, dilation)
    return span - 1 - low, size + low - extent(outputs, stride)


def output_sizes(
    sizes: Sequence[int],
    kernel: int | Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> tuple[int, ...]:
    """The outputs of a window on every spatial axis, from arguments as a person writes them.

    Args:
      sizes: pixels of each axis.
      kernel, strides, dilation: an int, or one for each axis.
      padding: as in :func:`resolve_padding`.

    Returns:
      :func:`output_size` of each axis.

    Raises:
      TypeError, ValueError: as :func:`spatial_tuple`, :func:`resolve_padding` and :func:`output_size`.

    Example:
      >>> output_sizes((224, 224), 7, strides=2, padding=3)
      (112, 112)
    """
    kernel = spatial_tuple(kernel, len(sizes), "kernel")
    strides = spatial_tuple(strides, len(sizes), "strides")
    dilation = spatial_tuple(dilation, len(sizes), "dilation")
    pads = resolve_padding(padding, sizes, kernel, strides, dilation)
    return tuple(
        output_size(size, taps, stride=stride, padding=pad.pair, dilation=gap)
        for size, taps, stride, pad, gap in zip(sizes, kernel, strides, pads, dilation, strict=True)
    )


def axis_paddings(padding: Padding, ndim: int) -> list[Any]:
    """One entry of a padding for each spatial axis: a name, an int or a (low, high) pair.

    >>> axis_paddings("SAME", 2), axis_paddings((1, (0, 2)), 2)
    (['SAME', 'SAME'], [1, (0, 2)])
    """
    entries: list[Any] = list(padding) if is_sequence(padding) else [padding] * ndim  # type: ignore[arg-type]
    if len(entries) != ndim:
        raise ValueError(
            f"padding={padding!r}: expected {ndim} entries, one for each spatial axis, each a name, "
            "an int or a (low, high) pair"
        )
    return entries


def _axis_padding(entry: Any, size: int, span: int, stride: int) -> AxisPadding:
    if isinstance(entry, str):
        match entry:
            case "VALID":
                return AxisPadding(0, 0)
            case "SAME":
                return AxisPadding(*same_padding(size, span, stride=stride))
            case "CAUSAL":
                return AxisPadding(span - 1, 0)
            case "FULL":
                return AxisPadding(span - 1, span - 1)
        if entry not in _BOUNDARIES:
            raise ValueError(f"padding={entry!r} is not known; {nearest(entry.upper(), PADDINGS)}")
        if not size:
            raise ValueError(f"padding={entry!r} continues the input, but an axis of it has no pixel")
        low = (span - 1) // 2
        high = max((-(-size // stride) - 1) * stride + span - size - low, 0)
        if entry == "REFLECT" and max(low, high) >= size:
            raise ValueError(
                f"padding='REFLECT' mirrors {max(low, high)} pixels beside the edge pixel, but the axis has "
                f"{size}; use 'REPLICATE' or a smaller kernel"
            )
        return AxisPadding(low, high, _BOUNDARIES[entry])
    low, high = as_pair(entry)
    if low < 0 or high < 0:
        raise ValueError(f"padding={entry!r}: expected 0 or more; crop the input by slicing it")
    return AxisPadding(low, high)


def centre_padding(size: int, target: int) -> tuple[int, int]:
    """The (low, high) zeros that centre an axis in ``target`` pixels, the odd one above; none if larger.

    >>> centre_padding(28, 32), centre_padding(48, 32)
    ((2, 2), (0, 0))
    """
    total = max(target - size, 0)
    return total // 2, total - total // 2
