"""A search from Python, over a training job or over a pure function of one's own."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import process, programs, results, samplers, start
from jaxcnn.sweeps.anchor import anchor
from jaxcnn.sweeps.board import best
from jaxcnn.sweeps.columns import Rows
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.results import Candidate
from jaxcnn.sweeps.settings import Settings, check_sampler, direction_pairs
from jaxcnn.sweeps.space import Parameter, Space
from jaxcnn.sweeps.storage import quietly

LANES = 16  # of a function, where nobody says


def run(
    space: Sequence[str],
    job: Config | Callable[..., Mapping[str, Any]],
    *,
    objective: str = "val_accuracy:max",
    trials: int = 32,
    seeds: int = 1,
    sampler: str = "tpe",
    lanes: int | None = None,
    seed: int = 0,
    **choices: Any,
) -> list[Candidate]:
    """Search a space, and return its candidates, the best first.

    A training job is searched as ``python -m jaxcnn.sweep`` does it, by this process alone: in
    ``job.workdir``, where the same call goes on (or in a scratch folder, where there is none).

    A function is called with every parameter of the space and a ``seed``, all traced: it must be pure and
    return a mapping of scalars. Candidates are drawn as many at a time as there are lanes, and run with
    their seeds as the lanes of one program, which is compiled once.

    Args:
      space: lines such as ``"learning_rate=log(1e-3,1)"``.
      job: a configuration, or a function of the parameters and ``seed``.
      objective: what is judged, as ``NAME:max`` or ``NAME:min``, separated by commas; of a function, entries
        of what it returns.
      trials: candidates in all.
      seeds: runs of each candidate, judged by their mean.
      sampler: tpe, random, grid, qmc, cmaes, gp or nsga2.
      lanes: runs side by side; None: what is fastest here for a job, 16 for a function.
      seed: of the search over a function; a job has its own.
      **choices: further fields of :class:`~jaxcnn.sweeps.settings.Settings`, for a job.

    Returns:
      Every candidate: the complete ones from the best on (for several objectives the Pareto front first),
      then the others.

    Raises:
      UserError: the space, the objective or the job does not do.

    Example:
      >>> import jax
      >>> def descend(learning_rate, seed):
      ...     x = 1 + 0.1 * jax.random.normal(jax.random.key(seed))
      ...     return {"loss": jax.lax.fori_loop(0, 20, lambda _, x: x - learning_rate * 2 * x, x) ** 2}
      >>> found = run(["learning_rate=log(1e-3,2)"], descend, objective="loss:min", trials=16, seeds=3)
      >>> 0.05 < found[0].params["learning_rate"] < 0.95, len(found[0].runs["loss"])
      (True, 3)
    """
    if callable(job):
        if choices:
            raise UserError(f"{next(iter(choices))}=: is a choice of searches over a Config, not a function")
        return _search_function(
            space, job, objective, trials, seeds, sampler, 16 if lanes is None else lanes, seed
        )
    settings = Settings(
        search=tuple(space),
        objective=objective,
        trials=trials,
        seeds=seeds,
        sampler=sampler,
        lanes="auto" if lanes is None else str(lanes),
        launcher="none",
        **choices,
    )
    programs.check(settings, job)
    if job.workdir:
        return _search_job(settings, job, Path(job.workdir))
    with tempfile.TemporaryDirectory() as scratch:
        return _search_job(settings, replace(job, workdir=scratch), Path(scratch))


def _search_job(settings: Settings, base: Config, path: Path) -> list[Candidate]:
    folder = SweepFolder(path)
    settings, base = anchor(settings, base)
    with start.join(folder, settings, base) as (name, _):
        process.work(folder, name, settings, base, lambda: False, print)
    outcome = results.read(folder)
    front = [one.number for one in outcome.best]
    return [*outcome.best, *(one for one in outcome.candidates if one.number not in front)]


def _search_function(
    lines: Sequence[str],
    function: Callable[..., Mapping[str, Any]],
    objective: str,
    trials: int,
    seeds: int,
    sampler: str,
    lanes: int,
    seed: int,
) -> list[Candidate]:
    space = Space(tuple(Parameter.parse(line, free=True) for line in lines))
    if "seed" in space.distributions():
        raise UserError("--search=seed=...: seeds are repeats of a candidate: expected seeds=3 instead")
    for name, count in (("trials", trials), ("seeds", seeds), ("lanes", lanes)):
        if count < 1:
            raise UserError(f"{name}={count}: expected 1 or more")
    objectives = direction_pairs(objective)
    check_sampler("sampler", sampler, objectives)
    samplers.check_installed(sampler)
    grid = space.grid() if sampler == "grid" else []
    trials = min(trials, len(grid)) if grid else trials
    study = optuna.create_study(directions=[f"{way}imize" for way in objectives.values()])  # type: ignore[misc]
    found: dict[int, Candidate] = {}
    together = max(1, min(lanes // seeds, trials))
    program = Rows(function, min(lanes, together * seeds))
    while len(found) < trials:
        drawn = []
        for number in range(len(found), min(trials, len(found) + together)):
            with quietly():
                if grid:
                    study.enqueue_trial(grid[number])
                study.sampler = samplers.make_sampler(sampler, seed, number, trials)
                drawn.append(study.ask(space.distributions()))
        columns = {
            p.name: [p.typed(trial.params[p.name]) for trial in drawn for _ in range(seeds)] for p in space
        }
        columns["seed"] = [seed + repeat for _ in drawn for repeat in range(seeds)]
        table = _table(program(columns), objective, objectives, (len(drawn), seeds))
        for i, trial in enumerate(drawn):
            runs = {name: values[i].tolist() for name, values in table.items()}
            values = [float(np.mean(runs[name])) for name in objectives]
            whole = bool(np.all(np.isfinite(values)))
            study.tell(trial, values if whole else None, None if whole else optuna.trial.TrialState.FAIL)
            said = "" if whole else f"{objective} is {', '.join(map(str, values))}"
            found[trial.number] = Candidate(
                trial.number, "complete" if whole else "failed", trial.params,
                tuple(values) if whole else (), runs, (), said, None,
            )  # fmt: skip
    front = [trial.number for trial in best(objectives, study.get_trials(deepcopy=False))]
    return [*(found[n] for n in front), *(one for n, one in found.items() if n not in front)]


def _table(
    measured: Any, objective: str, objectives: Mapping[str, str], shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """What was measured of each candidate with each seed, by name."""
    if not isinstance(measured, Mapping):
        raise UserError(f"the function returns no mapping of names to numbers; expected one with {objective}")
    if missing := [name for name in objectives if name not in measured]:
        raise UserError(
            f"objective={objective!r}: the function returns {', '.join(measured)}, no {missing[0]}"
        )
    for name, values in measured.items():
        if np.ndim(values) != 1:
            raise UserError(
                f"the function's {name} has shape {np.shape(values)[1:]}: expected a single number"
            )
    return {name: np.asarray(values, float).reshape(shape) for name, values in measured.items()}
