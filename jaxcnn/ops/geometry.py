"""Sizes, padding and receptive fields: the only place that does this arithmetic.

Every function but :func:`spatial_tuple` and :func:`resolve_padding` speaks of one spatial axis, in pixels,
with the window described by ``kernel`` (taps), ``stride``, ``dilation`` (distance between taps) and
``padding`` (pixels added below and above the axis). A window spans ``extent = (kernel - 1)·dilation + 1``
pixels; output ``i`` reads ``i·stride - low + tap·dilation`` for each tap. Everything is Python integers, so a
mistake is reported while tracing, never by the device.
"""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxcnn.errors import nearest

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


class StrideLoss(NamedTuple):
    """What a strided window leaves behind on one axis.

    Attributes:
      exact: the windows end exactly where the padded axis ends: (N + padding - extent) / stride is an
        integer.
      unseen: the rows of the input that no tap of any window reads.
    """

    exact: bool
    unseen: tuple[int, ...]


class ReceptiveField(NamedTuple):
    """Which inputs an output reads: output ``i`` spans ``start + i·jump`` to ``start + i·jump + size - 1``.

    Layers compose in the order data flows, :meth:`then` appending one.

    Example:
      >>> field = ReceptiveField()
      >>> for _ in range(3):
      ...     field = field.then(3, padding=1)
      >>> field
      ReceptiveField(size=7, jump=1, start=-3)
    """

    size: int = 1
    jump: int = 1
    start: int = 0

    def then(
        self, kernel: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
    ) -> "ReceptiveField":
        """The field after one more window, which reads the outputs of this one."""
        low, _ = _pair(padding)
        return ReceptiveField(
            size=self.size + (extent(kernel, dilation) - 1) * self.jump,
            jump=self.jump * stride,
            start=self.start - low * self.jump,
        )


def spatial_tuple(value: int | Sequence[int], ndim: int, name: str, *, minimum: int = 1) -> tuple[int, ...]:
    """One integer for each spatial axis.

    Args:
      value: an int, which serves every axis, or one int for each.
      ndim: the number of spatial axes.
      name: the argument's name, for the message.
      minimum: the smallest value allowed.

    Returns:
      ``ndim`` Python integers.

    Raises:
      TypeError: an entry is not a whole number.
      ValueError: the number of entries is wrong, or one is below ``minimum``.

    Example:
      >>> spatial_tuple(2, 3, "strides")
      (2, 2, 2)
    """
    entries = tuple(value) if isinstance(value, Sequence) else (value,) * ndim
    try:
        entries = tuple(map(operator.index, entries))
    except TypeError:
        raise TypeError(f"{name}={value!r}: expected an int or {ndim} ints") from None
    if len(entries) != ndim:
        raise ValueError(f"{name}={value!r}: expected an int or {ndim} ints, one for each spatial axis")
    if min(entries) < minimum:
        raise ValueError(f"{name}={value!r}: expected {minimum} or more on every spatial axis")
    return entries


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
    entries = list(padding) if _is_sequence(padding) else [padding] * ndim  # type: ignore[arg-type]
    if len(entries) != ndim:
        raise ValueError(
            f"padding={padding!r}: expected {ndim} entries, one for each spatial axis, each a name, "
            "an int or a (low, high) pair"
        )
    return tuple(
        _axis_padding(entry, size, extent(taps, gap), stride, gap)
        for entry, size, taps, stride, gap in zip(entries, sizes, kernel, strides, dilation, strict=True)
    )


