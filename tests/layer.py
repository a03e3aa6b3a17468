"""What the catalogue says of a layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as linen

BATCH = 3


@dataclass(frozen=True)
class Shift:
    """Rolling the input by ``by`` pixels along each spatial axis rolls the output by ``moves``."""

    by: int
    moves: int


@dataclass(frozen=True)
class Layer:
    """A layer and what is promised of it.

    Attributes:
      name: the public function, and after a comma the variant.
      op: the layer as a function.
      module: its twin, or None where a function has no parameters worth a module.
      inputs: shape of one example, (*spatial, c).
      equivariant: shifts with which the layer commutes.
      independent: no example's output depends on another example.
      train: how the module is called.
      args: makes further arguments of both, from the number of examples.
      half: deviation allowed in bfloat16, as a fraction of the largest output; an eighth in float16.
    """

    name: str
    op: Callable[..., Any]
    module: linen.Module | None
    inputs: tuple[int, ...]
    equivariant: Shift | None = None
    independent: bool = True
    train: bool = False
    args: Callable[[int], tuple[Any, ...]] = lambda n: ()
    half: float = 0.03

    @property
    def function(self) -> str:
        return self.name.partition(",")[0]


def image(*shape: int) -> tuple[int, ...]:
    """One example: spatial axes, channels."""
    return shape


def shifts(by: int = 1, moves: int = 1) -> Shift:
    return Shift(by, moves)


invariant = Shift(1, 0)
