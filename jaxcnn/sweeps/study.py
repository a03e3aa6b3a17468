"""A sweep's study in Optuna's database: every candidate ends exactly once, whoever dies on the way.

A candidate is one Optuna trial from its first draw to its end, however many workers had it: one whose worker
died, or stopped, waits again under its number, and whoever takes it up goes on in its run folders.
What must be decided by one worker at a time is decided under :meth:`Storage.exclusive`.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from jaxcnn.config import Config
from jaxcnn.sweeps import generations, samplers
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.storage import Storage, quietly

DEATHS = 3  # workers that a candidate may outlive; then it is what kills them
WORKER, DIED, REASON, RUNS = "worker", "died", "reason", "runs"  # names of what is noted beside a trial


class Lost(Exception):
    """A candidate was given to somebody else while its worker gave no sign of life."""


class Study:
    """The candidates of a sweep, shared with everyone who works on it.

    Args:
      storage: the database.
      name: of the study in it.
      settings: of the sweep.
      base: the training job that candidates vary.
      worker: who asks, unlike any other; empty for one that only looks.
      say: told, in a line, when the database does not answer.

    Raises:
      UserError: the study is of another sweep, see :mod:`jaxcnn.sweeps.generations`.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        settings: Settings,
        base: Config,
        *,
        worker: str = "",
        say: Callable[[str], None] = print,
    ) -> None:
        self.settings, self.base, self.space, self._say = settings, base, settings.space(), say
        self._storage, self.worker = storage, worker
        samplers.check_installed(settings.sampler)
        self._grid = self.space.grid() if settings.sampler == "grid" else []
        self.size = min(settings.trials, len(self._grid)) if self._grid else settings.trials
        self._distributions = self.space.distributions()
        with storage.exclusive(), quietly():
            self._study = generations.open_study(storage.optuna, name, settings, base)
        self._study.pruner = samplers.make_pruner(settings.pruner)
        self._held: dict[int, int] = {}  # number -> Optuna's id
        self._looked = -math.inf  # when we looked for silent workers
        self.id = self._study._study_id

    def trials(self) -> list[FrozenTrial]:
        """Every candidate there is so far, by number; to be read only."""
        return self._patiently(lambda: self._study.get_trials(deepcopy=False))

    def ask(self) -> optuna.Trial | None:
        """The next candidate to work on: one that waits, or else a new one; None when there is none now.

        There is none when all are taken, and when too many have failed.
        """
        return self._patiently(self._ask)

    def _ask(self) -> optuna.Trial | None:
        with self._storage.exclusive(), quietly():
            if time.monotonic() - self._looked >= self.settings.heartbeat:
                self._take_back()
                self._looked = time.monotonic()
            trials = self._study.get_trials(deepcopy=False)
            if failures(trials) > self.settings.max_failures:
                return None
            if not any(trial.state == TrialState.WAITING for trial in trials):
                if len(trials) >= self.size:
                    return None
                if self._grid:
                    self._study.enqueue_trial(self._grid[len(trials)])
            self._study.sampler = samplers.make_sampler(
                self.settings.sampler, self.base.seed, len(trials), self.size
            )
            trial = self._study.ask(self._distributions)
            self._storage.optuna.record_heartbeat(trial._trial_id)
            trial.set_user_attr(WORKER, self.worker)
            self._held[trial.number] = trial._trial_id
            return trial

    def report(self, trial: optuna.Trial, percent: int, value: float) -> bool:
        """Note what a candidate has reached after so much of its steps; True when it should be pruned."""

        def report() -> bool:
            frozen = self._storage.optuna.get_trial(trial._trial_id)
            if percent > (frozen.last_step or 0) and math.isfinite(value):
                trial.report(value, percent)
            return percent < samplers.WHOLE and trial.should_prune()

        return self._patiently(report)

    def complete(
        self, trial: optuna.Trial, values: Sequence[float], runs: Mapping[str, Sequence[float]]
    ) -> None:
        """End a candidate with its objectives.

        Args:
          trial: the candidate.
          values: of the objectives, in their order.
          runs: what each seed's run has measured, by name.
        """
        if all(map(math.isfinite, values)):
            self._end(trial, TrialState.COMPLETE, values, {RUNS: {k: list(v) for k, v in runs.items()}})
        else:
            self.fail(trial, f"{self.settings.objective} is {', '.join(map(str, values))}")

    def prune(self, trial: optuna.Trial) -> None:
        """End a candidate that does not look good enough to go on."""
        self._end(trial, TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """End a candidate that cannot go on."""
        self._end(trial, TrialState.FAIL, attributes={REASON: reason})

    def _end(
        self,
        trial: optuna.Trial,
        state: TrialState,
        values: Sequence[float] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        def end() -> None:
            with self._storage.exclusive(), quietly():
                found = self._storage.optuna.get_trial(trial._trial_id)
                if found.user_attrs.get(WORKER) != self.worker:
                    raise Lost(f"candidate {trial.number} is {found.user_attrs.get(WORKER)}'s now")
                if found.state.is_finished():
                    return  # by the try before this one
                for name, value in (attributes or {}).items():
                    trial.set_user_attr(name, value)
                self._study.tell(trial, values, state)

        self._patiently(end)
        self._held.pop(trial.number, None)

    def give_back(self) -> None:
        """Let others have what this worker has not ended."""

        def give_back() -> None:
            with self._storage.exclusive():
                for trial in self._running():
                    if trial.user_attrs.get(WORKER) == self.worker:
                        self._requeue(trial)

        self._patiently(give_back)
        self._held.clear()

    def take_back(self, dead: Sequence[str] = ()) -> None:
        """Let others have what workers left that have died: ``dead`` ones, and silent ones."""

        def take_back() -> None:
            with self._storage.exclusive():
                self._take_back(dead)

        self._patiently(take_back)

    def _take_back(self, dead: Sequence[str] = ()) -> None:
        silent = set(self._storage.optuna._get_stale_trial_ids(self.id))
        for trial in self._running():
            owner = trial.user_attrs.get(WORKER)
            # nobody is between drawing and signing while we hold the lock: who did not sign has died
            if owner is None or owner in dead or trial._trial_id in silent:
                self._after_death(trial)

    def _after_death(self, trial: FrozenTrial) -> None:
        """Let a candidate wait for another worker, unless it is what the workers die of."""
        write = self._storage.optuna.set_trial_user_attr
        deaths, before = trial.user_attrs.get(DIED, (0, 0))
        reached = trial.last_step or 0
        deaths = 1 if reached > before else deaths + 1  # one that got further meanwhile kills nobody
        write(trial._trial_id, DIED, (deaths, reached))
        if deaths < DEATHS:
            self._requeue(trial)
            return
        write(trial._trial_id, REASON, f"{deaths} workers died of it, one after the other")
        self._storage.optuna.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _running(self) -> list[FrozenTrial]:
        running = (TrialState.RUNNING,)
        return self._storage.optuna.get_all_trials(self.id, deepcopy=False, states=running)

    def _requeue(self, trial: FrozenTrial) -> None:
        self._storage.optuna.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def over(self) -> bool:
        """Whether every candidate has ended, or so many have failed that the rest is left."""
        trials = self.trials()
        ended = sum(trial.state.is_finished() for trial in trials)
        return ended >= self.size or failures(trials) > self.settings.max_failures

    def close(self) -> None:
        """Let go of the database."""
        self._storage.close()

    def alive(self) -> AbstractContextManager[None]:
        """Give signs of life for the candidates that this worker holds, from a thread."""
        return _Heartbeat(self._storage, self._held, self.settings.heartbeat)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        return self._storage.patiently(call, self._say)


def failures(trials: Sequence[FrozenTrial]) -> int:
    """How many candidates have failed."""
    return sum(trial.state == TrialState.FAIL for trial in trials)


class _Heartbeat(AbstractContextManager):
    def __init__(self, storage: Storage, held: Mapping[int, int], seconds: float) -> None:
        self._storage, self._held, self._seconds = storage, held, seconds
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: Any) -> None:
        self._leave.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._leave.wait(self._seconds):
            self._storage.patiently(self._beat_once)

    def _beat_once(self) -> None:
        for identity in list(self._held.values()):
            self._storage.optuna.record_heartbeat(identity)
