"""Training runs that differ only in numbers, trained side by side as lanes of one program."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from jaxcnn.config import Config
from jaxcnn.engine.loop import Result


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
    result: Result


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


def static_key(config: Config) -> Hashable:
    """What a configuration's program is compiled for: runs with equal keys can be lanes of one program.

    Fields without ``lane`` are in it as they are, those with it are not (of call strings, the numbers are
    not; of numbers that 0 turns off, whether they are on, is). Fields that do not change a run's course
    are left out.

    Raises:
      UserError: a call string cannot be read.
    """
    raise NotImplementedError


class LaneGroup:
    """Runs of one :func:`static_key`, each in its own folder, as lanes of one compiled program.

    Lane i trains ``configs[i]``. At most ``lanes`` of them train at once; the others wait for their turn, in
    order. A lane's folder is what :func:`jaxcnn.engine.loop.run` makes of the same configuration: it resumes
    from its own newest checkpoint, and either of the two can go on with what the other began.

    Args:
      configs: one for each lane, with folders of their own.
      lanes: how many train at once.

    Raises:
      UserError: the configurations differ in more than lane values or share a folder, a folder does not do,
        or so many lanes do not fit in memory.

    Example::

      group = LaneGroup([replace(config, seed=s, workdir=f"runs/seed{s}") for s in range(8)], lanes=4)
      for event in group.run():
          match event:
              case Reported(lane, step, metrics) if metrics["accuracy"] < 0.2:
                  group.prune(lane)
              case Finished(lane, result):
                  print(lane, result.test_accuracy)
    """

    def __init__(self, configs: Sequence[Config], *, lanes: int) -> None:
        raise NotImplementedError

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until every lane has ended; what happens is yielded as it happens.

        Between two events the caller may :meth:`prune` and :meth:`refill`. A folder that was finished before
        yields ``Finished`` at once.

        Args:
          stop: asked after every call of the program; once true, every lane that trains is saved, yields
            ``Stopped``, and the iteration ends. Lanes that wait are not heard of.
        """
        raise NotImplementedError

    def prune(self, lane: int) -> None:
        """End a lane that trains; its folder keeps what there is and is marked as pruned."""
        raise NotImplementedError

    def refill(self, lane: int, config: Config) -> None:
        """Let a lane that has ended (finished, failed or pruned) train another configuration.

        Raises:
          UserError: see :class:`LaneGroup`.
        """
        raise NotImplementedError


def choose_lanes(config: Config, most: int, memory: int | None = None) -> int:
    """How many lanes to train at once: of 1, 2, 4, … ``most`` the count with the most steps of a trial a second.

    Each count is measured on its own compiled step; one that does not beat the count before it ends the
    search, so the choice is never slower than one lane after the other.

    Args:
      config: any of the group.
      most: lanes that are wanted at most.
      memory: bytes that the program may take; None: what the device has free.
    """
    raise NotImplementedError
