"""A window sliding over one axis, tap by tap."""

from typing import NamedTuple

from jaxcnn.ops.geometry.size import extent, output_size


class Reads(NamedTuple):
    """What one tap reads: ``inside`` inputs from ``start`` on, after ``before`` and before ``after`` outputs
    for which the tap lies outside the input."""

    start: int
    inside: int
    before: int
    after: int


class Window(NamedTuple):
    """A window on one axis, resolved to integers."""

    size: int
    kernel: int
    stride: int
    dilation: int
    low: int
    high: int
    outputs: int

    @classmethod
    def fit(
        cls,
        size: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        dilation: int = 1,
        ceil_mode: bool = False,
    ) -> "Window":
        """The window with the outputs of :func:`output_size`."""
        outputs = output_size(
            size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )
        return cls(size, kernel, stride, dilation, *padding, outputs)

    def reads(self, tap: int) -> Reads:
        """Where one tap meets the input.

        >>> Window.fit(5, 3, stride=2, padding=(1, 1)).reads(0)
        Reads(start=1, inside=2, before=1, after=0)
        """
        offset = tap * self.dilation - self.low
        first = min(max(0, -(offset // self.stride)), self.outputs)
        stop = max(first, min(self.outputs, (self.size - 1 - offset) // self.stride + 1))
        return Reads(offset + first * self.stride, stop - first, first, self.outputs - stop)

    @property
    def reaches(self) -> int:
        """How many blocks of one stride a window spans."""
        return (self.kernel - 1) * self.dilation // self.stride + 1

    @property
    def blocks(self) -> int:
        """Blocks of one stride that hold the low padding, the input and every window."""
        return max(-(-(self.low + self.size) // self.stride), self.reaches - 1 + self.outputs)

    def reaching(self, distance: int) -> list[int]:
        """The tap that meets each pixel of the block so far from the window's first, -1 where there is none.

        >>> window = Window.fit(9, 3, stride=2)
        >>> window.reaching(0), window.reaching(1)
        ([0, 1], [2, -1])
        """
        places = range(distance * self.stride, (distance + 1) * self.stride)
        inside = range(0, self.kernel * self.dilation, self.dilation)
        return [place // self.dilation if place in inside else -1 for place in places]

    def padded(self) -> "Window":
        """The same window over an input that holds :meth:`reach` already."""
        low, high = self.reach()
        return self._replace(size=low + self.size + high, low=0, high=0)

    def reach(self) -> tuple[int, int]:
        """Pixels below and above the input that the windows of all outputs need.

        >>> Window.fit(5, 3, stride=2, padding=(1, 0), ceil_mode=True).reach()
        (1, 1)
        """
        last = (self.outputs - 1) * self.stride - self.low + extent(self.kernel, self.dilation)
        return self.low, max(last - self.size, 0)

    def counts(self, include_padding: bool = False) -> list[int]:
        """How many taps of each output lie in the input, or in the input and its padding.

        >>> Window.fit(5, 3, stride=2, padding=(1, 1)).counts()
        [2, 3, 2]
        """
        low, high = (self.low, self.high) if include_padding else (0, 0)
        starts = [i * self.stride - self.low for i in range(self.outputs)]
        return [
            sum(-low <= start + tap * self.dilation < self.size + high for tap in range(self.kernel))
            for start in starts
        ]
