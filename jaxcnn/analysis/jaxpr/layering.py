"""Which calls of a program make a layer, and what it is called.

A named scope without scopes inside, as Flax gives every module, is a layer. Elsewhere a layer begins with
each operation that reads more than single entries (a convolution, a product, a window, a sum) or joins what
two layers made; elementwise operations and moves belong to the layer whose output they take. Several slices
of one array are a window.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from jaxcnn.analysis.jaxpr import cost, words
from jaxcnn.analysis.jaxpr.calls import Call, Value
from jaxcnn.analysis.jaxpr.field import Field, read
from jaxcnn.analysis.jaxpr.rules import FUSED, MOVES

Name = tuple[str, ...]


class Layer(NamedTuple):
    """A layer, each time it runs: a module that is called twice makes two.

    Attributes:
      name: path of its parameters, else of its module, else its operation.
      operation: what it mainly does, ``conv 3×3 /2``.
      output: shape of its output.
      parameters: numbers of the parameters that it is the first to use.
      macs: multiply-accumulates; None where they are not known.
      bytes: of its output.
      fields: what its outputs see along each axis of the input; empty for what does not depend on the input.
      unread: pixels of its own input that its strides skip for good.
      pixels: of that input; 0 where none is skipped.
      unknown: why its fields or multiply-accumulates are not known, where they are not.
    """

    name: str
    operation: str
    output: tuple[int, ...]
    parameters: int
    macs: int | None
    bytes: int
    fields: tuple[Field, ...]
    unread: int
    pixels: int
    unknown: tuple[str, ...]

    @property
    def dense(self) -> bool:
        """Whether it is fully connected: a product with a matrix whose output has no positions left."""
        return self.operation == words.DENSE and math.prod(self.output[1:-1]) == 1


class Group(NamedTuple):
    """The calls of a layer.

    Attributes:
      scope: of all of them.
      module: they are all there is in that scope.
      calls: in order.
      heads: those that began a layer, unless it is a module.
    """

    scope: Name
    module: bool
    calls: list[Call]
    heads: list[Call]


def layers_of(
    calls: Sequence[Call], outputs: Sequence[Value], names: Sequence[Name], sizes: Sequence[int]
) -> tuple[list[Layer], set[int]]:
    """Layers of a program.

    Args:
      calls: the program.
      outputs: what it returns.
      names: of its parameters, by number.
      sizes: of its parameters, by number; 0 for what is not learned.

    Returns:
      The layers, and the numbers of the parameters in use.
    """
    readers: dict[int, set[int]] = {}
    for call in calls:
        for operand in call.operands:
            readers.setdefault(id(operand), set()).add(id(call))
    for output in outputs:
        readers.setdefault(id(output), set()).add(0)  # whoever called the program
    used: set[int] = set()
    layers = []
    for group in group_calls(calls, names):
        leaves = [leaf for call in group.calls for leaf in sorted(call.leaves)]
        new = [leaf for leaf in dict.fromkeys(leaves) if leaf not in used]
        used.update(new)
        owned = [names[leaf] for leaf in leaves if sizes[leaf]]
        layers.append(_layer(group, _output(group, readers), owned, sum(sizes[leaf] for leaf in new)))
    used.update(leaf for output in outputs for leaf in output.leaves)
    return layers, used


def group_calls(calls: Sequence[Call], names: Sequence[Name]) -> list[Group]:
    """Sort the calls that depend on the input, or cost something, into layers; ``names`` of parameters."""
    scopes = module_scopes(calls)
    outer = {scope[:length] for scope in scopes for length in range(len(scope))} | {()}
    grouping = _Grouping(calls, names)
    for call, scope in zip(calls, scopes, strict=True):
        if call.seen and scope in outer:
            grouping.between_modules(call, scope)
        elif call.seen:
            grouping.in_module(call, scope)
        elif cost.macs(call) != 0:
            grouping.begin(call, scope)
    if not grouping.groups and any(call.seen for call in calls):  # one elementwise operation on the input
        return [Group((), False, [call for call in calls if call.seen], [])]
    return grouping.groups


class _Grouping:
    """Layers as they grow."""

    def __init__(self, calls: Sequence[Call], names: Sequence[Name]):
        self.groups: list[Group] = []
        self._names = names
        self._slices = Counter(id(call.operands[0]) for call in calls if call.name == "slice")
        self._home: dict[int, int] = {}  # the layer that made a value
        self._spent: dict[int, frozenset[int]] = {}  # what a module multiplied by on the way to a value
        self._before: Name | None = None

    def begin(self, call: Call, scope: Name, *, module: bool = False) -> None:
        self.groups.append(Group(scope, module, [], []))
        self._put(call, scope, len(self.groups) - 1, head=True)

    def in_module(self, call: Call, scope: Name) -> None:
        """All of a module is one layer; it is another when the module is called on what it made itself."""
        multiplied = call.leaves if cost.macs(call) else frozenset[int]()
        past = frozenset[int]().union(*(self._spent.get(id(operand), ()) for operand in call.operands))
        if scope != self._before or past & multiplied or self._other_owner(multiplied):
            self.begin(call, scope, module=True)
            past = frozenset()
        else:
            self._put(call, scope, len(self.groups) - 1)
        self._spent.update((id(output), past | multiplied) for output in call.outputs)

    def between_modules(self, call: Call, scope: Name) -> None:
        """Outside of modules single operations are layers, or what a module does between those inside it."""
        makers = {self._home.get(id(operand), -1) for operand in call.operands if operand.reach is not None}
        maker = min(makers)
        if call.name == "slice" and (place := self._window(call, maker)) is not None:
            self._put(call, scope, place)
        elif (
            call.name in FUSED
            and len(makers) == 1
            and not (maker == -1 and call.leaves)
            and not self._begins(call)
        ):
            self._put(call, scope, maker)
        elif scope and self._open(scope) and not self._begins(call):
            self._put(call, scope, len(self.groups) - 1, head=True)
        else:
            self.begin(call, scope)

    def _put(self, call: Call, scope: Name, place: int, *, head: bool = False) -> None:
        self._before = scope
        self._home.update((id(output), place) for output in call.outputs)
        if place >= 0:
            self.groups[place].calls.append(call)
            if head:
                self.groups[place].heads.append(call)

    def _other_owner(self, multiplied: frozenset[int]) -> bool:
        """Whether parameters lie elsewhere than those that the last layer multiplied by."""
        before = (leaf for call in self.groups[-1].calls if cost.macs(call) for leaf in call.leaves)
        owners = {self._names[leaf][:-1] for leaf in before}
        return bool(owners and multiplied) and owners.isdisjoint(
            self._names[leaf][:-1] for leaf in multiplied
        )

    def _begins(self, call: Call) -> bool:
        """Whether a slice begins a window."""
        return call.name == "slice" and (cost.strided(call) or self._slices[id(call.operands[0])] > 1)

    def _open(self, scope: Name) -> bool:
        """Whether the last layer is what the same module did just before, and no window."""
        if not self.groups or self.groups[-1].module or self.groups[-1].scope != scope:
            return False
        return not any(self._begins(call) for call in self.groups[-1].calls)

    def _window(self, call: Call, maker: int) -> int | None:
        """The layer that already slices the same array, or made it from slices along other axes."""
        for place in range(len(self.groups) - 1, max(maker, 0) - 1, -1):
            slices = [other for other in self.groups[place].calls if other.name == "slice"]
            if self.groups[place].module or not slices:
                continue
            if any(other.operands[0] is call.operands[0] for other in slices):
                return place
            if place == maker and not any(_sliced(other) & _sliced(call) for other in slices):
                return place
        return None


def _sliced(call: Call) -> set[int]:
    """The axes that a slice does not keep whole."""
    sizes = zip(call.operands[0].shape, call.outputs[0].shape, strict=True)
    return {axis for axis, (old, new) in enumerate(sizes) if old != new}


def module_scopes(calls: Sequence[Call]) -> list[Name]:
    """Scopes without the methods of modules, and without the root module when all are inside it."""
    scopes = []
    for call in calls:
        scope: list[str] = []
        for word in call.scope:
            method = scope and word.startswith(f"{scope[-1]}.")
            if not method and "->" not in word:  # which an einsum calls itself
                scope.append(word)
        scopes.append(tuple(scope))
    roots = {scope[:1] for scope, call in zip(scopes, calls, strict=True) if call.seen}
    nested = any(len(scope) > 1 for scope in scopes)
    return [scope[1:] for scope in scopes] if len(roots) == 1 and () not in roots and nested else scopes


def _output(group: Group, readers: dict[int, set[int]]) -> Value | None:
    """What a module made last that others read; of other layers what they made last, before it was moved."""
    own = {id(call) for call in group.calls}
    made = [(call, output) for call in group.calls for output in call.outputs if output.reach is not None]
    if group.module:
        made = [(call, output) for call, output in made if readers.get(id(output), set()) - own] or made
    else:
        made = [(call, output) for call, output in made if call.name not in MOVES] or made
    return made[-1][1] if made else None


def _shared(names: Sequence[Name]) -> Name:
    """The path to all of some parameters; to a single one at the top, its own name."""
    parents = {name[:-1] or name for name in names}
    shortest = min(map(len, parents), default=0)
    lengths = [n for n in range(shortest + 1) if len({parent[:n] for parent in parents}) == 1]
    return next(iter(parents))[: lengths[-1]] if parents else ()


def _layer(group: Group, output: Value | None, names: Sequence[Name], parameters: int) -> Layer:
    uncounted = {call.name for call in group.calls if cost.total_macs([call]) is None}
    name = "/".join(_shared(names) or group.scope)
    operation = words.operation(group.calls, group.heads, module=group.module)
    unread, pixels = cost.unread(group.calls)
    return Layer(
        name=name or operation,
        operation=operation,
        output=() if output is None else output.shape,
        parameters=parameters,
        macs=None if uncounted else cost.total_macs(group.calls),
        bytes=0 if output is None else output.bytes,
        fields=() if output is None or output.reach is None else tuple(map(read, output.reach)),
        unread=unread,
        pixels=pixels,
        unknown=tuple(sorted(uncounted | (set() if output is None else output.unknown))),
    )
