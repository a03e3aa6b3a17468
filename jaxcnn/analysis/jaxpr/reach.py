"""Which entries of one input axis every element of an array sees: the algebra under the receptive field.

A :class:`Reach` holds the first and last entry that each element sees. Its tables keep one row for each entry
of the array axes they vary along and a single row for all others, so following a network costs a few hundred
integers a layer whatever its channels. Every operation is exact; nothing assumes that fields are regular.

An element that sees nothing has ``low > high``; one that follows no position and sees the whole axis reaches
from ``-FAR`` to ``FAR``, so that joining it with anything stays whole.
"""

import functools
from collections.abc import Sequence
from math import gcd, lcm, prod
from typing import NamedTuple

import numpy as np

FAR = 1 << 40
OUTSIDE = -(1 << 50)  # an index that reads a constant: a hole, or padding


class Law(NamedTuple):
    """How a reach goes on along an array axis: ``period`` entries further it lies ``advance`` further."""

    period: int
    advance: int


FIXED = Law(1, 0)


class Reach(NamedTuple):
    """What every element of an array sees of one input axis.

    Attributes:
      low, high: first and last entry seen; as many axes as the array, each of its size or 1.
      laws: for each array axis how the tables continue; None where no law holds.
      size: entries of the input axis.
    """

    low: np.ndarray
    high: np.ndarray
    laws: tuple[Law | None, ...]
    size: int

    @property
    def nothing(self) -> bool:
        return bool((self.low > self.high).all())

    def follows(self, axis: int) -> bool:
        """Whether elements further along an array axis see entries further along the input axis."""
        law = self.laws[axis]
        return law is not None and law.advance != 0


def identity(shape: Sequence[int], axis: int) -> Reach:
    """The input itself: element i along its own axis sees entry i."""
    table = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    laws = tuple(Law(1, 1) if a == axis else FIXED for a in range(len(shape)))
    return Reach(table, table, laws, shape[axis])


def nothing(ndim: int, size: int) -> Reach:
    """What a constant array sees."""
    return Reach(np.full((1,) * ndim, FAR), np.full((1,) * ndim, -FAR), (FIXED,) * ndim, size)


def whole(ndim: int, size: int) -> Reach:
    """What an array sees whose every element may see everything."""
    return Reach(np.full((1,) * ndim, -FAR), np.full((1,) * ndim, FAR), (FIXED,) * ndim, size)


def settle(low: np.ndarray, high: np.ndarray, laws: Sequence[Law | None], size: int) -> Reach:
    """Drop rows that are all alike, find laws where none is known, and call whole what is whole."""
    found = list(laws)
    for axis in range(low.ndim):
        law = found[axis]
        if law is not None and law.advance:
            continue
        if low.shape[axis] > 1 and _alike(low, axis) and _alike(high, axis):
            low, high = low.take([0], axis), high.take([0], axis)
        if low.shape[axis] == 1:
            found[axis] = FIXED
        elif law is None or law == FIXED:
            found[axis] = _find_law(low, high, axis)
    if low.size == 1 and all(law == FIXED for law in found) and low.item() <= 0 and high.item() >= size - 1:
        return whole(low.ndim, size)
    return Reach(low, high, tuple(found), size)


def agree(parts: Sequence[Reach]) -> tuple[Reach, ...]:
    """What elements see of every axis of the input: those that see nothing of one see nothing of any."""
    blanks = [part.low > part.high for part in parts]
    if not any(blank.any() for blank in blanks):
        return tuple(parts)
    gone = functools.reduce(np.logical_or, blanks)
    return tuple(blank(part, gone) for part in parts)


def blank(reach: Reach, gone: np.ndarray) -> Reach:
    """The same, but for elements that see nothing."""
    low, high = np.where(gone, FAR, reach.low), np.where(gone, -FAR, reach.high)
    return settle(low, high, reach.laws, reach.size)


def join(parts: Sequence[Reach]) -> Reach:
    """What elements see that are made from several others of one shape."""
    first, *others = [part for part in parts if not part.nothing] or parts[:1]
    if not others:
        return first
    low, high = first.low, first.high
    for part in others:
        low, high = np.minimum(low, part.low), np.maximum(high, part.high)
    return settle(low, high, _common_laws([first, *others]), first.size)


