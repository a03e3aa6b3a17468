"""A sweep's study in Optuna's database: every candidate ends exactly once, whoever dies on the way.

A candidate is one Optuna trial from its first draw to its end, however many workers had it: one whose worker
died, or stopped, waits again under its number, and whoever takes it up goes on in its run folders.
What must be decided by one worker at a time is decided under :meth:`Storage.exclusive`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from jaxcnn.config import Config
from jaxcnn.sweeps import generations, samplers
from jaxcnn.sweeps.pulse import Listener, Pulse
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.storage import Storage, Unreachable, patiently, quietly

DEATHS = 3  # workers that a candidate may outlive; then it is what kills them
# names of what is noted beside a trial
WORKER, BEAT, DIED, REASON, RUNS = "worker", "beat", "died", "reason", "runs"


class Lost(Exception):
    """A candidate is no longer its worker's, who gave no sign of life for so long."""


class Study:
    """The candidates of a sweep, shared with everyone who works on it.

    Args:
      storage: the database.
      name: of the study in it.
      settings: of the sweep.
      base: the training job that candidates vary.
      worker: who asks, unlike any other; empty for one that only looks.
      lives: whether the process of another worker lives, as far as that can be told without the database.
      say: told, in a line, when the database does not answer.

    Attributes:
      size: candidates in all.
      begun: numbers of the candidates that were drawn here, and were nobody's before.
      stop: asked while the database does not answer, for which all calls wait as long as it takes; once
        true, they raise :class:`~jaxcnn.sweeps.storage.Unreachable` instead.

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
        lives: Callable[[str], bool | None] = lambda worker: None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.settings, self.base, self.space, self._say = settings, base, settings.space(), say
        self._storage, self.worker, self._lives = storage, worker, lives
        self.stop: Callable[[], bool] = lambda: False
        samplers.check_installed(settings.sampler)
        self._grid = self.space.grid() if settings.sampler == "grid" else []
        self._distributions = self.space.distributions()
        with storage.exclusive(), quietly():
            self._study = generations.open_study(storage.optuna, name, settings, base)
        self._study.pruner = samplers.make_pruner(settings.pruner)
        self._held: set[int] = set()
        self.begun: set[int] = set()
        self._listener, self._beats = Listener(), 0
        self._looked = -math.inf  # when we looked for candidates whose workers are gone
        self.id = self._study._study_id
        self.size = settings.trials
        if self._grid:
            left = self._untried(trials := self.trials())
            self.size = min(self.size, len(trials) + len(left))

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
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            for mine in [trial for trial in waiting if self._is_held(trial)]:
                self._take_up(mine)
                waiting.remove(mine)
            if not waiting:
                if len(trials) >= self.size:
                    return None
                if self._grid:
                    self._study.enqueue_trial(self._untried(trials)[0])
            self._study.sampler = samplers.make_sampler(
                self.settings.sampler, self.base.seed, len(trials), self.size
            )
            trial = self._study.ask(self._distributions)
            if WORKER not in trial.user_attrs:
                self.begun.add(trial.number)
            trial.set_user_attr(WORKER, self.worker)
            self._held.add(trial.number)
            return trial

    def _untried(self, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
        """The points of the grid that nobody has drawn; when it has grown, trials may be no points of it."""
        names = list(self._distributions)
        drawn = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
        taken = {tuple(map(params.get, names)) for params in drawn}
        return [point for point in self._grid if tuple(map(point.get, names)) not in taken]

    def report(self, trial: optuna.Trial, percent: int, value: float) -> bool:
        """Note what a candidate has reached after so much of its steps; True when it should be pruned.

        Raises:
          Lost: it is somebody else's now, as for all that ends one.
        """

        def report() -> bool:
            with self._storage.exclusive(), quietly():
                found = self._ours(trial)
                if found.state.is_finished():
                    raise Lost(f"candidate {trial.number} has ended: {found.user_attrs.get(REASON)}")
                if percent > (found.last_step or 0) and math.isfinite(value):
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
                found = self._ours(trial)
                if found.state == state:
                    return  # by the try before this one
                if found.state.is_finished():
                    raise Lost(f"candidate {trial.number} has ended: {found.user_attrs.get(REASON)}")
                for name, value in (attributes or {}).items():
                    trial.set_user_attr(name, value)
                self._study.tell(trial, values, state)

        self._patiently(end)
        self._held.discard(trial.number)

    def _ours(self, trial: optuna.Trial) -> FrozenTrial:
        """A candidate of ours as the database has it; to be called under the lock.

        Raises:
          Lost: it is another's.
        """
        found = self._storage.optuna.get_trial(trial._trial_id)
        if not self._is_held(found):
            self._held.discard(trial.number)
            raise Lost(f"candidate {trial.number} is {found.user_attrs.get(WORKER)}'s now")
        if found.state == TrialState.WAITING:
            self._take_up(found)
        return found

    def _is_held(self, trial: FrozenTrial) -> bool:
        return trial.number in self._held and trial.user_attrs.get(WORKER) == self.worker

    def _take_up(self, trial: FrozenTrial) -> None:
        """Go on with a candidate that we were given up with, and that nobody has taken yet."""
        self._storage.optuna.set_trial_state_values(trial._trial_id, TrialState.RUNNING)

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
        """Let others have what workers left that are gone: those known to be ``dead``, and silent ones."""

        def take_back() -> None:
            with self._storage.exclusive():
                self._take_back(dead)

        self._patiently(take_back)

    def _take_back(self, dead: Sequence[str] = ()) -> None:
        silent = self._listener.silent()
        for trial in self._running():
            owner = trial.user_attrs.get(WORKER)
            # nobody is between drawing and signing while we hold the lock: who did not sign has died
            lives = self._lives(owner) if owner else False
            if lives is None:
                lives = owner not in dead and trial.number not in silent
            if not lives:
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
        """A context in which a thread calls :meth:`beat` as often as ``--heartbeat`` says."""

        def beat() -> None:
            with suppress(Unreachable):  # we are leaving
                patiently(self.beat, self._storage.name, lambda line: None, pulse.leaving)

        pulse = Pulse(beat, self.settings.heartbeat)
        return pulse

    def beat(self) -> None:
        """Give a sign of life for the candidates that this worker has, and listen for the others'."""
        self._beats += 1
        signs = {}
        for trial in self._running():
            owner = trial.user_attrs.get(WORKER)
            if owner != self.worker:
                signs[trial.number] = (owner, trial.user_attrs.get(BEAT))
                continue
            with suppress(UpdateFinishedTrialError):  # the other thread has just ended it
                self._storage.optuna.set_trial_user_attr(trial._trial_id, BEAT, self._beats)
        self._listener.look(signs)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        return patiently(call, self._storage.name, self._say, lambda: self.stop())


def failures(trials: Sequence[FrozenTrial]) -> int:
    """How many candidates have failed."""
    return sum(trial.state == TrialState.FAIL for trial in trials)
