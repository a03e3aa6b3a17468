"""The most memory that a program has in use at once."""

from collections.abc import Sequence

from jaxcnn.analysis.jaxpr.calls import Call, Value
from jaxcnn.analysis.jaxpr.rules import FUSED, REDUCTIONS


def peak_bytes(calls: Sequence[Call], inputs: Sequence[Value], outputs: Sequence[Value]) -> int:
    """Estimate the most memory in use at once, in bytes, when calls run in the order they are written.

    Inputs stay throughout. A result lives from the call that makes it to the last that reads it. As compilers
    do, elementwise operations and moves run inside the elementwise operations and reductions that read them,
    and one whose result is kept writes over an operand of the same size that nobody else reads any more.
    Scratch space and other layouts, which a compiler may add, are not counted.
    """
    kept = {*inputs, *outputs}
    stored = _stored(calls, kept)
    last = _last_reads(calls, inputs, stored)
    ends: dict[int, list[Value]] = {}
    for value, place in last.items():
        if value not in kept:
            ends.setdefault(place, []).append(value)
    live = peak = sum(value.bytes for value in inputs)
    for place, call in enumerate(calls):
        made = [output for output in call.outputs if output in stored]
        size, dying = sum(output.bytes for output in made), ends.get(place, [])
        in_place = call.name in FUSED and any(value.bytes == size for value in dying if value not in made)
        peak = max(peak, live if in_place else live + size)
        live += size - sum(value.bytes for value in dying)
    return peak


def _stored(calls: Sequence[Call], kept: set[Value]) -> set[Value]:
    """Values that take memory: all but those that whoever reads them computes on the way."""
    readers: dict[Value, list[Call]] = {}
    for call in calls:
        for operand in call.operands:
            readers.setdefault(operand, []).append(call)
    stored = set(kept)
    for call in calls:
        for output in call.outputs:
            if call.name not in FUSED or not all(
                reader.name in FUSED | REDUCTIONS for reader in readers.get(output, ())
            ):
                stored.add(output)
    return stored


def _last_reads(calls: Sequence[Call], inputs: Sequence[Value], stored: set[Value]) -> dict[Value, int]:
    """The last call that reads a stored value, be it through others that are not stored."""
    last: dict[Value, int] = {}
    sources: dict[Value, frozenset[Value]] = {value: frozenset([value]) for value in inputs}
    for place, call in enumerate(calls):
        read = frozenset[Value]().union(*(sources.get(operand, ()) for operand in call.operands))
        last.update((value, place) for value in read)
        for output in call.outputs:
            sources[output] = frozenset([output]) if output in stored else read
            if output in stored:
                last[output] = place
    return last
