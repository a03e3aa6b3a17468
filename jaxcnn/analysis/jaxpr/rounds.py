"""The values of loops and branches: one round's share of a sequence, what may be any of several values."""

from collections.abc import Sequence

import numpy as np

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr.calls import Parts, Value, fold
from jaxcnn.analysis.jaxpr.reach import Reach


def item(sequence: Value, index: int | None) -> Value:
    """One entry of the first axis; with ``index=None`` any entry."""
    result = Value(sequence.shape[1:], sequence.dtype, unknown=sequence.unknown, leaves=sequence.leaves)
    if index is not None and (entries := fold(sequence)) is not None:
        result.constant = entries[index]
    if sequence.reach is not None:
        result.reach = tuple(_entry(part, index) for part in sequence.reach)
    return result


def stack(items: Sequence[Value], each: bool) -> Value:
    """Outputs of rounds along a new first axis; without ``each`` they stand for rounds not followed."""
    result = mixed(items, items[0])
    if result.reach is not None:
        result.reach = tuple(
            _stacked(
                [
                    one.reach[axis] if one.reach else reaches.nothing(len(one.shape), part.size)
                    for one in items
                ],
                each,
            )
            for axis, part in enumerate(result.reach)
        )
    return result


def mixed(values: Sequence[Value], like: Value) -> Value:
    """What may be any of several values, or is decided by them."""
    result = Value(like.shape, like.dtype)
    seen = [value.reach for value in values if value.reach is not None]
    if seen:
        result.reach = tuple(reaches.join(parts) for parts in zip(*seen, strict=True))
        result.unknown = frozenset[str]().union(*(value.unknown for value in values))
    else:
        result.leaves = frozenset[int]().union(*(value.leaves for value in values))
    return result


def spread(value: Value, shape: tuple[int, ...]) -> Value:
    """A scalar that decides over an array."""
    if value.reach is None:
        return value
    parts = tuple(reaches.place(part, [], len(shape)) for part in value.reach)
    return Value(shape, value.dtype, parts, value.unknown)


def same(before: Sequence[Value], after: Sequence[Value]) -> bool:
    """Whether values see what others see."""
    return all(
        (old.reach is None) == (new.reach is None)
        and all(
            np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)
            for a, b in zip(old.reach or (), new.reach or (), strict=True)
        )
        for old, new in zip(before, after, strict=True)
    )


def give_up(before: Sequence[Value], after: Sequence[Value]) -> None:
    """Let values that still change see everything."""
    for old, new in zip(before, after, strict=True):
        if new.reach is not None and not same([old], [new]):
            new.reach = tuple(reaches.whole(len(new.shape), part.size) for part in new.reach)


def _entry(part: Reach, index: int | None) -> Reach:
    one = reaches.hull(part, [0]) if index is None else reaches.take(part, 0, np.array([index]))
    return reaches.drop(one, [0])


def _stacked(parts: Parts, each: bool) -> Reach:
    ndim = parts[0].low.ndim
    placed = [reaches.place(part, range(1, ndim + 1), ndim + 1) for part in parts]
    return reaches.concatenate(placed, [1] * len(placed), 0) if each else reaches.join(placed)
