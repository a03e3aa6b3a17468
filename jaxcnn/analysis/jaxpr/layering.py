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
    """

    scope: Name
    module: bool
    calls: list[Call]


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
    slices = Counter(id(call.operands[0]) for call in calls if call.name == "slice")
    groups: list[Group] = []
    home: dict[int, int] = {}  # the layer that made a value
    spent: dict[int, frozenset[int]] = {}  # the parameters that a module multiplied on the way to a value
    owners: set[Name] = set()  # paths to the parameters that the last layer multiplied
    before: Name | None = None
    for call, scope in zip(calls, scopes, strict=True):
        if not call.seen:
            if cost.macs(call) != 0:
                groups.append(Group(scope, False, [call]))
            continue
        place: int | None = None
        makers = [home.get(id(operand), -1) for operand in call.operands if operand.reach is not None]
        multiplied = call.leaves if cost.macs(call) else frozenset()
        past = frozenset[int]().union(*(spent.get(id(operand), ()) for operand in call.operands))
        if scope not in outer:
            again = bool(past & multiplied)  # a module that is called on what it made itself
            other = bool(owners and multiplied) and owners.isdisjoint(names[leaf][:-1] for leaf in multiplied)
            place = None if scope != before or again or other else len(groups) - 1
        elif call.name == "slice" and (cost.strided(call) or slices[id(call.operands[0])] > 1):
            place = _window_group(groups, makers[0], call)
        elif call.name in FUSED and len(set(makers)) == 1 and not (makers[0] == -1 and call.leaves):
            place = makers[0]
        before = scope
        if place is None:
            place, past, owners = len(groups), frozenset(), set()
            groups.append(Group(scope, scope not in outer, []))
        owners.update(names[leaf][:-1] for leaf in multiplied)
        if place >= 0:
            groups[place].calls.append(call)
        home.update((id(output), place) for output in call.outputs)
        if scope not in outer:
            spent.update((id(output), past | multiplied) for output in call.outputs)
    return groups or [Group((), False, seen) for seen in [[call for call in calls if call.seen]] if seen]


def _window_group(groups: Sequence[Group], maker: int, call: Call) -> int | None:
    """The layer that already slices the same array, or made it from slices along other axes."""
    for place in range(len(groups) - 1, max(maker, 0) - 1, -1):
        group = groups[place]
        slices = [other for other in group.calls if other.name == "slice"]
        if group.module or not slices:
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
            if not (scope and word.startswith(f"{scope[-1]}.")):
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
    operation = words.operation(group.calls, whole=group.module)
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
