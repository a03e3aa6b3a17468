"""What calls cost: multiply-accumulates, and pixels that are never read."""

import math
from collections.abc import Sequence

import numpy as np

from jaxcnn.analysis.jaxpr.calls import Call
from jaxcnn.analysis.jaxpr.rules import RULES
from jaxcnn.ops import geometry

_CONTROL_AND_CHANCE = """
cond scan while random_bits random_clone random_fold_in random_gamma random_seed random_split random_unwrap
random_wrap rng_bit_generator rng_uniform threefry2x32
"""
FREE = RULES.keys() | frozenset(_CONTROL_AND_CHANCE.split())
"""Operations that multiply nothing, but for convolutions and products among them."""


def macs(call: Call) -> int | None:
    """Multiply-accumulates of a call each time it runs; None where they are not known.

    Convolutions and products count, at padding too; additions, norms, activations and pooling do not. A
    transposed convolution counts each tap once for each input, not the zeros between.
    """
    match call.name:
        case "conv_general_dilated":
            numbers = call.params["dimension_numbers"]
            image, kernel = (operand.shape for operand in call.operands)
            taps = math.prod(kernel[axis] for axis in numbers.rhs_spec[2:])
            outputs = math.prod(call.outputs[0].shape)
            if any(gap > 1 for gap in call.params["lhs_dilation"]):
                inputs = math.prod(image)
                return inputs * taps * kernel[numbers.rhs_spec[0]] // call.params["feature_group_count"]
            return outputs * taps * kernel[numbers.rhs_spec[1]]
        case "dot_general":
            (contracted, _), _ = call.params["dimension_numbers"]
            return math.prod(call.outputs[0].shape) * math.prod(
                call.operands[0].shape[axis] for axis in contracted
            )
        case "fft":
            return None
        case "cond":
            counts = [total_macs(calls) for calls in call.alternatives]
            return 0 if all(count == counts[0] for count in counts) else None
    return 0 if call.name in FREE or not (call.seen or call.leaves) else None


def total_macs(calls: Sequence[Call]) -> int | None:
    """Multiply-accumulates of calls, each as often as it runs; None where those of one are not known."""
    total = 0
    for call in calls:
        count = macs(call)
        if count is None or (count and call.repeats is None):
            return None
        total += count * (call.repeats or 0)
    return total


def unread(calls: Sequence[Call]) -> tuple[int, int]:
    """Pixels that the windows and strided slices of a layer never read, and pixels they could have read."""
    losses = [_window_loss(call) for call in calls]
    sliced: dict[int, list[Call]] = {}
    for call in calls:
        for operand in call.operands:
            sliced.setdefault(id(operand), []).append(call)
    losses += [_slices_loss(readers) for readers in sliced.values() if all(map(strided, readers))]
    missed = [loss for loss in losses if loss[0]]
    return sum(loss for loss, _ in missed), sum(size for _, size in missed)


def strided(call: Call) -> bool:
    """Whether a call takes every second entry of an axis, or fewer."""
    return call.name == "slice" and any(stride > 1 for stride in call.params["strides"] or ())


def _window_loss(call: Call) -> tuple[int, int]:
    p = call.params
    if call.name == "conv_general_dilated":
        numbers = p["dimension_numbers"]
        sizes = [call.operands[0].shape[axis] for axis in numbers.lhs_spec[2:]]
        taps = [call.operands[1].shape[axis] for axis in numbers.rhs_spec[2:]]
        dilation, enlarged = p["rhs_dilation"], p["lhs_dilation"]
    elif call.name.startswith("reduce_window"):
        sizes, taps = list(call.operands[0].shape), p["window_dimensions"]
        dilation, enlarged = p["window_dilation"], p["base_dilation"]
    else:
        return 0, 0
    if any(gap > 1 for gap in enlarged) or 0 in call.outputs[0].shape:
        return 0, 0
    missed, pixels = 1, 1
    for size, count, stride, pair, gap in zip(
        sizes, taps, p["window_strides"], p["padding"], dilation, strict=True
    ):
        if (count, stride, tuple(pair)) != (1, 1, (0, 0)):  # an axis that windows move along
            loss = geometry.stride_loss(size, count, stride=stride, padding=tuple(pair), dilation=gap)
            pixels *= size
            missed *= size - len(loss.unseen)
    return pixels - missed, pixels


def _slices_loss(calls: Sequence[Call]) -> tuple[int, int]:
    """Pixels that several strided slices of one array leave out together, padding not counted."""
    array = calls[0].operands[0]
    axes = [
        axis for axis in range(len(array.shape)) if any(call.params["strides"][axis] > 1 for call in calls)
    ]
    read = np.zeros([array.shape[axis] for axis in axes], bool)
    for call in calls:
        start, stop, step = (call.params[name] for name in ("start_indices", "limit_indices", "strides"))
        read[tuple(slice(start[axis], stop[axis], step[axis]) for axis in axes)] = True
    if array.maker is not None and array.maker.name == "pad":
        config, inner = array.maker.params["padding_config"], array.maker.operands[0].shape
        read = read[tuple(slice(max(config[axis][0], 0), config[axis][0] + inner[axis]) for axis in axes)]
    return int(read.size - read.sum()), read.size
