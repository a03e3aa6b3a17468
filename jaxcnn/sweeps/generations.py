"""One sweep, one study: found again by name, refused when it is another's, grown when its space may grow."""

import re
from collections.abc import Sequence
from dataclasses import fields

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.space import Parameter, Space

DIRECTIONS = {"max": optuna.study.StudyDirection.MAXIMIZE, "min": optuna.study.StudyDirection.MINIMIZE}
COURSE, SPACE = "course", "space"  # what a study was begun with; written last, so a half-made one has none


def open_study(storage: RDBStorage, name: str, settings: Settings, base: Config) -> optuna.Study:
    """The study of a sweep, made when it is new. To be called under the storage's lock.

    With ``--append`` a study whose space was another goes on as its next generation, ``NAME#2``: all its
    trials under their numbers, and the new space. A choice cannot change within one study of Optuna's.

    Raises:
      UserError: the study is of another sweep, or its space was another and may not or cannot grow.
    """
    generations = _generations(storage, name)
    space = settings.space()
    if not generations:
        return _make(storage, name, settings, base, [])
    study = generations[-1]
    at = f"the study {name!r}"
    old = Space.parse(study.user_attrs[SPACE])
    before, now = study.user_attrs[COURSE], _course(settings, base)
    fixed = (now.keys() & before.keys()) - {parameter.name for parameter in old}
    if changes := [
        f"--{k}: {before.get(k)} -> {now[k]}" for k in now if k in fixed and before.get(k) != now[k]
    ]:
        raise UserError(
            f"{at} is of another job ({'; '.join(changes)}): set these back, or use another --workdir"
        )
    if set(old.lines()) == set(space.lines()):
        return study
    if not settings.append:
        raise UserError(
            f"{at} searched {' '.join(old.lines())}: set --search back, use another --workdir, or go on "
            "with the new space by --append"
        )
    if gone := sorted({p.name for p in old} - {p.name for p in space}):
        raise UserError(
            f"--append: {at} searched {gone[0]} too; keep it in the space, or use another --workdir"
        )
    trials = [_carry(trial, space, base, at) for trial in study.get_trials(deepcopy=False)]
    return _make(storage, f"{name}#{len(generations) + 1}", settings, base, trials)


def _generations(storage: RDBStorage, name: str) -> list[optuna.Study]:
    """The studies of a sweep that were made whole, the newest last."""
    numbers = {
        int(match[1] or 1): match[0]
        for found in optuna.get_all_study_names(storage)
        if (match := re.fullmatch(re.escape(name) + r"(?:#(\d+))?", found))
    }
    studies = [optuna.load_study(study_name=numbers[i], storage=storage) for i in sorted(numbers)]
    return [study for study in studies if COURSE in study.user_attrs]


def _make(
    storage: RDBStorage, name: str, settings: Settings, base: Config, trials: Sequence[FrozenTrial]
) -> optuna.Study:
    objectives = settings.objectives()
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)  # half-made by one who died
    study = optuna.create_study(
        study_name=name, storage=storage, directions=[DIRECTIONS[way] for way in objectives.values()]
    )
    study.set_metric_names(list(objectives))
    for trial in trials:
        study.add_trial(trial)
    study.set_user_attr(SPACE, list(settings.space().lines()))
    study.set_user_attr(COURSE, _course(settings, base))
    return study


def _carry(trial: FrozenTrial, space: Space, base: Config, at: str) -> FrozenTrial:
    """A trial as one of the new space: what was not searched had the job's own value."""
    values, distributions = {}, {}
    for parameter in space:
        value = trial.params.get(parameter.name, getattr(base, parameter.name))
        fitting = _fitting(parameter, value)
        if fitting is None and parameter.name in trial.params:
            if parameter.kind == "choice":
                raise UserError(
                    f"--append: --search={parameter} leaves out {value!r}, which {at} has tried; add it"
                )
            fitting = trial.distributions[parameter.name]
        if fitting is not None:
            values[parameter.name], distributions[parameter.name] = value, fitting
    state = trial.state if trial.state.is_finished() else TrialState.WAITING
    carried = optuna.trial.create_trial(
        state=state,
        values=trial.values,
        params=values,
        distributions=distributions,
        user_attrs=trial.user_attrs,
        intermediate_values=trial.intermediate_values,
    )
    carried.datetime_start, carried.datetime_complete = trial.datetime_start, trial.datetime_complete
    return carried


def _fitting(parameter: Parameter, value: object) -> optuna.distributions.BaseDistribution | None:
    """The parameter's distribution, where it holds the value."""
    distribution = parameter.distribution()
    try:
        inside = distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return None  # no option of a choice
    return distribution if inside else None


def _course(settings: Settings, base: Config) -> dict[str, str]:
    """What the candidates of a study must share to be comparable, but for the space."""
    job = {field.name: getattr(base, field.name) for field in fields(base) if field.metadata["course"]}
    objectives = ",".join(map(":".join, settings.objectives().items()))
    return {"objective": objectives, "seeds": str(settings.seeds), **{k: str(v) for k, v in job.items()}}
