"""How a sweep stands, while it goes on: a table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jaxcnn.engine.progress import duration
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.study import REASON, Study

ROWS = 8  # candidates of each kind that the table shows


class Board:
    """Says each end of a candidate once, when it comes; on a terminal also shows the best and the running."""

    def __init__(self, folder: SweepFolder, study: Study, console: Console | None = None) -> None:
        self._folder, self._settings, self._size = folder, study.settings, study.size
        self._said: set[int] | None = None
        self._begun, self._before = time.monotonic(), 0
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> "Board":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line, above the table where there is one."""
        if self._live:
            self._console.print(line, markup=False)
        else:
            print(line, flush=True)

    def update(self, trials: Sequence[FrozenTrial], workers: int) -> None:
        """Look at all candidates."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        if self._said is None:
            self._said, self._before = {trial.number for trial in ended}, len(ended)
            if ended:
                self.say(f"going on after {len(ended)} of {self._size} candidates")
        for trial in ended:
            if trial.number not in self._said:
                self._said.add(trial.number)
                count = len(self._said)
                self.say(f"{count}/{self._size} · {self._end(trial)} · {self.left(count)}")
        if self._live:
            self._live.update(self._table(trials, workers, len(ended)), refresh=True)

    def left(self, ended: int) -> str:
        """The time that the rest will take, at the pace so far."""
        done = ended - self._before
        if ended >= self._size or done <= 0:
            return "done" if ended >= self._size else "measuring"
        return f"{duration((time.monotonic() - self._begun) / done * (self._size - ended))} left"

    def _end(self, trial: FrozenTrial) -> str:
        """How a candidate ended, in a line."""
        name = f"candidate {trial.number}"
        if trial.state == TrialState.FAIL:
            return f"{name} FAILED: {trial.user_attrs.get(REASON)} · log {self._folder.log(trial.number)}"
        if trial.state == TrialState.PRUNED:
            return f"{name} pruned at {trial.last_step}% · {words(trial.params)}"
        return f"{name} {objectives(self._settings, trial)} · {words(trial.params)}"

    def _table(self, trials: Sequence[FrozenTrial], workers: int, ended: int) -> Table:
        states = [trial.state for trial in trials]
        counts = {
            "complete": states.count(TrialState.COMPLETE),
            "running": states.count(TrialState.RUNNING),
            "waiting": states.count(TrialState.WAITING),
            "pruned": states.count(TrialState.PRUNED),
            "failed": states.count(TrialState.FAIL),
        }
        title = " · ".join(f"{count} {state}" for state, count in counts.items() if count)
        table = Table(
            title=f"{ended}/{self._size} · {title} · {count_of(workers, 'worker')} · {self.left(ended)}",
            title_justify="left",
            box=None,
            padding=(0, 2, 0, 0),
        )
        for column in ("candidate", "", *self._settings.objectives()):
            table.add_column(column, no_wrap=True)
        table.add_column("values")  # what a narrow terminal cuts
        objectives = len(self._settings.objectives())
        for trial in best(self._settings.objectives(), trials)[:ROWS]:
            numbers = map(_number, trial.values)
            table.add_row(str(trial.number), "best", *numbers, _cut(trial.params))
        for trial in [t for t in trials if t.state == TrialState.RUNNING][:ROWS]:
            reached = trial.last_step
            now = f"{trial.intermediate_values[reached]:.5g}" if reached is not None else ""
            where = f"{reached or 0}%"
            table.add_row(str(trial.number), where, now, *[""] * (objectives - 1), _cut(trial.params))
        return table


def best(objectives: Mapping[str, str], trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The complete candidates, the best first; for several objectives those that none beats in all."""
    signs = [-1.0 if way == "max" else 1.0 for way in objectives.values()]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    costs = {t.number: tuple(s * v for s, v in zip(signs, t.values, strict=True)) for t in complete}
    complete.sort(key=lambda trial: (costs[trial.number], trial.number))
    return complete if len(signs) == 1 else _front(complete, np.array([costs[t.number] for t in complete]))


def _front(trials: Sequence[FrozenTrial], costs: np.ndarray) -> list[FrozenTrial]:
    """Those that none beats, given in the order of their costs: who beats another comes before it."""
    front: list[int] = []
    for i, mine in enumerate(costs):
        theirs = costs[front]
        if not np.any(np.all(theirs <= mine, axis=1) & np.any(theirs < mine, axis=1)):
            front.append(i)
    return [trials[i] for i in front]


def objectives(settings: Settings, trial: FrozenTrial) -> str:
    """A candidate's objectives, by name."""
    pairs = zip(settings.objectives(), trial.values, strict=True)
    return ", ".join(f"{name} {_number(value)}" for name, value in pairs)


def _number(value: float) -> str:
    """An objective as people read it: counts whole, all else to five digits."""
    return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.5g}"


def count_of(number: int, what: str) -> str:
    """A number of things.

    >>> count_of(1, "worker"), count_of(2, "worker")
    ('1 worker', '2 workers')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def _cut(values: dict[str, Any]) -> Text:
    """Parameters in a line, as much of it as there is room for."""
    return Text(words(values), no_wrap=True, overflow="ellipsis")


def words(values: dict[str, Any]) -> str:
    """Parameters as people read them.

    >>> words({"learning_rate": 0.123456, "model": "mlp"})
    'learning_rate=0.1235 model=mlp'
    """
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())
