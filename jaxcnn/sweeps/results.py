"""What a sweep has found so far, as plain data and as tables."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from jaxcnn.config import Config
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.files import write_atomically
from jaxcnn.sweeps.board import best
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import REPORTED, Settings
from jaxcnn.sweeps.storage import Storage, quietly, shown
from jaxcnn.sweeps.study import REASON, RUNS, Study

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Candidate:
    """One candidate.

    Attributes:
      number: its name.
      state: complete, pruned, failed, running or waiting.
      params: what was chosen for it.
      values: of the objectives, if it is complete.
      runs: what the run of each seed has measured, by name.
      curve: what was validated on the way, as (percent of the steps, mean over the seeds).
      reason: why it failed.
      seconds: between its last start and its end.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    values: tuple[float, ...]
    runs: Mapping[str, Sequence[float]]
    curve: tuple[tuple[int, float], ...]
    reason: str
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """A sweep, looked at from outside.

    Attributes:
      candidates: by number.
      best: of those that are complete, the best first; for several objectives the Pareto front.
      importance: for each objective, the share of its variance that each parameter explains (fANOVA).
      storage: the database's address, without password.
      study: its name there.
      size: candidates in all, once the sweep is over.
    """

    settings: Settings
    base: Config
    candidates: tuple[Candidate, ...]
    best: tuple[Candidate, ...]
    importance: Mapping[str, Mapping[str, float]]
    storage: str
    study: str
    size: int


def read(folder: SweepFolder) -> Outcome:
    """What the study of a sweep folder holds.

    Raises:
      UserError: this is no sweep folder, or its database cannot be reached.
    """
    settings, base = folder.read()
    url = folder.storage(settings)
    storage = Storage(url)
    try:
        study = Study(storage, folder.study(settings), settings, base)
        trials = study.trials()
    finally:
        storage.close()
    candidates = tuple(
        replace(one, curve=one.curve or _curve(folder, settings, base, one))
        for one in map(_candidate, trials)
    )
    return Outcome(
        settings,
        base,
        candidates,
        tuple(candidates[trial.number] for trial in best(settings.objectives(), trials)),
        _importance(settings, trials),
        shown(url),
        folder.study(settings),
        study.size,
    )


def _candidate(trial: FrozenTrial) -> Candidate:
    whole = trial.datetime_start and trial.datetime_complete
    return Candidate(
        number=trial.number,
        state=STATES[trial.state],
        params=trial.params,
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        runs=trial.user_attrs.get(RUNS, {}),
        curve=tuple(sorted(trial.intermediate_values.items())),
        reason=str(trial.user_attrs.get(REASON, "")),
        seconds=trial.duration.total_seconds() if whole and trial.duration else None,
    )


def _curve(
    folder: SweepFolder, settings: Settings, base: Config, one: Candidate
) -> tuple[tuple[int, float], ...]:
    """The curve of a complete candidate from its runs: of several objectives none is reported on the way."""
    metric = REPORTED.get(next(iter(settings.objectives())))
    if one.state != "complete" or metric is None:
        return ()
    found: dict[int, list[float]] = {}
    for path in folder.runs(one.number, base, settings.seeds).values():
        for row in RunFolder(path).rows():
            if row["split"] == "validation":
                found.setdefault(row["step"], []).append(row[metric])
    last = max(found, default=1)
    return tuple((100 * step // last, sum(values) / len(values)) for step, values in sorted(found.items()))


def _importance(settings: Settings, trials: Sequence[FrozenTrial]) -> dict[str, dict[str, float]]:
    """Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, 2014."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    found = {}
    for i, name in enumerate(settings.objectives()):
        if len({trial.values[i] for trial in complete}) < 4:
            continue  # too little to explain
        study = optuna.create_study(directions=["minimize"] * len(settings.objectives()))
        with quietly():
            study.add_trials(complete)
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            target = (lambda at: lambda trial: trial.values[at])(i)
            found[name] = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
    return found


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """A flat row for each candidate: parameters, objectives, every seed's own figures."""
    seeds = range(outcome.base.seed, outcome.base.seed + outcome.settings.seeds)
    names = sorted({name for one in outcome.candidates for name in one.runs})
    table = []
    for one in outcome.candidates:
        row: dict[str, Any] = {"candidate": one.number, "state": one.state}
        row |= {p.name: one.params.get(p.name) for p in outcome.settings.space()}
        row |= dict(zip(outcome.settings.objectives(), one.values or [None] * 9, strict=False))
        for name in names:
            values = one.runs.get(name, [None] * len(seeds))
            row |= {f"{name}_seed{seed}": value for seed, value in zip(seeds, values, strict=True)}
        table.append(row | {"seconds": one.seconds, "reason": one.reason})
    return table


def write_tables(folder: SweepFolder, outcome: Outcome) -> None:
    """Write ``trials.csv`` and ``trials.parquet``."""
    import pyarrow
    from pyarrow import parquet

    table = rows(outcome)
    if not table:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(folder.table, text.getvalue())
    parquet.write_table(pyarrow.Table.from_pylist(table), folder.table.with_suffix(".parquet"))
