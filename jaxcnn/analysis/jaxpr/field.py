"""The receptive field of a layer along one axis of the input, as numbers to read."""

from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr.reach import FIXED, Reach


class Field(NamedTuple):
    """What the outputs of a layer see along one axis of the input.

    Output i sees entries ``start + i·jump`` to ``start + i·jump + size - 1``. After an enlargement by s every
    s-th output does, and those between may see fewer. Entries before 0 or beyond the last are padding.

    Attributes:
      size: the most entries of the input that one output sees, padding included.
      jump: entries of the input from one output to the next, 1/2 after an enlargement by 2; 0 when all
        outputs see the same; None when they follow no rule.
      start: the first entry that output 0 sees; None when outputs follow no rule.
      axis: the axis of the output along which the field moves; None when it does not.
      length: entries of the input axis.
      low, high: first and last entry that each output along ``axis`` sees, padding included.
      regular: every output obeys the rule, and not only most, as where padding continues the image by itself.
    """

    size: int
    jump: Fraction | None
    start: Fraction | None
    axis: int | None
    length: int
    low: np.ndarray
    high: np.ndarray
    regular: bool = True

    @property
    def whole(self) -> bool:
        """Whether every output sees the whole axis."""
        return self.length > 0 and bool((self.low <= 0).all() and (self.high >= self.length - 1).all())

    @property
    def fixed(self) -> bool:
        """Whether every output sees the same."""
        return self.axis is None

    def seen(self, output: int) -> tuple[int, int] | None:
        """The first and last entry that an output sees within the input; None when it sees none.

        >>> from jaxcnn.analysis.jaxpr import reach
        >>> pooled = reach.window(reach.identity((8,), 0), 0, 4, 3, stride=2, low=1, extend=True)
        >>> read(pooled).seen(0), read(pooled).seen(1)
        ((0, 1), (1, 3))
        """
        place = 0 if self.axis is None else output
        low, high = max(int(self.low[place]), 0), min(int(self.high[place]), self.length - 1)
        return (low, high) if low <= high else None


def read(reach: Reach) -> Field:
    """Find the rule that the fields of most outputs obey.

    >>> from jaxcnn.analysis.jaxpr import reach
    >>> field = read(reach.window(reach.identity((8,), 0), 0, 4, 3, stride=2, low=1, extend=True))
    >>> field.size, field.jump, field.start
    (3, Fraction(2, 1), Fraction(-1, 1))
    """
    axis = _moving_axis(reach)
    others = [a for a in range(reach.low.ndim) if a != axis]
    if others:
        reach = reaches.hull(reach, others)
        axis = axis if axis is not None and (reach.low.shape[axis] > 1 or reach.laws[axis] != FIXED) else None
    if axis is None:
        return _fixed(reach)
    law = reach.laws[axis]
    low, high = reach.low.ravel(), reach.high.ravel()
    if law is None and len(low) == 2 and low[1] - low[0] == high[1] - high[0]:
        law = reaches.Law(1, int(low[1] - low[0]))
    if law is None or not law.advance:
        return _irregular(low, high, axis, reach.size)
    law = reaches.simplest_law(reach.low, reach.high, axis, law)
    jump = Fraction(law.advance, law.period)
    firsts, lasts, obeyed = _common_places(low, high, law)
    if not firsts:
        return _fixed(reaches.nothing(1, reach.size))
    phase = min(firsts)
    size = max(lasts[phase] - first + 1 for phase, first in firsts.items())
    return Field(size, jump, firsts[phase] - phase * jump, axis, reach.size, low, high, obeyed)


def _moving_axis(reach: Reach) -> int | None:
    """The array axis along which fields move farthest."""
    rates = {
        axis: abs(law.advance) / law.period if law is not None else 0.0
        for axis, law in enumerate(reach.laws)
        if law != FIXED or reach.low.shape[axis] > 1
    }
    return max(rates, key=lambda axis: (rates[axis], reach.low.shape[axis]), default=None)


def _common_places(low: np.ndarray, high: np.ndarray, law: reaches.Law) -> tuple[dict, dict, bool]:
    """Where the field of output 0, 1, … of the first period would begin and end, by what most outputs say."""
    firsts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    obeyed = True
    for phase in range(min(law.period, len(low))):
        begins, ends = low[phase :: law.period], high[phase :: law.period]
        turns = np.arange(len(begins)) * law.advance
        pairs = Counter(zip((begins - turns).tolist(), (ends - turns).tolist(), strict=True))
        (first, last), count = pairs.most_common(1)[0]
        obeyed &= count == len(turns)
        if first <= last:
            firsts[phase], lasts[phase] = first, last
    return firsts, lasts, obeyed


def _fixed(reach: Reach) -> Field:
    low = np.maximum(reach.low.ravel(), 0)
    high = np.minimum(reach.high.ravel(), reach.size - 1)
    size = max(int(high[0] - low[0]) + 1, 0)
    return Field(size, Fraction(0), Fraction(int(low[0]) if size else 0), None, reach.size, low, high)


def _irregular(low: np.ndarray, high: np.ndarray, axis: int, length: int) -> Field:
    low, high = np.maximum(low, 0), np.minimum(high, length - 1)
    if (low == low[0]).all() and (high == high[0]).all():
        return _fixed(Reach(low[:1], high[:1], (FIXED,), length))
    size = max(int((high - low).max()) + 1, 0)
    return Field(size, None, None, axis, length, low, high, False)
