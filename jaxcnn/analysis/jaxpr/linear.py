"""How convolutions, products and windows pass on what their operands see."""

import numpy as np

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr.calls import Call, Parts, Rule, fold
from jaxcnn.analysis.jaxpr.reach import Reach


def conv(call: Call, parts: Parts) -> Reach:
    """Windows over the spatial axes, groups of channels; a kernel made from the input is seen whole."""
    image, kernel = parts
    numbers = call.params["dimension_numbers"]
    features = reaches.merge(kernel, numbers.rhs_spec[1:])
    ndim = len(numbers.out_spec)
    return reaches.join([_conv_image(call, image), reaches.place(features, [numbers.out_spec[1]], ndim)])


def _conv_image(call: Call, image: Reach) -> Reach:
    p = call.params
    numbers = p["dimension_numbers"]
    shape, taps, outputs = call.operands[0].shape, call.operands[1].shape, call.outputs[0].shape
    for i, axis in enumerate(numbers.lhs_spec[2:]):
        image = reaches.window(
            image,
            axis,
            outputs[numbers.out_spec[2 + i]],
            taps[numbers.rhs_spec[2 + i]],
            stride=p["window_strides"][i],
            low=p["padding"][i][0],
            dilation=p["rhs_dilation"][i],
            base_dilation=p["lhs_dilation"][i],
            extend=call.extend,
        )
    batch, channels = numbers.lhs_spec[:2]
    features = np.arange(outputs[numbers.out_spec[1]])
    if (parts := p["batch_group_count"]) > 1:
        image = reaches.hull(image, [channels])
        image = _grouped_batch(
            image, batch, channels, shape[batch] // parts, features * parts // len(features)
        )
    else:
        groups = p["feature_group_count"]
        # first what a group sees, for its features see the same
        image = reaches.take(image, channels, np.arange(shape[channels]).reshape(groups, -1))
        image = reaches.take(image, channels, features * groups // len(features))
    axes = dict(zip(numbers.lhs_spec, numbers.out_spec, strict=True))
    return reaches.place(image, [axes[axis] for axis in range(len(shape))], len(shape))


def _grouped_batch(image: Reach, batch: int, channels: int, each: int, group: np.ndarray) -> Reach:
    """A feature works on the examples of its group alone."""
    ndim = image.low.ndim

    def along(indices: np.ndarray, axis: int) -> np.ndarray:
        return indices.reshape([-1 if a == axis else 1 for a in range(ndim)])

    indices = [along(np.arange(image.low.shape[axis]), axis) for axis in range(ndim)]
    if image.low.shape[batch] > 1:
        indices[batch] = along(group * each, channels) + along(np.arange(each), batch)
    indices[channels] = along(np.zeros_like(group), channels)
    return reaches.lookup(image, indices)


def dot(call: Call, parts: Parts) -> Reach:
    """Everything along the contracted axes; of weights known entry by entry, what is not zero."""
    contracted, batched = call.params["dimension_numbers"]
    ndim = len(call.outputs[0].shape)
    joined = []
    start = len(batched[0])
    for side, part in enumerate(parts):
        rank = part.low.ndim
        free = [axis for axis in range(rank) if axis not in (*contracted[side], *batched[side])]
        places = {axis: i for i, axis in enumerate(batched[side])}
        places |= {axis: start + i for i, axis in enumerate(free)}
        start += len(free)
        weights = fold(call.operands[1 - side]) if len(contracted[side]) == 1 and not batched[0] else None
        if weights is not None:
            joined.append(
                _weighted(part, contracted[side][0], contracted[1 - side][0], weights, places, ndim)
            )
        else:
            kept = [places[axis] for axis in range(rank) if axis in places]
            joined.append(reaches.place(reaches.merge(part, contracted[side]), kept, ndim))
    return reaches.join(joined)


def _weighted(
    part: Reach, axis: int, along: int, weights: np.ndarray, places: dict[int, int], ndim: int
) -> Reach:
    """A product with known weights along one axis, as in resizing: where they are zero, nothing is seen."""
    used = np.moveaxis(weights != 0, along, -1)
    free, count = used.shape[:-1], used.shape[-1]
    used = used.reshape(-1, count)
    width = max(int(used.sum(1).max(initial=0)), 1)
    order = np.argsort(~used, axis=1, kind="stable")[:, :width]
    indices = np.where(np.take_along_axis(used, order, 1), order, reaches.OUTSIDE)
    part = reaches.take(reaches.spread(part, axis, count), axis, indices)
    # The axis now runs over all free axes of the weights: put it last, then split it.
    rank = part.low.ndim
    part = reaches.place(part, [rank - 1 if a == axis else a - (a > axis) for a in range(rank)], rank)
    sizes = part.low.shape[:-1]
    part = reaches.reshape(part, (*sizes, len(used)), (*sizes, *free))
    own = [places[a] for a in range(rank) if a != axis]
    return reaches.place(part, [*own, *(i for i in range(ndim) if i not in own)], ndim)


def pooling(call: Call, parts: Parts) -> Reach:
    """Windows over every axis of any number of arrays, with as many initial values."""
    p, shape = call.params, call.outputs[0].shape
    ones = (1,) * len(shape)
    joined = []
    for part in parts:
        if part.low.ndim == 0:
            part = reaches.place(part, [], len(shape))
        for axis, taps in enumerate(p["window_dimensions"]):
            part = reaches.window(
                part,
                axis,
                shape[axis],
                taps,
                stride=p["window_strides"][axis],
                low=p["padding"][axis][0],
                dilation=p.get("window_dilation", ones)[axis],
                base_dilation=p.get("base_dilation", ones)[axis],
                extend=call.extend,
            )
        joined.append(part)
    return reaches.join(joined)


LINEAR: dict[str, Rule] = {
    "conv_general_dilated": conv,
    "dot_general": dot,
    "reduce_window": pooling,
    "reduce_window_max": pooling,
    "reduce_window_min": pooling,
    "reduce_window_sum": pooling,
    "select_and_gather_add": pooling,
}
