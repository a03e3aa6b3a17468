"""How reading and writing at computed places passes on what the entries see.

Places that follow from the program alone are worked out, and the result is exact. Places that depend on data
may be anywhere: what is read there is said to see all that could be read, and the call is noted, unless that
is the same everywhere. A table of embeddings sees nothing, so that what is read from it sees exactly what its
place depends on.
"""

import math
from collections.abc import Sequence

import numpy as np

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr.calls import Call, Parts, Rule, Value, fold
from jaxcnn.analysis.jaxpr.reach import OUTSIDE, Reach

WRITABLE = 1 << 22  # the most entries of a scatter that is followed one by one


def dynamic_slice(call: Call, parts: Parts) -> Reach:
    part, shape = parts[0], call.operands[0].shape
    for axis, size in enumerate(call.params["slice_sizes"]):
        if size == shape[axis]:
            continue
        start = fold(call.operands[1 + axis])
        if start is None:
            part = _anywhere(call, part, axis)
        else:
            first = int(np.clip(start, 0, shape[axis] - size))
            part = reaches.take(part, axis, np.arange(first, first + size), stride=1)
    return _decided(part, parts[1:])


def dynamic_update_slice(call: Call, parts: Parts) -> Reach:
    target, update, *decisions = parts
    shape, inner = call.operands[0].shape, call.operands[1].shape
    at: list[slice | None] = [None] * len(shape)
    for axis in range(len(shape)):
        if inner[axis] == shape[axis]:
            continue
        start = fold(call.operands[2 + axis])
        if start is None:
            call.notes.add("dynamic_update_slice where data says")
            update = reaches.hull(update, range(len(shape)))
            return _decided(reaches.join([target, update]), decisions)
        first = int(np.clip(start, 0, shape[axis] - inner[axis]))
        at[axis] = slice(first, first + inner[axis])
        target = reaches.spread(target, axis, shape[axis])
    return reaches.write(target, update, at)


def gather(call: Call, parts: Parts) -> Reach:
    part, decisions = parts
    numbers, sizes = call.params["dimension_numbers"], call.params["slice_sizes"]
    shape, ndim = call.operands[0].shape, len(call.outputs[0].shape)
    batch_axes = [axis for axis in range(ndim) if axis not in numbers.offset_dims]
    inner = [
        axis
        for axis in range(len(shape))
        if axis not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    ]
    windows = dict(zip(inner, numbers.offset_dims, strict=True))
    batches = dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
    starts = dict(zip(numbers.start_index_map, _columns(call.operands[1]), strict=True))
    indices = []
    for axis, size in enumerate(shape):
        index = np.zeros((1,) * ndim, int)
        if axis in windows:
            index = index + _along(np.arange(sizes[axis]), [windows[axis]], ndim)
        if axis in batches:
            index = index + _along(np.arange(size), [batch_axes[batches[axis]]], ndim)
        if axis in starts and sizes[axis] != size:
            start = starts[axis]
            if start is None:
                part = _anywhere(call, part, axis)
            else:
                index = index + _along(_bounded(call, start, size - sizes[axis]), batch_axes, ndim)
                index = np.where(index < 0, OUTSIDE, index)
        indices.append(index)
    last = decisions.low.ndim - 1
    decisions = reaches.place(reaches.merge(decisions, [last]), batch_axes, ndim)
    return reaches.join([reaches.lookup(part, indices), decisions])


def scatter(call: Call, parts: Parts) -> Reach:
    """Entries written see what was written; added ones also what was there before."""
    target, decisions, update = parts
    numbers = call.params["dimension_numbers"]
    shape, inner = call.operands[0].shape, call.operands[2].shape
    columns = _columns(call.operands[1])
    if any(start is None for start in columns) or max(math.prod(inner), math.prod(shape)) > WRITABLE:
        call.notes.add("scatter where data says")
        anywhere = [reaches.merge(part, range(part.low.ndim)) for part in (update, decisions)]
        return _decided(target, anywhere)
    batch_axes = [axis for axis in range(len(inner)) if axis not in numbers.update_window_dims]
    outer = [
        axis
        for axis in range(len(shape))
        if axis not in (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    ]
    windows = dict(zip(outer, numbers.update_window_dims, strict=True))
    batches = dict(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True))
    starts = dict(zip(numbers.scatter_dims_to_operand_dims, columns, strict=True))
    places, valid = [], np.ones(inner, bool)
    for axis, size in enumerate(shape):
        index = np.zeros(inner, int)
        span = 1
        if axis in windows:
            span = inner[windows[axis]]
            index += _along(np.arange(span), [windows[axis]], len(inner))
        if axis in batches:
            index += _along(np.arange(size), [batch_axes[batches[axis]]], len(inner))
        if (start := starts.get(axis)) is not None:
            index += _along(_bounded(call, start, size - span), batch_axes, len(inner))
        places.append(index)
        valid &= index >= 0
    at = tuple(index[valid] for index in places)
    low, high = (np.broadcast_to(table, shape).copy() for table in target[:2])
    if call.name == "scatter":
        low[at], high[at] = reaches.FAR, -reaches.FAR
    np.minimum.at(low, at, np.broadcast_to(update.low, inner)[valid])
    np.maximum.at(high, at, np.broadcast_to(update.high, inner)[valid])
    return reaches.settle(low, high, target.laws, target.size)


def _columns(indices: Value) -> list[np.ndarray | None]:
    """The last axis of an array of indices entry by entry, each known or not."""
    if (entries := fold(indices)) is not None:
        return [entries[..., i] for i in range(indices.shape[-1])]
    maker = indices.maker
    if (
        maker is not None
        and maker.name == "concatenate"
        and maker.params["dimension"] == len(indices.shape) - 1
    ):
        return [column for operand in maker.operands for column in _columns(operand)]
    return [None] * indices.shape[-1]


def _bounded(call: Call, starts: np.ndarray, last: int) -> np.ndarray:
    """First places, put within bounds or out of the way as the mode of the call says."""
    starts = starts.astype(int)
    if "CLIP" in str(call.params["mode"]):
        return np.clip(starts, 0, last)
    return np.where((starts < 0) | (starts > last), OUTSIDE, starts)


def _along(indices: np.ndarray, axes: Sequence[int], ndim: int) -> np.ndarray:
    """An array whose axes are some of ``ndim``."""
    shape = [1] * ndim
    for axis, size in zip(axes, indices.shape, strict=True):
        shape[axis] = size
    return indices.reshape(shape)


def _anywhere(call: Call, part: Reach, axis: int) -> Reach:
    """What is seen where data says from where along an array axis to read."""
    if part.low.shape[axis] > 1 or part.follows(axis):
        call.notes.add(f"{call.name} where data says")
    return reaches.hull(part, [axis])


def _decided(part: Reach, decisions: Sequence[Reach]) -> Reach:
    """Scalars that decide over an array are seen by all of it."""
    return reaches.join([part, *(reaches.place(one, [], part.low.ndim) for one in decisions)])


INDEXED: dict[str, Rule] = {
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "gather": gather,
    **dict.fromkeys(
        ("scatter", "scatter-add", "scatter-max", "scatter-min", "scatter-mul", "scatter-sub"), scatter
    ),
}
