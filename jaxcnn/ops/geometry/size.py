"""Sizes of inputs, kernels and outputs on one axis."""

import operator
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple


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


class StrideLoss(NamedTuple):
    """What a strided window leaves behind on one axis.

    Attributes:
      exact: the windows end exactly where the padded axis ends: (N + padding - extent) / stride is an
        integer.
      unseen: the rows of the input that no tap of any window reads.
    """

    exact: bool
    unseen: tuple[int, ...]


def positive(**numbers: int) -> None:
    """Refuse a number of taps or pixels that is below 1 or not whole; a size that is not known yet passes.

    >>> positive(kernel=3, stride=0)
    Traceback (most recent call last):
    ValueError: stride=0: expected 1 or more
    """
    for name, number in numbers.items():
        if isinstance(number, Real) and not isinstance(number, Integral):
            raise TypeError(f"{name}={number!r}: expected an int")
        if number < 1:
            raise ValueError(f"{name}={number}: expected 1 or more")


def extent(kernel: int, dilation: int = 1) -> int:
    """Pixels that a window spans: ``(kernel - 1)·dilation + 1``.

    >>> extent(3, dilation=2)
    5
    """
    positive(kernel=kernel, dilation=dilation)
    return (kernel - 1) * dilation + 1


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
      ceil_mode: round up, counting a last window that hangs over the end, the only one it may be, unless it
        would start beyond the input and its low padding (torch's rule for pooling).

    Returns:
      The number of outputs, at least 1.

    Raises:
      ValueError: not one window fits.

    Example:
      >>> output_size(32, 5), output_size(32, 5, stride=3), output_size(7, 2, stride=2, ceil_mode=True)
      (28, 10, 4)
    """
    positive(stride=stride)
    low, high = as_pair(padding)
    room = size + low + high - extent(kernel, dilation)
    outputs = room // stride + 1
    if ceil_mode and room % stride and outputs * stride < size + low:
        outputs += 1
    if size < 1 or outputs < 1:
        raise ValueError(
            f"a kernel of {kernel} with dilation {dilation} spans {extent(kernel, dilation)} pixels and does "
            f"not fit in {size} + {low} + {high} (size and padding); use padding or a smaller kernel"
        )
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
    low, high = as_pair(padding)
    outputs = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=True)
    return max((outputs - 1) * stride + extent(kernel, dilation) - (size + low + high), 0)


def input_size(
    outputs: int, kernel: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> int:
    """The smallest input that gives so many outputs, all of it read; up to stride - 1 more give as many.

    >>> input_size(10, 5, stride=3)
    32
    """
    positive(stride=stride)
    low, high = as_pair(padding)
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
    positive(stride=stride, dilation=dilation)
    low, high = as_pair(padding)
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
    low, high = as_pair(padding)
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
    positive(stride=stride)
    low, high = as_pair(padding)
    outputs = (size - 1) * stride + extent(kernel, dilation) - low - high + output_padding
    if size < 1 or outputs < 1:
        raise ValueError(
            f"a transposed kernel of {kernel} with stride {stride} and dilation {dilation} on {size} pixels "
            f"leaves {outputs} after cropping {low} + {high}; use less padding"
        )
    return outputs


def adaptive_window(i: Any, size: Any, outputs: Any) -> tuple[Any, Any]:
    """Where window i of adaptive pooling starts and stops: ⌊i·size / outputs⌋ and ⌈(i + 1)·size / outputs⌉.

    Integers or arrays of them.

    >>> [adaptive_window(i, 5, 3) for i in range(3)]
    [(0, 2), (1, 4), (3, 5)]
    """
    return i * size // outputs, -(-(i + 1) * size // outputs)


def interpolated_place(i: Any, size: Any, outputs: Any) -> tuple[Any, Any]:
    """Where output i of ``outputs`` lies, spread evenly over ``size`` pixels, as numerator and denominator.

    Pixels are areas, so it lies at (i + ½)·size / outputs − ½, which beyond the outermost centres is below 0
    or above size − 1. Integers or arrays of them.

    >>> [interpolated_place(i, 2, 4) for i in range(4)]
    [(-2, 8), (2, 8), (6, 8), (10, 8)]
    """
    return (2 * i + 1) * size - outputs, 2 * outputs


def as_pair(padding: int | tuple[int, int]) -> tuple[int, int]:
    """Padding of one axis as (low, high).

    >>> as_pair(1), as_pair((0, 2))
    ((1, 1), (0, 2))
    """
    entries = padding if isinstance(padding, Sequence) else (padding, padding)
    try:
        low, high = map(operator.index, entries)
    except TypeError:
        raise TypeError(f"padding={padding!r}: expected a name, an int or a (low, high) pair") from None
    except ValueError:
        raise ValueError(f"padding={padding!r}: expected a name, an int or a (low, high) pair") from None
    return low, high


def is_sequence(value: object) -> bool:
    """Whether a value lists entries; a name does not."""
    return isinstance(value, Sequence) and not isinstance(value, str)
