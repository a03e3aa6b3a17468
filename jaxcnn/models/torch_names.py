"""What the numbers of a network are called in torch, by a few rules for each family.

A family says in its class how its modules are called in torchvision's and in timm's state dictionaries::

    class ResNet(Network):
        torch_names = {
            "torchvision": (
                Rule("stem/conv", "conv1"),
                Rule("stem/norm", "bn1"),
                Rule(r"stage(\\d+)_block(\\d+)", "layer{1}/{2:n-1}"),
                Rule(r"conv(\\d)/conv", "conv{1}"),
                ...
            ),
        }
        torch_names["timm"] = torch_names["torchvision"]  # where they agree

Rules act one after another on the path of each number, ``stage1_block2/conv1/conv/kernel``; a leaf named
``squeeze_kernel`` counts as ``squeeze/kernel``. A pattern matches whole names between slashes, and each rule
acts once on a path. In what takes its place

- ``{0}`` is the match and ``{1}``, ``{2}``, … are its groups;
- ``{2:n-1}`` is one less than the second group, ``{1:2n+1}`` twice the first and one;
- ``{#}`` counts, from 0, the different matches behind the same beginning of a path, in numerical order.

A pattern may be several, which count in the order in which they are written, so that
``Rule(("expand", "depthwise", "gate", "project"), "conv/{#}")`` numbers those that a block has. Where all
this is too little, a function of the match and of that count takes the place.

The last name follows by itself: kernel and scale are ``weight`` in torch, mean and var ``running_mean`` and
``running_var``. So do the axes: kernels are (\\*taps, in, out) here and (out, in, \\*taps) there. Where a
number lies otherwise the rule that matches its path says so with a :class:`Layout`.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a kernel or scale lies in torch.

    Attributes:
      transposed: of a transposed convolution, (\\*taps, in, out) here and (in, out, \\*taps) there.
      ones: axes of size 1 that torch has behind the others, as where a 1×1 convolution is a dense layer here.
      flat: of a convolution that reads the whole map, which in torch is a dense layer: (out, in · taps).

    Example:
      >>> kernel = np.arange(12).reshape(3, 2, 2)  # 3 taps, 2 channels, 2 features
      >>> Layout(flat=True).there(kernel)[0]
      array([ 0,  4,  8,  2,  6, 10])
      >>> np.array_equal(Layout(flat=True).here(Layout(flat=True).there(kernel), kernel.shape), kernel)
      True
    """

    transposed: bool = False
    ones: int = 0
    flat: bool = False

    def shape_there(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in torch of what has ``shape`` here."""
        if len(shape) > 1:
            *taps, inputs, outputs = shape
            shape = (inputs, outputs, *taps) if self.transposed else (outputs, inputs, *taps)
            shape = (outputs, inputs * math.prod(taps)) if self.flat else shape
        return shape + (1,) * self.ones

    def there(self, array: np.ndarray) -> np.ndarray:
        """Ours, as torch has it."""
        if array.ndim > 1:
            array = np.moveaxis(array, (-2, -1) if self.transposed else (-1, -2), (0, 1))
            array = array.reshape(array.shape[0], -1) if self.flat else array
        return array.reshape(array.shape + (1,) * self.ones)

    def here(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Torch's, as we have it; ``shape`` is ours."""
        array = array.reshape(array.shape[: array.ndim - self.ones])
        if array.ndim > 1:
            array = array.reshape(shape[-1], shape[-2], *shape[:-2]) if self.flat else array
            array = np.moveaxis(array, (0, 1), (-2, -1) if self.transposed else (-1, -2))
        return array


class AsItIs(Layout):
    """How a number lies where nothing is changed."""

    def shape_there(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def there(self, array: np.ndarray) -> np.ndarray:
        return array

    def here(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return array


PLAIN = Layout()


@dataclasses.dataclass(frozen=True)
class Rule:
    """A renaming, see :mod:`jaxcnn.models.torch_names`.

    Attributes:
      pattern: a regular expression for whole names, or several in their order.
      name: what takes the place of the match.
      layout: of the kernels and scales whose paths match, where it is not the usual one.
    """

    pattern: str | tuple[str, ...]
    name: str | Callable[[re.Match[str], int], str]
    layout: Layout | None = None

    def alternatives(self) -> list[re.Pattern[str]]:
        patterns = (self.pattern,) if isinstance(self.pattern, str) else self.pattern
        return [re.compile(rf"(?:^|(?<=/))(?:{pattern})(?=/|$)") for pattern in patterns]

    def replacement(self, match: re.Match[str], count: int) -> str:
        if callable(self.name):
            return self.name(match, count)
        return self.name.format(*map(_Group, (match[0], *match.groups())), **{"#": _Group(count)})


class _Group(str):
    """A word that a format such as ``2n-1`` takes for the number n."""

    def __format__(self, form: str) -> str:
        if not form:
            return str(self)
        linear = re.fullmatch(r"(\d*)n([+-]\d+)?", form)
        if linear is None:
            raise ValueError(f"format {form!r}: expected one like n-1 or 2n+1")
        return str(int(self) * int(linear[1] or 1) + int(linear[2] or 0))


def rename(paths: Iterable[str], rules: Iterable[Rule]) -> dict[str, tuple[str, Layout]]:
    """Each path with its name in torch and its layout.

    Example:
      >>> rules = [Rule(("stem", r"block(\\d+)", "last"), "features/{#}"), Rule("conv", "0")]
      >>> names = rename(["last/bias", "block10/kernel", "block9/conv/scale"], rules)
      >>> [name for name, layout in names.values()]
      ['features.2.bias', 'features.1.weight', 'features.0.0.weight']
    """
    names = {path: re.sub(r"_(kernel|bias)$", r"/\1", path) for path in paths}
    layouts = dict.fromkeys(names, PLAIN)
    for rule in rules:
        found = {}
        for path, name in names.items():
            for order, pattern in enumerate(rule.alternatives()):
                if match := pattern.search(name):
                    found[path] = order, match
                    break
        counts = _count(found.values())
        for path, (order, match) in found.items():
            head, tail = match.string[: match.start()], match.string[match.end() :]
            names[path] = head + rule.replacement(match, counts[head, order, match[0]]) + tail
            if rule.layout is not None and not path.endswith("bias"):
                layouts[path] = rule.layout
    return {path: (_torch(name), layouts[path]) for path, name in names.items()}


def _count(found: Iterable[tuple[int, re.Match[str]]]) -> dict[tuple[str, int, str], int]:
    """The place of each match among those behind the same beginning."""
    together: dict[str, set[tuple[int, str]]] = {}
    for order, match in found:
        together.setdefault(match.string[: match.start()], set()).add((order, match[0]))
    return {
        (head, *one): place
        for head, those in together.items()
        for place, one in enumerate(sorted(those, key=lambda one: (one[0], natural(one[1]))))
    }


def natural(text: str) -> list[tuple[str, int]]:
    """A key that sorts numbers within words by their size."""
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", text)]


def _torch(name: str) -> str:
    *modules, leaf = name.split("/")
    return ".".join([*modules, LEAVES.get(leaf, leaf)])


def flatten(variables: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The leaves of ``params`` and ``batch_stats`` by collection and slash path."""
    leaves: dict[tuple[str, str], Any] = {}

    def walk(collection: str, path: tuple[str, ...], tree: Any) -> None:
        if isinstance(tree, Mapping):
            for key, below in tree.items():
                walk(collection, (*path, key), below)
        else:
            leaves[collection, "/".join(path)] = tree

    for collection in ("params", "batch_stats"):
        walk(collection, (), variables.get(collection, {}))
    return leaves
