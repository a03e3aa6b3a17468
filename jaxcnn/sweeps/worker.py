"""A worker: takes candidates from the study and trains them as lanes, whatever happens to others."""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from jaxcnn.config import Config
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.errors import UserError
from jaxcnn.paths import absolute
from jaxcnn.sweeps.events import Failed, Finished, Reported
from jaxcnn.sweeps.folder import PARENT, SweepFolder
from jaxcnn.sweeps.samplers import WHOLE
from jaxcnn.sweeps.settings import REPORTED, Settings
from jaxcnn.sweeps.storage import Unreachable
from jaxcnn.sweeps.study import Lost, Study

if TYPE_CHECKING:
    from jaxcnn.engine.diary import Result

MOST_LANES = 64  # that are worth measuring
IDLE = 2.0  # seconds between looks for work that others may leave


@dataclass(eq=False)
class Candidate:
    """A trial with a run for each seed."""

    trial: Any
    configs: list[Config]
    key: Hashable
    reports: dict[int, dict[int, dict[str, float]]] = field(default_factory=dict)  # step -> run -> metrics
    results: dict[int, "Result"] = field(default_factory=dict)  # by run


class Worker:
    """Works on a sweep until every candidate has ended, or it is stopped.

    Args:
      folder: of the sweep.
      study: its candidates.
      stop: asked often; once true, what trains is saved and given back.
      say: told, in a line, what happens.
      engine: what trains, like :class:`jaxcnn.sweeps.group.Engine`, which it is where none is given.
      program: what is known of a job, like :class:`jaxcnn.sweeps.programs.Program`, likewise.
    """

    def __init__(
        self,
        folder: SweepFolder,
        study: Study,
        *,
        stop: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = print,
        engine: Any = None,
        program: Callable[[Config], Any] | None = None,
    ) -> None:
        if engine is None or program is None:
            from jaxcnn.sweeps import group, programs  # they bring JAX

            engine, program = engine or group.Engine(), program or programs.Program
        self.folder, self.study, self.stop, self.say = folder, study, stop, say
        self.settings: Settings = study.settings
        study.stop = stop
        self._engine, self._program = engine, program
        self._waiting: deque[Candidate] = deque()
        self._lanes: dict[Hashable, int] = {}
        self._programs: dict[Hashable, Any] = {}
        self._objectives = list(self.settings.objectives())

    def run(self) -> None:
        """Work. What this worker has not ended is given back, however it leaves.

        Raises:
          Unreachable: it was stopped while the database was away; others have to find out that it is gone.
        """
        with self.study.alive():
            try:
                while not self.stop():
                    if self._waiting or self._ask():
                        self._work()
                    elif self.study.over():
                        return
                    else:
                        time.sleep(IDLE)  # others work on the rest; if they die it is ours
            finally:
                self.study.give_back()

    def _ask(self) -> bool:
        """Take another candidate, if there is one that can be trained."""
        while trial := self.study.ask():
            runs = self.folder.runs(trial.number, self.study.base, self.settings.seeds)
            if trial.number in self.study.begun and (aside := self.folder.set_aside(trial.number)):
                # it has no history: a database that lost its last moments has forgotten whose this is
                self._log(trial, f"begins anew; what was in its folder is in {aside}")
            self.study.begun.discard(trial.number)
            try:
                configs = [
                    self.study.space.config(
                        self.study.base, trial.params, seed=seed, workdir=absolute(str(path))
                    )
                    for seed, path in runs.items()
                ]
                key = self._engine.static_key(configs[0])
                if key not in self._programs:
                    self._programs[key] = self._program(configs[0])
            except UserError as error:
                self._fail(trial, str(error))
                continue
            candidate = Candidate(trial, configs, key)
            for i, config in enumerate(configs):  # what it has reported before it was interrupted
                for row in RunFolder(config.folder()).rows():
                    if row["split"] == "validation":
                        candidate.reports.setdefault(row["step"], {})[i] = row
            self._log(trial, f"taken by {self.study.worker}: {_words(trial.params)}")
            self._waiting.append(candidate)
            return True
        return False

    def _work(self) -> None:
        """Train the candidate that waits longest, and with it all that can be lanes of its program."""
        key, config = self._waiting[0].key, self._waiting[0].configs[0]
        seeds = self.settings.seeds
        if key not in self._lanes:
            most, chosen = seeds * self.study.size, self.settings.lanes
            self._lanes[key] = (
                self._engine.choose_lanes(config, min(MOST_LANES, most))
                if chosen == "auto"
                else min(most, int(chosen))
            )
            self.say(f"{self._lanes[key]} lanes of {config.model}")
        together = max(1, min(self._lanes[key] // seeds, self._share()))
        candidates: list[Candidate] = []
        while len(candidates) < together and (candidate := self._next(key, together)):
            candidates.append(candidate)
        try:
            self._train(candidates, self._lanes[key], lambda: self._next(key, together))
        except Unreachable:
            raise
        except UserError as error:
            if _too_many(error):
                raise  # no candidate's fault
            if len(candidates) == 1:
                self._fail(candidates[0].trial, str(error))
                return
            for candidate in candidates:  # one of them does not do: which, shows when each is alone
                try:
                    self._train([candidate], self._lanes[key], lambda: None)
                except UserError as reason:
                    self._fail(candidate.trial, str(reason))

    def _share(self) -> int:
        """How many candidates to take so that something is left for the others at work."""
        trials = self.study.trials()
        free = self.study.size - sum(trial.state != TrialState.WAITING for trial in trials)
        workers = [name for name in self.folder.at_work() if PARENT not in name]
        return len(self._waiting) + -(-free // max(1, len(workers)))

    def _next(self, key: Hashable, most: int) -> Candidate | None:
        """A candidate for this program; those of other programs that come up meanwhile wait."""
        while True:
            for candidate in self._waiting:
                if candidate.key == key:
                    self._waiting.remove(candidate)
                    return candidate
            if len(self._waiting) >= most or self.stop() or not self._ask():
                return None

    def _train(
        self, candidates: list[Candidate], lanes: int, following: Callable[[], Candidate | None]
    ) -> None:
        """Train candidates of one program, and those that follow when lanes come free."""
        key = candidates[0].key
        places = [(candidate, run) for candidate in candidates for run in range(len(candidate.configs))]
        lanes = min(lanes, len(places))
        running = self._engine.LaneGroup([c.configs[run] for c, run in places], lanes=lanes)
        going, ended = set(candidates), set[int]()
        away = False  # the database is, and we are asked to stop

        def end(candidate: Candidate, how: Callable[[int], None]) -> list[int]:
            """Free a candidate's lanes."""
            going.discard(candidate)
            mine = [lane for lane, (other, _) in enumerate(places) if other is candidate]
            for lane in mine:
                if lane not in ended:
                    how(lane)
                    ended.add(lane)
            return mine

        def leave(candidate: Candidate, how: Callable[[int], None] = running.prune) -> None:
            """Free a candidate's lanes, and let the next one have them."""
            mine = end(candidate, how)
            while not self.stop() and (new := following()):
                going.add(new)
                try:
                    for run, lane in enumerate(mine):
                        running.refill(lane, new.configs[run])
                        places[lane] = (new, run)
                        ended.discard(lane)
                    return
                except UserError as error:
                    end(new, running.prune)
                    self._fail(new.trial, str(error))

        def take(event: Any, candidate: Candidate, run: int) -> None:
            """Do what an event asks for."""
            if isinstance(event, Reported):
                candidate.reports.setdefault(event.step, {})[run] = event.metrics
                if self._should_prune(candidate, event.step):
                    self.study.prune(candidate.trial)
                    self._log(candidate.trial, f"pruned at step {event.step}")
                    leave(candidate)
            elif isinstance(event, Finished):
                candidate.results[run] = event.result
                ended.add(event.lane)
                if len(candidate.results) == len(candidate.configs):
                    self._complete(candidate)
                    leave(candidate)
            elif isinstance(event, Failed):
                ended.add(event.lane)
                self._fail(candidate.trial, f"seed {candidate.configs[run].seed}: {event.reason}")
                leave(candidate)

        try:
            for event in running.run(self.stop):
                candidate, run = places[event.lane]
                if candidate not in going or away:
                    continue
                try:
                    take(event, candidate, run)
                except Lost as error:
                    self._log(candidate.trial, f"left by {self.study.worker}: {error}")
                    leave(candidate, running.drop)
                except Unreachable as error:
                    away = True  # what trains is saved all the same
                    self.say(str(error))
        except Exception as error:
            if self.settings.lanes == "auto" and lanes > 1 and _too_many(error):
                self._lanes[key] = max(1, lanes // 2)
                self.say(f"{lanes} lanes do not fit in memory; going on with {self._lanes[key]}")
                self._waiting.extendleft(going)
                return
            if isinstance(error, UserError):
                raise
            for candidate in going:
                self._fail(candidate.trial, _first_line(error), traceback.format_exc())

    def _should_prune(self, candidate: Candidate, step: int) -> bool:
        """Report the mean over the seeds, once all have come so far."""
        reports = candidate.reports[step]
        name = self._objectives[0]
        if len(self._objectives) > 1 or name not in REPORTED or len(reports) < len(candidate.configs):
            return False
        mean = sum(one[REPORTED[name]] for one in reports.values()) / len(reports)
        percent = WHOLE * step // self._programs[candidate.key].steps
        return self.study.report(candidate.trial, percent, mean)

    def _complete(self, candidate: Candidate) -> None:
        """Judge a candidate by the mean over its seeds."""
        results = [candidate.results[run] for run in sorted(candidate.results)]
        losses = [
            row["loss"]
            for config, result in zip(candidate.configs, results, strict=True)
            for row in RunFolder(config.folder()).rows()
            if row["split"] == "validation" and row["step"] == result.best_step
        ]
        runs = {
            "val_accuracy": [result.validation_accuracy for result in results],
            "val_loss": losses,
            "test_accuracy": [result.test_accuracy for result in results],
        }
        program = self._programs[candidate.key]
        values = [
            sum(runs[name]) / len(runs[name]) if name in runs else float(getattr(program, name))
            for name in self._objectives
        ]
        self.study.complete(candidate.trial, values, runs)
        said = ", ".join(f"{name} {value:.6g}" for name, value in zip(self._objectives, values, strict=True))
        self._log(candidate.trial, f"complete: {said}")

    def _fail(self, trial: Any, reason: str, details: str = "") -> None:
        try:
            self.study.fail(trial, reason)
        except Lost as error:
            self._log(trial, f"left by {self.study.worker}: {error}")
        else:
            self._log(trial, f"failed: {reason}\n{details}".rstrip())

    def _log(self, trial: Any, text: str) -> None:
        """Write to the candidate's own log, and say the first line."""
        path = self.folder.log(trial.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self.say(f"candidate {trial.number} {text.splitlines()[0]}")


def stop_requests() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second one ends at once."""
    import signal

    event = threading.Event()

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return event


def _too_many(error: Exception) -> bool:
    """Whether lanes do not fit in memory, found before they run or when they do."""
    return str(error).startswith("--lanes=") or "RESOURCE_EXHAUSTED" in str(error)


def _words(values: dict[str, Any]) -> str:
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
