"""Calls in a few words: ``conv 3×3 /2``."""

from collections.abc import Sequence

from jaxcnn.analysis.jaxpr import cost
from jaxcnn.analysis.jaxpr.calls import Call
from jaxcnn.analysis.jaxpr.rules import ELEMENTWISE, FUSED

DENSE = "dense"

WORDS = {
    "concatenate": "concat",
    "conv_general_dilated": "conv",
    "dot_general": DENSE,
    "pmax": "max",
    "psum": "sum",
    "reduce_max": "max",
    "reduce_sum": "sum",
    "reduce_window_max": "max pool",
    "reduce_window_sum": "sum pool",
}

SCOPES = {"ops.deform_conv": "deform conv"}
"""What functions of this library call the whole of what they do."""


def operation(calls: Sequence[Call], heads: Sequence[Call], *, module: bool) -> str:
    """What a layer mainly does.

    Args:
      calls: of the layer.
      heads: those that begin a layer where no module says so.
      module: whether a module says so.
    """
    if module and calls[0].scope and (word := SCOPES.get(calls[0].scope[-1])):
        return word
    costs = [cost.macs(call) or 0 for call in calls]
    if max(costs):
        return describe(calls[costs.index(max(costs))])
    chief = (
        next((call for call in calls if call.name not in FUSED), calls[0])
        if module
        else [*calls[:1], *heads][-1]
    )
    slices = [call for call in calls if call.name == "slice"]
    if chief.name in (*FUSED, "concatenate") and (any(map(cost.strided, slices)) or len(slices) > 1):
        return _window(slices, calls)
    word = describe(chief)
    averaged = any(call.name in ("div", "mul") and call.operands[1].constant is not None for call in calls)
    if word.startswith("sum") and averaged:
        word = word.replace("sum", "mean")
    if module and any(call.leaves for call in calls):
        if chief.name in ELEMENTWISE:
            return "scale"
        return "normalize" if word in ("sum", "mean") else word
    return word


def describe(call: Call) -> str:
    """An operation with its numbers.

    >>> import jax, jax.numpy as jnp
    >>> from jax.extend.core import Primitive
    >>> describe(Call(Primitive("reduce_sum"), {}, [], []))
    'sum'
    """
    word, p = WORDS.get(call.name, call.name), call.params
    if call.name == "conv_general_dilated":
        numbers, taps = p["dimension_numbers"], call.operands[1].shape
        groups, channels = p["feature_group_count"], call.operands[0].shape[numbers.lhs_spec[1]]
        transposed = any(gap > 1 for gap in p["lhs_dilation"])
        parts = [
            "transposed conv" if transposed else "depthwise conv" if groups == channels > 1 else word,
            "×".join(str(taps[axis]) for axis in numbers.rhs_spec[2:]),
            _each("/", p["lhs_dilation"] if transposed else p["window_strides"]),
            _each("dilation ", p["rhs_dilation"]),
            f"in {groups} groups" if 1 < groups < channels else "",
        ]
        return " ".join(filter(None, parts))
    if "window_strides" in p and "window_dimensions" in p:
        moving = [axis for axis, taps in enumerate(p["window_dimensions"]) if taps > 1]
        size = "×".join(str(p["window_dimensions"][axis]) for axis in moving)
        return f"{word} {size} {_each('/', [p['window_strides'][axis] for axis in moving])}".strip()
    return word


def _window(slices: Sequence[Call], calls: Sequence[Call]) -> str:
    """Slices of one array, one for each tap, or axis by axis; what lies in padding is padded after."""
    pads = {id(call.operands[0]): call.params["padding_config"] for call in calls if call.name == "pad"}
    ndim = len(slices[0].operands[0].shape)
    strides = [max((call.params["strides"] or (1,) * ndim)[axis] for call in slices) for axis in range(ndim)]
    taps, none = [1] * ndim, ((0, 0, 0),) * ndim
    for array in {id(call.operands[0]) for call in slices}:
        own = [call for call in slices if id(call.operands[0]) == array]
        for axis in range(ndim):
            begins = {
                call.params["start_indices"][axis]
                - pads.get(id(call.outputs[0]), none)[axis][0] * strides[axis]
                for call in own
            }
            taps[axis] = max(taps[axis], len(begins))
    moving = [axis for axis in range(ndim) if taps[axis] > 1 or strides[axis] > 1]
    step = _each("/", [strides[axis] for axis in moving])
    if max(taps) == 1:
        return f"slice {step}".strip()
    names = {call.name for call in calls}
    word = "max pool" if "max" in names else "mean pool" if "add" in names else "slices"
    return f"{word} {'×'.join(str(taps[axis]) for axis in moving)} {step}".strip()


def _each(sign: str, numbers: Sequence[int]) -> str:
    """A number for every axis, once when all are alike, nothing when all are 1."""
    if all(number == 1 for number in numbers):
        return ""
    return sign + (str(numbers[0]) if len(set(numbers)) == 1 else "×".join(map(str, numbers)))
