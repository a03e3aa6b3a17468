"""Training runs that differ only in numbers, trained side by side as lanes of one program."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.config import Config, course_changes
from jaxcnn.engine import backend
from jaxcnn.engine.diary import Due, Late, Result
from jaxcnn.engine.loop import IN_FLIGHT
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.engine.values import static_key
from jaxcnn.errors import RunFailed, UserError
from jaxcnn.sweeps.events import Event, Failed, Finished, Reported, Stopped
from jaxcnn.sweeps.lane import Lane
from jaxcnn.sweeps.lane_program import Program, Shelf, check_memory, choose_lanes

__all__ = [
    "Engine",
    "Event",
    "Failed",
    "Finished",
    "LaneGroup",
    "Reported",
    "Shelf",
    "Stopped",
    "choose_lanes",
    "static_key",
]


class LaneGroup:
    """Runs of one :func:`static_key`, each in its own folder, as lanes of one compiled program.

    Lane i trains ``configs[i]``. At most ``lanes`` of them train at once; the others wait for their turn, in
    order. A lane's folder is what :func:`jaxcnn.engine.loop.run` makes of the same configuration: it resumes
    from its own newest checkpoint, and either of the two can go on with what the other began.

    One lane at a time computes the bits of that loop. A program of several sums in another order, so its runs
    equal those alone up to the rounding of float32, and each other to the last bit: in any slot, beside any
    neighbours, and resumed at any step, as long as the width stays.

    Args:
      configs: one for each lane, with folders of their own.
      lanes: how many train at once. Where there are several devices, all of them do the same work: give each
        a process of its own.
      saving: share of the time that checkpoints may take; those that ``--save_every`` asks for beyond it are
        left out, except a lane's last one and its best.
      shelf: keeps what is compiled for groups to come.

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

    def __init__(
        self,
        configs: Sequence[Config],
        *,
        lanes: int,
        saving: float = 0.05,
        shelf: Shelf | None = None,
    ) -> None:
        if not configs:
            raise UserError("no configurations: there is nothing to train")
        if lanes < 1:
            raise UserError(f"--lanes={lanes}: expected 1 or more")
        backend.use_compilation_cache()
        self._key, self._first = static_key(configs[0]), configs[0]
        self._waiting: deque[tuple[int, Config]] = deque()
        self._ended: set[int] = set()
        self._folders: dict[int, Any] = {}
        for number, config in enumerate(configs):
            self._await(number, config)
        self._compiled, self._lanes = (shelf or Shelf()).get(configs[0]), lanes
        self._job = self._compiled.job
        self._program: Program | None = None
        self._states: Any
        self._totals: Any
        self._slots: list[Lane | None] = [None]
        self._late, self._in_flight = Late(), deque[Any]()
        self._saving, self._saved_for = saving, 0.0  # seconds
        self._begun, self._calls = 0.0, 0

    def _await(self, number: int, config: Config) -> None:
        if static_key(config) != self._key:
            changes = "; ".join(course_changes(self._first, config))
            raise UserError(f"lane {number} is no lane of this group's program: {changes}")
        folder = config.folder().resolve()
        if folder in self._folders.values():
            raise UserError(f"--workdir={config.folder()}: each lane needs a folder of its own")
        RunFolder(folder).check(config)
        self._folders[number] = folder
        self._waiting.append((number, config))

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until every lane has ended; what happens is yielded as it happens.

        Between two events the caller may :meth:`prune` and :meth:`refill`. A folder that was finished before
        yields ``Finished`` at once.

        Args:
          stop: asked after every call of the program; once true, every lane that trains is saved, yields
            ``Stopped``, and the iteration ends. Lanes that wait are not heard of.
        """
        try:
            while True:
                yield from self._fill()
                if not self._training():
                    return
                self._shrink()
                yield from self._advance()
                if stop():
                    yield from self._stop()
                    return
        finally:
            for lane in self._training():
                self._free(lane)

    def prune(self, lane: int) -> None:
        """End a lane that trains or waits; the folder of one that trains is saved, and marked as pruned."""
        for found in self._training():
            if found.number == lane and not found.reason:  # else there is no good state to keep
                found.save(partial(self._state, found))
                found.diary.prune(found.step)
        self.drop(lane)

    def drop(self, lane: int) -> None:
        """End a lane that trains or waits, and leave its folder to others as it is."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != lane)
        for found in self._training():
            if found.number == lane:
                self._free(found)
        self._end(lane)

    def refill(self, lane: int, config: Config) -> None:
        """Let a lane that has ended (finished, failed or pruned) train another configuration.

        Raises:
          ValueError: the lane has not ended.
          UserError: see :class:`LaneGroup`.
        """
        if lane not in self._ended:
            raise ValueError(f"lane={lane}: expected one that has ended, of {sorted(self._ended)}")
        self._await(lane, config)
        self._ended.discard(lane)

    def _end(self, number: int) -> None:
        self._ended.add(number)
        self._folders.pop(number, None)

    def _free(self, lane: Lane) -> None:
        lane.close()
        self._slots[self._slots.index(lane)] = None
        self._end(lane.number)

    def _training(self) -> list[Lane]:
        return [lane for lane in self._slots if lane]

    def _state(self, lane: Lane) -> Any:
        assert self._program
        return self._program.get(self._states, self._slots.index(lane))

    def _fill(self) -> Iterator[Event]:
        """Give lanes that wait the slots that are free."""
        while self._waiting and None in self._slots:
            number, config = self._waiting.popleft()
            folder = RunFolder(config.folder())
            if folder.result.exists():
                self._end(number)
                yield Finished(number, Result.read(folder))
                continue
            self._prepare()
            try:
                lane = Lane(number, config, self._job, self._compiled.feed)
            except UserError as error:
                self._end(number)
                yield Failed(number, str(error))
                continue
            slot = self._slots.index(None)
            self._slots[slot] = lane
            if lane.step == self._job.steps:  # it was stopped between its last step and its result
                yield self._finish(lane)
                continue
            state = lane.diary.saved or self._job.init_state(lane.values["seed"])
            self._place(slot, lane, self._job.replicate(state))
            self._totals = _reset(self._totals, np.arange(len(self._slots)) == slot)

    def _prepare(self) -> None:
        """Compile for as many lanes as there are to train, once something is to be trained."""
        if self._program is None:
            self._resize(min(self._lanes, 1 + len(self._waiting)))

    def _resize(self, width: int) -> None:
        program = self._compiled.program(width)
        check_memory(program)
        self._program = program
        self._slots = [None] * width
        self._states = self._program.fill(self._job.init_state())
        self._totals = self._program.zero()
        self._in_flight.clear()
        self._begun, self._calls = time.monotonic(), 0

    def _place(self, slot: int, lane: Lane, state: Any) -> None:
        assert self._program
        self._slots[slot] = lane
        self._states = self._program.put(self._states, slot, state)
        self._values = self._program.stack([(one or lane).values for one in self._slots])

    def _shrink(self) -> None:
        """Close up when half of the lanes are empty for good, if that saves more time than it takes."""
        lanes, old = self._training(), self._program
        width = 1 << (len(lanes) - 1).bit_length()
        if self._waiting or old is None or width >= old.width or not self._calls:
            return
        calls = max(self._job.steps - lane.step for lane in lanes) / old.steps
        pace = (time.monotonic() - self._begun) / self._calls
        if calls * pace * (1 - width / old.width) < self._compiled.wait(width):
            return
        self._late.flush()
        held = [(lane, self._state(lane), old.get(self._totals, self._slots.index(lane))) for lane in lanes]
        self._resize(width)
        for slot, (lane, state, totals) in enumerate(held):
            self._place(slot, lane, state)
            self._totals = old.put(self._totals, slot, totals)

    def _advance(self) -> Iterator[Event]:
        """Take a call's steps in every lane, and do what is due after them."""
        assert self._program
        program, total, lanes = self._program, self._job.steps, self._training()
        sent = {lane: lane.chunk(program, total) for lane in lanes}
        active, payloads = sent[lanes[0]]
        idle = np.zeros_like(active), payloads
        chunks = [sent[lane] if lane else idle for lane in self._slots]
        self._states, self._totals = program.advance(self._values, self._states, self._totals, chunks)
        self._calls += 1
        self._in_flight.append(self._totals)
        if len(self._in_flight) > IN_FLIGHT:
            jax.block_until_ready(self._in_flight.popleft())

        dues: dict[Lane, Due] = {}
        for lane in lanes:
            before, lane.step = lane.step, min(lane.step - lane.step % program.steps + program.steps, total)
            dues[lane] = lane.diary.due(before, lane.step)
        self._log([lane for lane in lanes if dues[lane].log])
        if not any(due.validate or due.save for due in dues.values()):
            return
        yield from self._failures()
        lanes = [lane for lane in lanes if not lane.ended]
        if validating := [lane for lane in lanes if dues[lane].validate]:
            found = jax.device_get(program.evaluate(self._states, "validation"))
            reports = [(lane, lane.step, self._validate(lane, found)) for lane in validating]
        else:
            reports = []
        self._save(lanes, dues)
        for lane, step, metrics in reports:
            if not lane.ended:
                yield Reported(lane.number, step, metrics)
        for lane in lanes:
            if lane.step == total and not lane.ended:
                yield self._finish(lane)

    def _log(self, lanes: list[Lane]) -> None:
        """Log the training metrics of some lanes, late."""
        if not lanes:
            return
        entries = [(lane, self._slots.index(lane), lane.step) for lane in lanes]

        def note(found: Any) -> None:
            for lane, slot, step in entries:
                if not lane.ended:
                    try:
                        lane.diary.training(step, _row(found, slot))
                    except RunFailed as error:
                        lane.reason = str(error)

        self._late.fetch(self._totals, note)
        self._totals = _reset(
            self._totals, np.isin(np.arange(len(self._slots)), [slot for _, slot, _ in entries])
        )

    def _failures(self) -> Iterator[Event]:
        """End the lanes whose loss is not finite, before anything of them is saved."""
        self._late.flush()
        for lane in self._training():
            if lane.reason and not lane.ended:  # who hears of one may prune its siblings
                self._free(lane)
                yield Failed(lane.number, lane.reason)

    def _validate(self, lane: Lane, found: Any) -> dict[str, float]:
        mine = _row(found, self._slots.index(lane))
        lane.validated(lane.diary.validation(lane.step, mine), partial(self._state, lane))
        return {name: float(mean.value()) for name, mean in mine.items()}

    def _save(self, lanes: list[Lane], dues: dict[Lane, Due]) -> None:
        """Save lanes that are done, and those that are due where saving did not take too long yet."""
        begun = time.monotonic()
        thrifty = self._saved_for > self._saving * (begun - self._begun)
        for lane in lanes:
            if lane.step == self._job.steps or (dues[lane].save and not thrifty):
                lane.save(partial(self._state, lane))
        self._saved_for += time.monotonic() - begun

    def _finish(self, lane: Lane) -> Finished:
        result = lane.diary.finish()
        self._free(lane)
        return Finished(lane.number, result)

    def _stop(self) -> Iterator[Event]:
        yield from self._failures()
        for lane in self._training():
            lane.save(partial(self._state, lane))
            self._free(lane)
            yield Stopped(lane.number, lane.step)


class Engine:
    """What a worker trains with: lanes whose programs are compiled once for all its groups."""

    static_key = staticmethod(static_key)

    def __init__(self) -> None:
        shelf = Shelf()
        self.LaneGroup = partial(LaneGroup, shelf=shelf)
        self.choose_lanes = partial(choose_lanes, shelf=shelf)


def _row(found: Any, slot: int) -> Any:
    """One lane of what was fetched for all."""
    return jax.tree.map(lambda leaf: leaf[slot], found)


@jax.jit
def _reset(totals: Any, mask: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.where(mask, 0.0, leaf), totals)
