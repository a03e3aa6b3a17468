"""How operations that move, join and reduce array entries pass on what those entries see."""

import numpy as np

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr.calls import Call, Parts, Rule
from jaxcnn.analysis.jaxpr.indexed import INDEXED
from jaxcnn.analysis.jaxpr.linear import LINEAR
from jaxcnn.analysis.jaxpr.reach import OUTSIDE, Reach

_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt
ceil clamp clz complex conj convert_element_type copy copy_p cos cosh device_put digamma div eq eq_to erf
erf_inv erfc exp exp2 expm1 floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite
layout_constraint le le_to lgamma log log1p logistic lt lt_to max min mul mulhi name ne neg nextafter not or
polygamma population_count pow pvary real reduce_precision regularized_incomplete_beta rem round rsqrt
select_n shift_left shift_right_arithmetic shift_right_logical sharding_constraint sign sin sinh sqrt square
stop_gradient sub tan tanh xor zeta
"""
_REDUCTIONS = "argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor"
_RUNNING = "cumlogsumexp cummax cummin cumprod cumsum"
_MOVES = """
broadcast_in_dim iota optimization_barrier pad reshape rev slice squeeze split transpose tile unstack
"""

ELEMENTWISE = frozenset(_ELEMENTWISE.split())
REDUCTIONS = frozenset(_REDUCTIONS.split())
MOVES = frozenset(_MOVES.split())
FUSED = ELEMENTWISE | MOVES
"""Operations that compilers fold into their neighbours, so that their results need no memory of their own."""


def elementwise(call: Call, parts: Parts) -> Reach:
    ndim = len(call.outputs[0].shape)
    return reaches.join([part if part.low.ndim == ndim else reaches.place(part, [], ndim) for part in parts])


def each_its_own(call: Call, parts: Parts) -> Parts:
    return parts


def broadcast_in_dim(call: Call, parts: Parts) -> Reach:
    shape, axes = call.outputs[0].shape, call.params["broadcast_dimensions"]
    kept = [old == shape[axis] for old, axis in zip(call.operands[0].shape, axes, strict=True)]
    return reaches.place(parts[0], axes, len(shape), kept)


def reshape(call: Call, parts: Parts) -> Reach:
    old, new = call.operands[0].shape, call.outputs[0].shape
    return reaches.nothing(len(new), parts[0].size) if 0 in new else reaches.reshape(parts[0], old, new)


def squeeze(call: Call, parts: Parts) -> Reach:
    return reaches.drop(parts[0], call.params["dimensions"])


def transpose(call: Call, parts: Parts) -> Reach:
    order = call.params["permutation"]
    return reaches.place(parts[0], [order.index(axis) for axis in range(len(order))], len(order))


def reverse(call: Call, parts: Parts) -> Reach:
    part = parts[0]
    for axis in call.params["dimensions"]:
        part = reaches.take(part, axis, np.arange(call.operands[0].shape[axis])[::-1], stride=-1)
    return part


def slice_(call: Call, parts: Parts) -> Reach:
    part, shape = parts[0], call.operands[0].shape
    starts, stops = call.params["start_indices"], call.params["limit_indices"]
    strides = call.params["strides"] or (1,) * len(starts)
    for axis, bounds in enumerate(zip(starts, stops, strides, strict=True)):
        if bounds != (0, shape[axis], 1):
            part = reaches.take(part, axis, np.arange(*bounds), stride=bounds[2])
    return part


def pad(call: Call, parts: Parts) -> Reach:
    """Entries between others see nothing; those at the ends what a continued array would, if it goes on."""
    part, fill = parts
    shape, outputs = call.operands[0].shape, call.outputs[0].shape
    filled = np.zeros((1,) * len(shape), bool)
    for axis, (low, high, interior) in enumerate(call.params["padding_config"]):
        if not (low or high or interior):
            continue
        places = np.arange(outputs[axis]) - low
        indices = np.where(places % (interior + 1), OUTSIDE, places // (interior + 1))
        gone = (indices < 0) | (indices >= shape[axis])
        filled = filled | gone.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        extend = call.extend and call.followed(0, axis)
        if not extend:
            part = reaches.spread(part, axis, shape[axis])
        part = reaches.take(part, axis, indices, stride=1, dilation=interior + 1, extend=extend)
    if fill.nothing or not filled.any():
        return part
    fill = reaches.place(fill, [], len(shape))
    return reaches.join([reaches.blank(part, filled), reaches.blank(fill, ~filled)])


def concatenate(call: Call, parts: Parts) -> Reach:
    axis = call.params["dimension"]
    return reaches.concatenate(parts, [operand.shape[axis] for operand in call.operands], axis)


def stack(call: Call, parts: Parts) -> Reach:
    axis, ndim = call.params["axis"], len(call.outputs[0].shape)
    others = [a for a in range(ndim) if a != axis]
    placed = [reaches.place(part, others, ndim) for part in parts]
    return reaches.concatenate(placed, [1] * len(placed), axis)


def unstack(call: Call, parts: Parts) -> Parts:
    axis = call.params["axis"]
    entries = (reaches.take(parts[0], axis, np.array([i])) for i in range(len(call.outputs)))
    return [reaches.drop(entry, [axis]) for entry in entries]


def split(call: Call, parts: Parts) -> Parts:
    axis, sizes = call.params["axis"], call.params["sizes"]
    ends = zip(np.cumsum(sizes), sizes, strict=True)
    return [reaches.take(parts[0], axis, np.arange(stop - size, stop), stride=1) for stop, size in ends]


def tile(call: Call, parts: Parts) -> Reach:
    part = parts[0]
    for axis, count in enumerate(call.params["reps"]):
        if count != 1:
            part = reaches.concatenate([part] * count, [call.operands[0].shape[axis]] * count, axis)
    return part


def reduction(call: Call, parts: Parts) -> Reach:
    return reaches.merge(parts[0], call.params["axes"])


def generic_reduction(call: Call, parts: Parts) -> Reach:
    """Any number of arrays and as many initial values, reduced together by a function."""
    ndim, count = len(call.outputs[0].shape), len(call.outputs)
    arrays = [reaches.merge(part, call.params["dimensions"]) for part in parts[:count]]
    return reaches.join([*arrays, *(reaches.place(part, [], ndim) for part in parts[count:])])


def across(call: Call, parts: Parts) -> Parts:
    """Reductions over mapped axes, which are array axes once they are mapped."""
    axes = [int(axis) for axis in call.params["axes"] if isinstance(axis, int | np.integer)]
    if len(axes) < len(call.params["axes"]):
        call.notes.add(f"{call.name} between devices")
    return [reaches.merge(part, axes) for part in parts]


def running(call: Call, parts: Parts) -> Reach:
    return reaches.accumulate(parts[0], call.params["axis"], reverse=call.params["reverse"])


def sort(call: Call, parts: Parts) -> Reach:
    """The keys decide where the entries of every operand go."""
    return reaches.join([reaches.hull(part, [call.params["dimension"]]) for part in parts])


def top_k(call: Call, parts: Parts) -> Reach:
    return reaches.hull(parts[0], [call.params.get("axis", len(call.operands[0].shape) - 1)])


def fft(call: Call, parts: Parts) -> Reach:
    ndim = len(call.operands[0].shape)
    return reaches.hull(parts[0], range(ndim - len(call.params["fft_lengths"]), ndim))


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("pmax", "pmin", "psum"), across),
    **dict.fromkeys(_RUNNING.split(), running),
    **INDEXED,
    **LINEAR,
    "broadcast_in_dim": broadcast_in_dim,
    "concatenate": concatenate,
    "fft": fft,
    "iota": each_its_own,
    "optimization_barrier": each_its_own,
    "pad": pad,
    "reduce": generic_reduction,
    "reshape": reshape,
    "rev": reverse,
    "slice": slice_,
    "sort": sort,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "top_k": top_k,
    "transpose": transpose,
    "unstack": unstack,
}
"""How every known primitive passes on what its operands see."""
