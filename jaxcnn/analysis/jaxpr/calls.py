"""The values and calls that a program is made of once it is flat."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxcnn.analysis.jaxpr.reach import Reach

FOLDABLE = 1 << 20  # the most entries of a constant that is worked out


@dataclass(eq=False)
class Value:
    """One array of the program.

    Attributes:
      shape, dtype: of the array.
      reach: what its elements see, for each axis of the input; None: it does not depend on the input.
      unknown: why what it sees is not known, where it is not.
      leaves: the parameters it is made from, where it does not depend on the input.
      constant: its entries where they are known, or None.
      maker: the call whose output it is.
    """

    shape: tuple[int, ...]
    dtype: Any
    reach: tuple[Reach, ...] | None = None
    unknown: frozenset[str] = frozenset()
    leaves: frozenset[int] = frozenset()
    constant: np.ndarray | None = None
    maker: "Call | None" = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * getattr(self.dtype, "itemsize", 0)

    @property
    def foldable(self) -> bool:
        """Whether its entries follow from the program alone."""
        return self.constant is not None or (self.maker is not None and self.maker.foldable)


@dataclass(eq=False)
class Call:
    """One operation of the program.

    Attributes:
      primitive: what it does.
      params: static parameters.
      operands, outputs: values read and made.
      scope: names of the modules it is in, outermost first.
      repeats: how often it runs; None: known only when it runs.
      extend: fields continue beyond zero padding.
      notes: why what its outputs see is not known.
      foldable: its outputs follow from the program alone, and are small.
      alternatives: the calls of each branch, of which one is taken.
    """

    primitive: Any
    params: dict[str, Any]
    operands: list[Value]
    outputs: list[Value]
    scope: tuple[str, ...] = ()
    repeats: int | None = 1
    extend: bool = True
    notes: set[str] = field(default_factory=set)
    foldable: bool = False
    alternatives: list[list["Call"]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.primitive.name

    @property
    def seen(self) -> bool:
        """Whether it works on the input."""
        return any(operand.reach is not None for operand in self.operands)

    @property
    def leaves(self) -> frozenset[int]:
        """The parameters that it brings together, or brings to the input."""
        return frozenset[int]().union(*(operand.leaves for operand in self.operands))

    def followed(self, operand: int, axis: int) -> bool:
        """Whether any axis of the input runs along an axis of an operand."""
        return any(reach.follows(axis) for reach in self.operands[operand].reach or ())


Parts = list[Reach]
"""What each operand, or each output, sees of one axis of the input."""

Rule = Callable[[Call, Parts], Reach | Parts]
"""From a call and what its operands see to what its outputs see, each its own or all the same."""


def known(array: Any) -> Value:
    """An array that the program holds, with its entries where they say which entries it lets through.

    Whole numbers may be places, and other numbers with zeros among them a choice, as in a matrix that pools
    or resizes. Without zeros, or of nothing else, they are weights, and no more is known than their shape.
    """
    shape, dtype = tuple(np.shape(array)), jax.dtypes.result_type(array)
    if math.prod(shape) > FOLDABLE or jax.dtypes.issubdtype(dtype, jax.dtypes.extended):
        return Value(shape, dtype)
    entries = np.asarray(array)
    chooses = 0 < np.count_nonzero(entries) < entries.size
    return Value(shape, dtype, constant=None if is_inexact(dtype) and not chooses else entries)


def is_inexact(dtype: Any) -> bool:
    """Whether entries are real or complex numbers, as weights are."""
    return jax.dtypes.issubdtype(dtype, np.inexact)


def fold(value: Value) -> np.ndarray | None:
    """The entries of a value that follow from the program alone; None for others."""
    if value.constant is not None or not value.foldable:
        return value.constant
    order = _needed(value)

    def compute() -> Any:
        found: dict[int, Any] = {}
        for call in order:
            operands = [found.get(id(operand), operand.constant) for operand in call.operands]
            results = call.primitive.bind(*operands, **call.params)
            results = results if call.primitive.multiple_results else [results]
            found.update((id(output), result) for output, result in zip(call.outputs, results, strict=True))
        return found[id(value)]

    # compiled by itself, so that it is run even where all else is being traced
    value.constant = np.asarray(jax.jit(compute).lower().compile()())
    return value.constant


def _needed(value: Value) -> list[Call]:
    """The calls that a value follows from, in order; without recursion, for chains through loops are long."""
    order: list[Call] = []
    met: set[int] = set()
    stack = [value]
    while stack:
        call = stack[-1].maker
        if stack[-1].constant is not None or call is None or id(call) in met:
            stack.pop()
            continue
        waiting = [one for one in call.operands if one.constant is None and id(one.maker) not in met]
        if waiting:
            stack += waiting
        else:
            met.add(id(call))
            order.append(call)
            stack.pop()
    return order
