"""How a strided transposed convolution falls apart into plain ones."""

from math import gcd
from typing import NamedTuple


class Phase(NamedTuple):
    """The outputs of one residue modulo the stride: a plain correlation with some of the taps, reversed.

    Output ``q`` of the phase reads inputs ``start + q + m·dilation`` for the m-th of the reversed taps.

    Attributes:
      taps: of the transposed kernel, in rising order; empty where no tap ever falls on the residue.
      start: the first input row that output 0 reads; negative rows are padding.
      dilation: distance between the rows read.
    """

    taps: range
    start: int
    dilation: int


def transposed_phases(
    kernel: int, *, stride: int, low: int, outputs: int, dilation: int = 1
) -> tuple[tuple[Phase, ...], int, int]:
    """Split one axis of a transposed convolution by residues modulo the stride.

    Tap k of input j lands on row ``p = j·stride + k·dilation``; rows below ``low`` are cropped. Rows with one
    residue ``p mod stride`` are reached by every (stride / gcd(stride, dilation))-th tap and read
    neighbouring inputs, so they are a plain correlation. Interleaved, the phases start at the last multiple
    of the stride that is not above ``low``.

    Args:
      kernel, stride, dilation: of the convolution whose transpose it is.
      low: rows cropped at the low end.
      outputs: rows kept.

    Returns:
      The phases in order of residue, the outputs of each, and the interleaved rows to drop at the low end.

    Example:
      A kernel of 3 with stride 2: even rows are reached by two taps, odd rows by one.

      >>> phases, outputs, drop = transposed_phases(3, stride=2, low=0, outputs=8)
      >>> [list(phase.taps) for phase in phases], outputs, drop
      ([[0, 2], [1]], 4, 0)
    """
    step, gap = stride // gcd(stride, dilation), dilation // gcd(stride, dilation)
    first, last = low // stride, (low + outputs - 1) // stride
    phases = []
    for residue in range(stride):
        tap = next(
            (tap for tap in range(min(step, kernel)) if (residue - tap * dilation) % stride == 0), kernel
        )
        taps = range(tap, kernel, step)
        start = first + (residue - tap * dilation) // stride - (len(taps) - 1) * gap
        phases.append(Phase(taps, start, gap))
    return tuple(phases), last - first + 1, low - first * stride
