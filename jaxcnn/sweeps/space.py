"""What a sweep searches: ``learning_rate=log(1e-3,1)``, read literally and never evaluated."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jaxcnn import callstring
from jaxcnn.config import Config
from jaxcnn.errors import UserError, nearest

KINDS = {
    "log": "log(low,high)",
    "uniform": "uniform(low,high[,step])",
    "int": "int(low,high[,step])",
    "choice": 'choice("a","b",...)',
}
FIELDS = {field.name: field for field in dataclasses.fields(Config)}
SEARCHABLE = [
    name for name, field in FIELDS.items() if field.metadata["course"] and name not in ("seed", "full")
]


@dataclass(frozen=True)
class Parameter:
    """One flag of the training job, and the values it may take.

    ``str(parameter)`` is the line it is read from, ``Parameter.parse`` its inverse.

    Attributes:
      name: a field of :class:`~jaxcnn.config.Config`.
      kind: ``log``, ``uniform``, ``int`` or ``choice``.
      arguments: low, high and perhaps a step; for ``choice`` its options.
      free: it is no flag but an argument of a function, and a number.

    Example:
      >>> Parameter.parse("learning_rate=log(1e-3, 1)")
      Parameter(name='learning_rate', kind='log', arguments=(0.001, 1))
      >>> str(Parameter.parse('model = choice("lenet5", "resnet20")'))
      "model=choice('lenet5','resnet20')"
    """

    name: str
    kind: str
    arguments: tuple[Any, ...]
    free: bool = dataclasses.field(default=False, repr=False)

    def __post_init__(self) -> None:
        if not self.free and self.name not in SEARCHABLE:
            raise self._error(_why_not(self.name))
        if self.kind not in KINDS:
            raise self._error(f"{self.kind!r} is no kind of range; {nearest(self.kind, KINDS)}")
        if self.kind == "choice":
            self._check_options()
        else:
            self._check_range()
        if self.free:
            return
        for value in self.arguments if self.kind == "choice" else self.arguments[:2]:
            try:
                dataclasses.replace(Config(), **{self.name: self.typed(value)})
            except UserError as error:
                raise self._error(str(error).partition(": ")[2] + f", which {value!r} is not") from error

    @classmethod
    def parse(cls, line: str, *, free: bool = False) -> "Parameter":
        """Read ``NAME=KIND(...)``.

        Raises:
          UserError: it is no such line; says what is nearest to it.
        """
        name, equals, text = (part.strip() for part in line.partition("="))
        if not equals:
            raise UserError(f"--search={line}: expected NAME=RANGE, e.g. learning_rate=log(1e-3,1)")
        try:
            call = callstring.parse_one(text)
        except UserError as error:
            expected = ", ".join(KINDS.values())
            raise UserError(f"--search={line}: {error}; expected {expected}") from error
        if call.kwargs:
            raise UserError(f"--search={line}: expected {KINDS.get(call.name, 'values')}, without names")
        return cls(name, call.name, call.args, free)

    def __str__(self) -> str:
        return f"{self.name}={self.kind}({','.join(map(repr, self.arguments))})"

    def typed(self, value: Any) -> Any:
        """A value as the field holds it: a whole number searched for a float field becomes a float."""
        return float(value) if self._of() is float else value

    def values(self) -> list[Any] | None:
        """All values in order, where they are finitely many."""
        if self.kind == "choice":
            return list(self.arguments)
        low, high, *step = self.arguments
        if self.kind == "int" or step:
            by = step[0] if step else 1
            return [low + by * i for i in range(math.floor((high - low) / by + 1e-9) + 1)]
        return None

    def distribution(self) -> Any:
        """What Optuna samples from."""
        from optuna import distributions

        if self.kind == "choice":
            return distributions.CategoricalDistribution(tuple(map(self.typed, self.arguments)))
        low, high, *step = self.arguments
        log = self.kind == "log"
        if self._of() is int:
            return distributions.IntDistribution(low, high, log=log, step=step[0] if step else 1)
        by = step[0] if step else 1 if self.kind == "int" else None
        return distributions.FloatDistribution(low, high, log=log, step=by)

    def _of(self) -> Any:
        """The type of its values."""
        if not self.free:
            return FIELDS[self.name].type
        whole = self.kind == "int" or (self.kind == "choice" and all(type(v) is int for v in self.arguments))
        return int if whole else float

    def _check_options(self) -> None:
        kinds, wanted = {
            int: ((int,), "whole numbers"),
            float: ((int, float), "numbers"),
            str: ((str,), "words in quotes"),
        }[self._of()]
        for option in self.arguments:
            if not isinstance(option, kinds) or isinstance(option, bool):
                raise self._error(f"expected {wanted}, and {option!r} is not")
        if len(set(self.arguments)) < len(self.arguments):
            raise self._error("an option is there twice")
        if len(self.arguments) < 2:
            raise self._error("expected two options or more")

    def _check_range(self) -> None:
        of, numbers = self._of(), self.arguments
        if of is str:
            raise self._error('it takes words: expected choice("a","b",...)')
        if of is int and self.kind == "uniform":
            raise self._error(f"it takes whole numbers: expected {KINDS['int']}")
        if not 2 <= len(numbers) <= (2 if self.kind == "log" else 3):
            raise self._error(f"expected {KINDS[self.kind]}")
        whole = of is int or self.kind == "int"
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
                raise self._error(f"expected {'whole ' * whole}numbers, and {number!r} is not")
            if not math.isfinite(number):
                raise self._error(f"expected finite numbers, and {number!r} is not")
        low, high = numbers[:2]
        if low > high:
            raise self._error(f"upside down: expected {self.kind}({high!r},{low!r})")
        if low == high:
            raise self._error(f"holds one value: expected a range, or --{self.name}={low!r} without a search")
        if self.kind == "log" and low <= 0:
            raise self._error(f"the logarithm of {low!r} is not finite: expected a low end above 0")
        if len(numbers) == 3 and not 0 < numbers[2] <= high - low:
            raise self._error(f"step {numbers[2]!r}: expected above 0 and at most {high - low!r}")

    def _error(self, what: str) -> UserError:
        return UserError(f"--search={self}: {what}")


def _why_not(name: str) -> str:
    if name == "seed":
        return "seeds are repeats of a candidate, not candidates: expected --seeds=3 instead"
    if name == "full":
        return "--full leaves no validation split to judge candidates by; train the best with it"
    if name in FIELDS:
        return f"--{name} does not change what is trained: nothing to search"
    return f"--{name} is no training flag; {nearest(name, SEARCHABLE)}"


@dataclass(frozen=True)
class Space:
    """Parameters, each of another name; what a candidate is drawn from.

    Example:
      >>> space = Space.parse(["learning_rate=log(1e-3,1)", "momentum=choice(0,0.9)"])
      >>> space.lines()
      ('learning_rate=log(0.001,1)', 'momentum=choice(0,0.9)')
      >>> space.config(Config(), {"learning_rate": 0.5, "momentum": 0}).learning_rate
      0.5
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if not self.parameters:
            raise UserError("--search is missing: expected e.g. --search='learning_rate=log(1e-3,1)'")
        names = [parameter.name for parameter in self.parameters]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"--search={twice[0]}=...: there are {names.count(twice[0])}; expected one")

    @classmethod
    def parse(cls, lines: Iterable[str]) -> "Space":
        """Read one parameter from each line."""
        return cls(tuple(map(Parameter.parse, lines)))

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def lines(self) -> tuple[str, ...]:
        """What :meth:`parse` reads back."""
        return tuple(map(str, self.parameters))

    def distributions(self) -> dict[str, Any]:
        """What Optuna samples from, by name."""
        return {parameter.name: parameter.distribution() for parameter in self}

    def config(self, base: Config, values: Mapping[str, Any], **others: Any) -> Config:
        """The training job of a candidate."""
        chosen = {p.name: p.typed(values[p.name]) for p in self if p.name in values}
        return dataclasses.replace(base, **chosen, **others)

    def grid(self) -> list[dict[str, Any]]:
        """Every combination, the last parameter turning fastest.

        Raises:
          UserError: a parameter has infinitely many values.
        """
        columns = []
        for parameter in self:
            values = parameter.values()
            if values is None:
                raise UserError(
                    f"--sampler=grid: --search={parameter} has no finite list of values; expected e.g. "
                    f"{parameter.name}=choice({','.join(map(repr, parameter.arguments))})"
                )
            columns.append([(parameter.name, parameter.typed(value)) for value in values])
        return [dict(point) for point in itertools.product(*columns)]