def take(
    reach: Reach,
    axis: int,
    indices: np.ndarray,
    *,
    stride: int | None = None,
    dilation: int = 1,
    extend: bool = False,
) -> Reach:
    """Elements by their index along an array axis, or windows of them.

    Args:
      reach: of the array.
      axis: which array axis.
      indices: for each new element the index of the old one, or of several, as a second axis; an index that
        no element has reads nothing, or with ``extend`` what the law of the axis says would be there.
      stride: how far the indices advance from one new element to the next, in units of 1 / dilation; None:
        irregularly.
      dilation: new elements for each old one.
      extend: continue the axis beyond its ends.

    Returns:
      The reach of the new elements.
    """
    law = reach.laws[axis]
    if reach.low.shape[axis] == 1 and law == FIXED:
        return reach
    low, high = _read(reach, axis, indices, extend)
    if indices.ndim == 2:
        low, high = low.min(axis + 1), high.max(axis + 1)
    laws = list(reach.laws)
    laws[axis] = None
    if law is not None and stride is not None:
        period = law.period * dilation
        shared = gcd(period, abs(stride))
        laws[axis] = Law(period // shared, law.advance * stride // shared)
    return settle(low, high, laws, reach.size)


def window(
    reach: Reach,
    axis: int,
    outputs: int,
    taps: int,
    *,
    stride: int = 1,
    low: int = 0,
    dilation: int = 1,
    base_dilation: int = 1,
    extend: bool = False,
) -> Reach:
    """What windows see: output i reads (i·stride - low + tap·dilation) / base_dilation, where whole."""
    places = np.arange(outputs)[:, None] * stride - low + np.arange(taps) * dilation
    indices = np.where(places % base_dilation, OUTSIDE, places // base_dilation)
    return take(reach, axis, indices, stride=stride, dilation=base_dilation, extend=extend)


def lookup(reach: Reach, indices: Sequence[np.ndarray]) -> Reach:
    """Elements by an index for each array axis, in arrays that broadcast; OUTSIDE sees nothing."""
    varies = [axis for axis in range(reach.low.ndim) if reach.low.shape[axis] > 1]
    ndim = indices[0].ndim
    outside = np.zeros((1,) * ndim, bool)
    for index in indices:
        outside = outside | (index == OUTSIDE)
    places = [np.zeros((1,) * ndim, int)] * reach.low.ndim
    for axis in varies:
        places[axis] = np.where(indices[axis] == OUTSIDE, 0, indices[axis])
    low = np.where(outside, FAR, reach.low[tuple(places)])
    high = np.where(outside, -FAR, reach.high[tuple(places)])
    return settle(low, high, (None,) * ndim, reach.size)


def spread(reach: Reach, axis: int, count: int) -> Reach:
    """The same with a row for each element along an array axis, to be changed one by one."""
    shape = [count if a == axis else n for a, n in enumerate(reach.low.shape)]
    return reach._replace(low=np.broadcast_to(reach.low, shape), high=np.broadcast_to(reach.high, shape))


def write(target: Reach, update: Reach, at: Sequence[slice | None]) -> Reach:
    """A target after an update has taken the place of some of it; None: of all along that array axis."""
    shape = [
        old if part is not None else max(old, new)
        for part, old, new in zip(at, target.low.shape, update.low.shape, strict=True)
    ]
    low, high = np.broadcast_to(target.low, shape).copy(), np.broadcast_to(target.high, shape).copy()
    region = tuple(part or slice(None) for part in at)
    low[region], high[region] = update.low, update.high
    laws = _common_laws([target, update])
    laws = [law if part is None else old for part, law, old in zip(at, laws, target.laws, strict=True)]
    return settle(low, high, laws, target.size)


def hull(reach: Reach, axes: Sequence[int]) -> Reach:
    """What all elements along some array axes see together; the axes are kept, with one row."""
    axes = tuple(axes)
    laws = [FIXED if axis in axes else law for axis, law in enumerate(reach.laws)]
    return settle(reach.low.min(axes, keepdims=True), reach.high.max(axes, keepdims=True), laws, reach.size)


def accumulate(reach: Reach, axis: int, *, reverse: bool) -> Reach:
    """What running sums along an array axis see."""
    turn = functools.partial(np.flip, axis=axis) if reverse else np.asarray
    low = turn(np.minimum.accumulate(turn(reach.low), axis))
    high = turn(np.maximum.accumulate(turn(reach.high), axis))
    laws = [None if a == axis else law for a, law in enumerate(reach.laws)]
    return settle(low, high, laws, reach.size)


def place(reach: Reach, axes: Sequence[int], ndim: int, kept: Sequence[bool] | None = None) -> Reach:
    """Array axis i becomes axis ``axes[i]`` of ``ndim``; where not ``kept`` its one element is repeated."""
    laws: list[Law | None] = [FIXED] * ndim
    shape = [1] * ndim
    for i, axis in enumerate(axes):
        laws[axis] = reach.laws[i] if kept is None or kept[i] else FIXED
        shape[axis] = reach.low.shape[i]
    low, high = (table.transpose(np.argsort(axes)).reshape(shape) for table in reach[:2])
    return settle(low, high, laws, reach.size)


def merge(reach: Reach, axes: Sequence[int]) -> Reach:
    """What all elements along some array axes see together; the axes are gone."""
    return drop(hull(reach, axes), axes)


def drop(reach: Reach, axes: Sequence[int]) -> Reach:
    """Remove array axes of one row."""
    laws = [law for axis, law in enumerate(reach.laws) if axis not in axes]
    return settle(reach.low.squeeze(tuple(axes)), reach.high.squeeze(tuple(axes)), laws, reach.size)


def concatenate(parts: Sequence[Reach], sizes: Sequence[int], axis: int) -> Reach:
    """Arrays one after another; the longest says how the axis goes on."""
    shape = [max(part.low.shape[a] for part in parts) for a in range(parts[0].low.ndim)]
    shapes = [[n if a == axis else s for a, s in enumerate(shape)] for n in sizes]
    low = [np.broadcast_to(part.low, each) for part, each in zip(parts, shapes, strict=True)]
    high = [np.broadcast_to(part.high, each) for part, each in zip(parts, shapes, strict=True)]
    laws = _common_laws(parts)
    longest = parts[int(np.argmax(sizes))]
    laws[axis] = longest.laws[axis] if longest.follows(axis) else None
    return settle(np.concatenate(low, axis), np.concatenate(high, axis), laws, parts[0].size)


def reshape(reach: Reach, old: Sequence[int], new: Sequence[int]) -> Reach:
    """Split and merge array axes."""
    low_shape: list[int] = list(reach.low.shape)
    shape: list[int] = []
    laws: list[Law | None] = []
    for olds, news in _groups(old, new):
        if len(olds) == len(news) == 1:
            shape.append(low_shape[olds[0]])
            laws.append(reach.laws[olds[0]])
        elif all(low_shape[a] == 1 and not reach.follows(a) for a in olds):
            shape += [1] * len(news)
            laws += [FIXED] * len(news)
        else:
            for a in olds:
                low_shape[a] = old[a]
            shape += [new[b] for b in news]
            laws += _regrouped_laws(reach, [(a, old[a]) for a in olds], [new[b] for b in news])
    low = np.broadcast_to(reach.low, low_shape).reshape(shape)
    high = np.broadcast_to(reach.high, low_shape).reshape(shape)
    for axis, law in enumerate(laws):
        if law is not None and law.advance:
            laws[axis] = simplest_law(low, high, axis, law)
    return settle(low, high, laws, reach.size)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of old and of new axes that hold the same elements."""
    groups: list[tuple[list[int], list[int]]] = []
    a = b = 0
    while a < len(old) or b < len(new):
        olds, news = ([a], []) if a < len(old) else ([], [b])
        a, b = (a + 1, b) if olds else (a, b + 1)
        if olds and b < len(new):
            news, b = [b], b + 1
        while (have := prod(old[i] for i in olds)) != (want := prod(new[i] for i in news)):
            if (have < want or b == len(new)) and a < len(old):
                olds, a = [*olds, a], a + 1
            else:
                news, b = [*news, b], b + 1
        groups.append((olds, news))
    return groups


def _regrouped_laws(reach: Reach, olds: Sequence[tuple[int, int]], news: Sequence[int]) -> list[Law | None]:
    """Laws of new axes, from that of the outermost old axis, which every new index moves by whole steps."""
    outer = next((i for i, (_, size) in enumerate(olds) if size > 1), 0)
    law = reach.laws[olds[outer][0]]
    if law is None or not law.advance:
        return [None] * len(news)
    flat = law.period * prod(size for _, size in olds[outer + 1 :])
    laws: list[Law | None] = []
    for i, size in enumerate(news):
        step = prod(news[i + 1 :])
        shared = gcd(flat, step)
        laws.append(Law(flat // shared, law.advance * step // shared) if size > 1 else FIXED)
    return laws


def _read(reach: Reach, axis: int, indices: np.ndarray, extend: bool) -> tuple[np.ndarray, np.ndarray]:
    count, law = reach.low.shape[axis], reach.laws[axis]
    if not count:  # of nothing, as where a padded map is shorter than a window
        nothing = np.full_like(
            reach.low, FAR, shape=reach.low.shape[:axis] + indices.shape + reach.low.shape[axis + 1 :]
        )
        return nothing, -nothing
    holes = indices == OUTSIDE
    turns = np.zeros_like(indices)
    if extend and law is not None and law.advance:
        last = max(count - law.period, 0)  # the last whole period continues above, the first one below
        turns = np.where(indices < 0, indices // law.period, 0)
        turns = np.where(indices >= count, (indices - last) // law.period, turns)
        indices = indices - turns * law.period
    holes = holes | (indices < 0) | (indices >= count)
    at = np.where(holes, 0, indices)
    shape = [1] * axis + list(at.shape) + [1] * (reach.low.ndim - axis - 1)
    shift = (turns * (law.advance if law else 0)).reshape(shape)
    gone = holes.reshape(shape)
    low = np.where(gone, FAR, np.take(reach.low, at, axis) + shift)
    high = np.where(gone, -FAR, np.take(reach.high, at, axis) + shift)
    return low, high


def _rows(table: np.ndarray, axis: int, start: int, stop: int) -> np.ndarray:
    """A view of some rows along an axis."""
    return table[(slice(None),) * axis + (slice(start, stop),)]


def _alike(table: np.ndarray, axis: int) -> bool:
    return bool((table == _rows(table, axis, 0, 1)).all())


def _common_laws(parts: Sequence[Reach]) -> list[Law | None]:
    """For each array axis the law that all obey that see anything."""
    seen = [part.laws for part in parts if not part.nothing] or [parts[0].laws]
    return [functools.reduce(_common_law, laws) for laws in zip(*seen, strict=True)]


def _common_law(one: Law | None, other: Law | None) -> Law | None:
    if one == other:
        return one
    if one is None or other is None or one.advance * other.period != other.advance * one.period:
        return None
    period = lcm(one.period, other.period)
    return Law(period, one.advance * period // one.period)


def _find_law(low: np.ndarray, high: np.ndarray, axis: int) -> Law | None:
    """The shortest law that a table obeys throughout, else the shortest that its middle half obeys."""
    count = low.shape[axis]
    for start, stop in ((0, count), (count // 4, count - count // 4)):
        middle = _rows(low, axis, start, stop), _rows(high, axis, start, stop)
        for period in range(1, min((stop - start) // 2, stop - start - 2, 64) + 1):
            if (advance := _advance(*middle, axis, period)) is not None:
                return Law(period, advance)
    return None


def simplest_law(low: np.ndarray, high: np.ndarray, axis: int, law: Law) -> Law:
    """An equivalent law with a shorter period, where the table obeys one."""
    for period in range(1, min(law.period, low.shape[axis])):
        if law.period % period == 0 and law.advance * period % law.period == 0:
            advance = law.advance * period // law.period
            if _advance(low, high, axis, period) == advance:
                return Law(period, advance)
    return law


def _advance(low: np.ndarray, high: np.ndarray, axis: int, period: int) -> int | None:
    def rises(table: np.ndarray) -> np.ndarray:
        count = table.shape[axis]
        return _rows(table, axis, period, count) - _rows(table, axis, 0, count - period)

    rise = rises(low)
    advance = int(rise.flat[0])
    return advance if (rise == advance).all() and (rises(high) == advance).all() else None
