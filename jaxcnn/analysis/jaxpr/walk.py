"""A jaxpr followed from its inputs to its outputs, as one flat list of calls.

Nested programs (jit, custom derivatives and batching, remat) are entered as if they had been written in
place; a scan is followed round by round and recorded once. Nothing is run but arithmetic on small constants,
such as the indices of a gather, where a rule asks for it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.extend import core

from jaxcnn.analysis.jaxpr import reach as reaches
from jaxcnn.analysis.jaxpr import rounds
from jaxcnn.analysis.jaxpr.calls import FOLDABLE, Call, Rule, Value, fold, known
from jaxcnn.analysis.jaxpr.direct import direct_form
from jaxcnn.analysis.jaxpr.reach import Reach

FOLLOWED = 256  # the most rounds of a loop that are followed one by one
SETTLING = 16  # rounds after which a loop whose fields still grow is said to see everything

# Calls that mean the program they hold, and the parameter that holds it.
INLINED = {
    "call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "composite": "jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
}

Scope = tuple[str, ...]


class Walk:
    """Follows programs, collecting their calls.

    Args:
      rules: how each primitive passes on what its operands see.
      sizes: of the input's axes.
      extend: fields continue beyond zero padding.

    Attributes:
      calls: those met so far, in order.
    """

    def __init__(self, rules: Mapping[str, Rule], sizes: Sequence[int], *, extend: bool):
        self.rules, self.sizes, self.extend = rules, sizes, extend
        self.calls: list[Call] = []
        self._repeats: int | None = 1

    def program(
        self, jaxpr: core.Jaxpr, consts: Sequence[Value], args: Sequence[Value], scope: Scope = ()
    ) -> list[Value]:
        """Follow a program from its inputs to its outputs."""
        values: dict[core.Var, Value] = {}
        values.update(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Value:
            if isinstance(atom, core.Literal):
                entry = np.asarray(atom.val, atom.aval.dtype)  # type: ignore[attr-defined]
                return Value(entry.shape, entry.dtype, constant=entry)
            return values[atom]

        for eqn in jaxpr.eqns:
            words = [part.name for part in eqn.source_info.name_stack.stack if type(part).__name__ == "Scope"]
            outputs = self._equation(eqn, [read(atom) for atom in eqn.invars], (*scope, *words))
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: core.JaxprEqn, operands: list[Value], scope: Scope) -> list[Value]:
        name = eqn.primitive.name
        if name in INLINED and INLINED[name] in eqn.params:
            return self._inner(eqn.params[INLINED[name]], operands, scope)
        if (program := direct_form(eqn)) is not None:
            return self._inner(program, operands, scope)
        avals = [var.aval for var in eqn.outvars]
        outputs = [Value(tuple(getattr(a, "shape", ())), getattr(a, "dtype", None)) for a in avals]
        call = Call(eqn.primitive, dict(eqn.params), operands, outputs, scope, self._repeats, self.extend)
        for output in outputs:
            output.maker = call
        special = {"scan": self._scan, "while": self._while, "cond": self._cond}
        special.get(name, self._apply)(call)
        self.calls.append(call)
        return outputs

    def _inner(self, program: Any, operands: Sequence[Value], scope: Scope) -> list[Value]:
        consts = [known(const) for const in getattr(program, "consts", ())]
        return self.program(getattr(program, "jaxpr", program), consts, operands, scope)

    def _apply(self, call: Call) -> None:
        """What the outputs of an ordinary call see, by the rule of its primitive."""
        if not call.seen:
            small = all(math.prod(output.shape) <= FOLDABLE for output in call.outputs)
            pure = call.name in self.rules
            call.foldable = pure and small and all(operand.foldable for operand in call.operands)
            for output in call.outputs:
                output.leaves = call.leaves
            return
        if call.name not in self.rules:
            call.notes.add(call.name)
        found = [self._outputs(call, axis) for axis in range(len(self.sizes))]
        unknown = frozenset(call.notes).union(*(operand.unknown for operand in call.operands))
        for place, output in enumerate(call.outputs):
            output.reach, output.unknown = reaches.agree([parts[place] for parts in found]), unknown

    def _outputs(self, call: Call, axis: int) -> list[Reach]:
        size = self.sizes[axis]
        if call.name not in self.rules:
            return [reaches.whole(len(output.shape), size) for output in call.outputs]
        parts = [
            operand.reach[axis] if operand.reach else reaches.nothing(len(operand.shape), size)
            for operand in call.operands
        ]
        result = self.rules[call.name](call, parts)
        return result if isinstance(result, list) else [result] * len(call.outputs)

    def _record(self, run: Callable[[], list[Value]], times: int | None) -> tuple[list[Value], list[Call]]:
        """Follow something that runs so many times, into a list of calls of its own."""
        calls, repeats = self.calls, self._repeats
        self.calls, self._repeats = [], None if times is None or repeats is None else repeats * times
        try:
            return run(), self.calls
        finally:
            self.calls, self._repeats = calls, repeats

    def _scan(self, call: Call) -> None:
        p = call.params
        length, first, last = p["length"], *_scan_bounds(p)
        fixed, carry, sequences = call.operands[:first], call.operands[first:last], call.operands[last:]
        each = length <= FOLLOWED
        made: list[list[Value]] = []
        calls: list[Call] = []
        for count in range(length if each else SETTLING):
            index = (length - 1 - count if p["reverse"] else count) if each else None
            operands = [*fixed, *carry, *(rounds.item(sequence, index) for sequence in sequences)]

            def one_round(operands: list[Value] = operands) -> list[Value]:
                return self._inner(p["jaxpr"], operands, call.scope)

            results, calls = self._record(one_round, length)
            after = results[: len(carry)]
            made.append(results[len(carry) :])
            if each:
                carry = after
                continue
            carry, settled = self._widen(call, carry, after, count, "a loop too long to follow")
            if settled:
                break
        if not each and any(sequence.reach is not None for sequence in sequences):
            call.notes.add("a loop too long to follow")
        self.calls += calls
        made = made[::-1] if p["reverse"] else made
        stacked = [
            rounds.stack([results[i] for results in made], each) if made else output
            for i, output in enumerate(call.outputs[len(carry) :])
        ]
        self._become(call, [*carry, *stacked])

    def _while(self, call: Call) -> None:
        p = call.params
        first = p["cond_nconsts"]
        last = first + p["body_nconsts"]
        tested, fixed = call.operands[:first], call.operands[first:last]
        carry = [rounds.mixed([value], value) for value in call.operands[last:]]  # no longer constants
        calls: list[Call] = []
        for count in range(SETTLING):

            def one_round(carry: list[Value] = carry) -> list[Value]:
                (going,) = self._inner(p["cond_jaxpr"], [*tested, *carry], call.scope)
                results = self._inner(p["body_jaxpr"], [*fixed, *carry], call.scope)
                return [rounds.mixed([one, rounds.spread(going, one.shape)], one) for one in results]

            results, calls = self._record(one_round, None)
            carry, settled = self._widen(call, carry, results, count, "a loop that ends when data says so")
            if settled:
                break
        self.calls += calls
        self._become(call, carry)

    def _widen(
        self, call: Call, before: Sequence[Value], after: Sequence[Value], count: int, why: str
    ) -> tuple[list[Value], bool]:
        """The state of a loop after any number of rounds, and whether it has settled."""
        joined = [rounds.mixed([old, new], new) for old, new in zip(before, after, strict=True)]
        settled = rounds.same(before, joined)
        if not settled:
            call.notes.add(why)
            if count == SETTLING - 1:
                rounds.give_up(before, joined)
        return joined, settled

    def _cond(self, call: Call) -> None:
        index, *operands = call.operands
        branches = call.params["branches"]
        if (platforms := call.params.get("branches_platforms")) is not None:  # ways to the same result
            branches = [branches[platforms.index(None) if None in platforms else 0]]
        elif (chosen := fold(index)) is not None:
            branches = [branches[int(np.clip(chosen, 0, len(branches) - 1))]]
        ways: list[tuple[list[Value], list[Call]]] = []
        for branch in branches:

            def one_branch(branch: Any = branch) -> list[Value]:
                return self._inner(branch, operands, call.scope)

            ways.append(self._record(one_branch, 1))
        call.alternatives = [calls for _, calls in ways]
        longest = max(range(len(ways)), key=lambda i: len(call.alternatives[i]))
        self.calls += call.alternatives[longest]
        results = [
            rounds.mixed([*made, rounds.spread(index, output.shape)], output)
            for output, *made in zip(call.outputs, *(results for results, _ in ways), strict=True)
        ]
        self._become(call, results)

    def _become(self, call: Call, results: Sequence[Value]) -> None:
        """The outputs of a call are these values."""
        for output, result in zip(call.outputs, results, strict=True):
            output.reach, output.leaves, output.unknown = result.reach, result.leaves, result.unknown
            if result.reach is not None:
                output.unknown |= call.notes


def _scan_bounds(params: Mapping[str, Any]) -> tuple[int, int]:
    """Where among the operands of a scan its state begins and ends."""
    if "num_carry" in params:
        return params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()  # from jax 0.12 on
    return len(consts), len(consts) + len(carry)
