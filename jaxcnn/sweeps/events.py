"""What happens to the lanes of a program, as those who train them tell it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcnn.engine.diary import Result


@dataclass(frozen=True)
class Reported:
    """A lane was validated.

    Attributes:
      lane: which.
      step: training steps it has taken.
      metrics: of the validation split, by name: ``loss``, ``accuracy``.
    """

    lane: int
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """A lane took all its steps and was judged; its folder holds ``result.json``."""

    lane: int
    result: "Result"


@dataclass(frozen=True)
class Failed:
    """A lane cannot go on, e.g. because its loss is no longer finite; the others are not touched."""

    lane: int
    reason: str


@dataclass(frozen=True)
class Stopped:
    """A lane was asked to stop and is saved at ``step``; the same folder goes on from there."""

    lane: int
    step: int


Event = Reported | Finished | Failed | Stopped
