"""Which inputs an output reads."""

from typing import NamedTuple

from jaxcnn.ops.geometry.size import as_pair, extent, output_size, positive


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
        positive(stride=stride)
        low, _ = as_pair(padding)
        return ReceptiveField(
            size=self.size + (extent(kernel, dilation) - 1) * self.jump,
            jump=self.jump * stride,
            start=self.start - low * self.jump,
        )


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
    low, _ = as_pair(padding)
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
    low, _ = as_pair(padding)
    first, last = outputs
    return -((extent(kernel, dilation) - 1 - first - low) // stride), (last + low) // stride


def tap_rows(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> list[list[int]]:
    """The input row of every tap of every output; rows outside the input are padding.

    >>> tap_rows(4, 3, stride=2, padding=1)
    [[-1, 0, 1], [1, 2, 3]]
    """
    low, _ = as_pair(padding)
    outputs = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    return [[i * stride - low + tap * dilation for tap in range(kernel)] for i in range(outputs)]