def _axis_padding(entry: Any, size: int, span: int, stride: int, dilation: int) -> AxisPadding:
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
        low = (span - 1) // 2
        high = max((-(-size // stride) - 1) * stride + span - size - low, 0)
        if entry == "REFLECT" and max(low, high) >= size:
            raise ValueError(
                f"padding='REFLECT' mirrors {max(low, high)} pixels beside the edge pixel, but the axis has "
                f"{size}; use 'REPLICATE' or a smaller kernel"
            )
        return AxisPadding(low, high, _BOUNDARIES[entry])
    if _is_sequence(entry) and len(entry) != 2:
        raise ValueError(f"padding={entry!r}: expected a name, an int or a (low, high) pair")
    try:
        low, high = _pair(entry)
    except TypeError:
        raise TypeError(f"padding={entry!r}: expected a name, an int or a (low, high) pair") from None
    if low < 0 or high < 0:
        raise ValueError(f"padding={entry!r}: expected 0 or more; crop the input by slicing it")
    return AxisPadding(low, high)


def extent(kernel: int, dilation: int = 1) -> int:
    """Pixels that a window spans: ``(kernel - 1)·dilation + 1``.

    >>> extent(3, dilation=2)
    5
    """
    return (kernel - 1) * dilation + 1


def same_padding(size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """The (low, high) zeros that make ⌈size / stride⌉ outputs, the odd one above.

    >>> same_padding(32, 5), same_padding(32, 3, stride=2)
    ((2, 2), (0, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + extent(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def centre_padding(size: int, target: int) -> tuple[int, int]:
    """The (low, high) zeros that centre a smaller axis in ``target`` pixels, the odd one above; none for a larger.

    >>> centre_padding(28, 32), centre_padding(48, 32)
    ((2, 2), (0, 0))
    """
    total = max(target - size, 0)
    return total // 2, total - total // 2


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """How many windows fit: ``⌊(size + low + high - extent) / stride⌋ + 1``.

    Args:
      size: pixels of the input.
      kernel: taps of the window.
      stride: pixels between windows.
      padding: pixels added on both sides, or (low, high).
      dilation: pixels between taps.
      ceil_mode: round up, counting a last window that hangs over the end, unless it would start beyond the
        input and its low padding (torch's rule for pooling).

    Returns:
      The number of outputs, at least 1.

    Raises:
      ValueError: not one window fits.

    Example:
      >>> output_size(32, 5), output_size(32, 5, stride=3), output_size(7, 2, stride=2, ceil_mode=True)
      (28, 10, 4)
    """
    low, high = _pair(padding)
    room = size + low + high - extent(kernel, dilation)
    if size < 1 or room < 0:
        raise ValueError(
            f"a kernel of {kernel} with dilation {dilation} spans {extent(kernel, dilation)} pixels and does "
            f"not fit in {size} + {low} + {high} (size and padding); use padding or a smaller kernel"
        )
    outputs = room // stride + 1
    if ceil_mode and room % stride and outputs * stride < size + low:
        outputs += 1
    return outputs


def overhang(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> int:
    """Pixels by which the last window of ``ceil_mode`` hangs over the padded input; 0 when it ends within.

    >>> overhang(7, 2, stride=2)
    1
    """
    low, high = _pair(padding)
    outputs = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=True)
    return max((outputs - 1) * stride + extent(kernel, dilation) - (size + low + high), 0)


def input_size(
    outputs: int, kernel: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> int:
    """The smallest input that gives so many outputs, all of it read; up to stride - 1 more give as many.

    >>> input_size(10, 5, stride=3)
    32
    """
    low, high = _pair(padding)
    size = (outputs - 1) * stride + extent(kernel, dilation) - low - high
    if outputs < 1 or size < 1:
        raise ValueError(
            f"{outputs} outputs with kernel {kernel}, stride {stride}, dilation {dilation} and padding "
            f"{low} + {high} need an input of {size} pixels; expected at least 1 of each"
        )
    return size


def kernel_size(
    size: int, outputs: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> int:
    """The kernel that leads from ``size`` to ``outputs`` reading every row: ``size - stride·(outputs - 1)``.

    >>> kernel_size(32, 28), kernel_size(32, 10, stride=3)
    (5, 5)
    """
    low, high = _pair(padding)
    span = size + low + high - stride * (outputs - 1)
    if outputs < 1 or span < 1 or (span - 1) % dilation:
        raise ValueError(
            f"no kernel leads from {size} to {outputs} with stride {stride}, padding {low} + {high} and "
            f"dilation {dilation}: it would span {span} pixels"
        )
    return (span - 1) // dilation + 1


def stride_loss(
    size: int, kernel: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> StrideLoss:
    """Report the rows of an input that no window reads.

    Rows are lost at the end when (N + padding - extent) / stride is not an integer, between windows when the
    stride exceeds the extent, and between taps when stride and dilation share a factor.

    >>> stride_loss(7, 3, stride=2)
    StrideLoss(exact=True, unseen=())
    >>> stride_loss(7, 3, stride=3)
    StrideLoss(exact=False, unseen=(6,))
    """
    low, high = _pair(padding)
    outputs = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    seen = {i * stride - low + tap * dilation for i in range(outputs) for tap in range(kernel)}
    exact = (size + low + high - extent(kernel, dilation)) % stride == 0
    return StrideLoss(exact, tuple(sorted(set(range(size)) - seen)))


def transposed_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    """Outputs of a transposed convolution: ``(size - 1)·stride + extent - low - high + output_padding``.

    >>> transposed_size(14, 4, stride=2, padding=1)
    28
    """
    low, high = _pair(padding)
    outputs = (size - 1) * stride + extent(kernel, dilation) - low - high + output_padding
    if size < 1 or outputs < 1:
        raise ValueError(
            f"a transposed kernel of {kernel} with stride {stride} and dilation {dilation} on {size} pixels "
            f"leaves {outputs} after cropping {low} + {high}; use less padding"
        )
    return outputs


def adaptive_windows(size: int, outputs: int) -> list[tuple[int, int]]:
    """The (start, stop) of each window of adaptive pooling: ⌊i·size / outputs⌋ to ⌈(i + 1)·size / outputs⌉.

    >>> adaptive_windows(5, 3)
    [(0, 2), (1, 4), (3, 5)]
    """
    if size < 1 or outputs < 1:
        raise ValueError(f"adaptive windows from {size} to {outputs} pixels: expected at least 1 of each")
    return [(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]


def window_inputs(
    outputs: tuple[int, int],
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> tuple[int, int]:
    """The first and last input row that a range of outputs reads; rows outside the input are padding.

    >>> window_inputs((0, 1), 3, stride=2, padding=1)
    (-1, 3)
    """
    low, _ = _pair(padding)
    first, last = outputs
    return first * stride - low, last * stride - low + extent(kernel, dilation) - 1


def transposed_inputs(
    outputs: tuple[int, int],
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> tuple[int, int]:
    """The first and last input row that a range of outputs of a transposed convolution reads.

    Input ``j`` reaches outputs ``j·stride - low`` and up to ``extent - 1`` beyond.

    >>> transposed_inputs((2, 3), 4, stride=2, padding=1)
    (0, 2)
    """
    low, _ = _pair(padding)
    first, last = outputs
    return -((extent(kernel, dilation) - 1 - first - low) // stride), (last + low) // stride


def _pair(padding: Any) -> tuple[int, int]:
    low, high = padding if _is_sequence(padding) else (padding, padding)
    return operator.index(low), operator.index(high)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
