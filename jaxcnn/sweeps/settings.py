"""The choices of a sweep: one frozen dataclass beside the training job's, in the same flagfile."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from absl import flags

from jaxcnn import config
from jaxcnn.config import Config, Flags, flag
from jaxcnn.errors import UserError, nearest
from jaxcnn.sweeps.space import Space

SAMPLERS = ("tpe", "random", "grid", "qmc", "cmaes", "gp", "nsga2")
PRUNERS = ("none", "median", "asha", "hyperband")
LAUNCHERS = ("local", "ray", "none")
OBJECTIVES = {"val_accuracy": "max", "val_loss": "min", "macs": "min", "parameters": "min"}
REPORTED = {
    "val_accuracy": "accuracy",
    "val_loss": "loss",
}  # what is validated on the way, so can be pruned by


@dataclass(frozen=True)
class Settings(Flags):
    """Every choice of a sweep but the job that it trains."""

    search: tuple[str, ...] = flag((), "Search", "NAME=log(a,b), uniform, int or choice; one flag for each")
    objective: str = flag(
        "val_accuracy:max", "Search", "NAME:max or NAME:min, several separated by commas", check="word"
    )
    seeds: int = flag(1, "Search", "runs of each candidate, judged by their mean", check="positive")
    trials: int = flag(32, "Search", "candidates in all", check="positive", course=False)
    sampler: str = flag("tpe", "Search", ", ".join(SAMPLERS), check="word", course=False)
    pruner: str = flag("none", "Search", ", ".join(PRUNERS), check="word", course=False)
    append: bool = flag(False, "Search", "go on in a folder whose --search was another", course=False)

    lanes: str = flag(
        "auto", "Work", "runs that one program trains side by side; auto measures", check="word", course=False
    )
    launcher: str = flag(
        "local", "Work", "local processes, ray, or none: this process works", check="word", course=False
    )
    workers: int = flag(
        0, "Work", "worker processes; 0: one for each device", check="not negative", course=False
    )
    max_failures: int = flag(
        10, "Work", "failed candidates after which the sweep stops", check="not negative", course=False
    )
    storage: str = flag("", "Work", "Optuna's database URL; empty: SQLite in the folder", course=False)
    study: str = flag("", "Work", "the study's name in it; empty: the folder's name", course=False)
    heartbeat: int = flag(
        10, "Work", "seconds between signs of life of a worker", check="positive", course=False
    )
    ray_address: str = flag("auto", "Work", "of the Ray cluster", course=False)
    ray_cpus: float = flag(
        1.0, "Work", "CPUs of the cluster for a worker", check="not negative", course=False
    )
    ray_gpus: float = flag(
        0.0, "Work", "GPUs of the cluster for a worker", check="not negative", course=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.space()
        objectives = self.objectives()
        check_sampler("--sampler", self.sampler, objectives)
        for name, known in (("pruner", PRUNERS), ("launcher", LAUNCHERS)):
            if (value := getattr(self, name)) not in known:
                raise UserError(f"--{name}={value}: {nearest(value, known)}")
        if self.lanes != "auto" and not (self.lanes.isdigit() and int(self.lanes)):
            raise UserError(f"--lanes={self.lanes}: expected auto or a number above 0")
        if self.sampler == "grid":
            self.space().grid()
        if self.pruner != "none" and len(objectives) > 1:
            raise UserError(f"--pruner={self.pruner}: prunes by one objective; expected none for several")
        if self.pruner != "none" and not objectives.keys() <= REPORTED.keys():
            raise UserError(f"--pruner={self.pruner}: {self.objective} is not validated on the way; use none")

    def space(self) -> Space:
        """What is searched."""
        return Space.parse(self.search)

    def objectives(self) -> dict[str, str]:
        """Each objective with ``max`` or ``min``, in order.

        >>> Settings(search=("momentum=choice(0,0.9)",), objective="val_accuracy, macs:min").objectives()
        {'val_accuracy': 'max', 'macs': 'min'}
        """
        at, found = f"--objective={self.objective}", direction_pairs(self.objective, OBJECTIVES)
        for name in found:
            if name.startswith("test_"):
                raise UserError(
                    f"{at}: choosing by the test split spoils it; expected val_accuracy or val_loss"
                )
            if name not in OBJECTIVES:
                raise UserError(f"{at}: {name!r} is no objective; {nearest(name, OBJECTIVES)}")
        return found


def check_sampler(at: str, name: str, objectives: Mapping[str, str]) -> None:
    """Raise UserError where there is no such sampler, or it cannot weigh so many objectives."""
    if name not in SAMPLERS:
        raise UserError(f"{at}={name}: {nearest(name, SAMPLERS)}")
    if name == "cmaes" and len(objectives) > 1:
        raise UserError(f"{at}=cmaes: has one objective; use tpe, gp or nsga2 for several")


def direction_pairs(objective: str, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Read ``NAME:max`` or ``NAME:min``, several separated by commas; a name alone has its known way, or max.

    >>> direction_pairs("loss:min, accuracy")
    {'loss': 'min', 'accuracy': 'max'}
    """
    found: dict[str, str] = {}
    for part in objective.split(","):
        name, _, direction = (word.strip() for word in part.partition(":"))
        if direction not in ("", "max", "min"):
            raise UserError(f"--objective={objective}: {direction!r} is no direction; expected max or min")
        if name in found:
            raise UserError(f"--objective={objective}: {name} is there twice")
        found[name] = direction or known.get(name, "max")
    return found


OWN = {"launcher", "workers", "lanes", "append", "ray_address", "ray_cpus", "ray_gpus"} | {
    "data_dir",
    "feed",
    "readers",
}
"""What everyone who works on a sweep chooses for a machine of its own; all else they share."""


def shared_changes(old: tuple[Settings, Config], new: tuple[Settings, Config]) -> list[str]:
    """The flags in which two sweeps differ, but for those of each machine's own, as ``--name: old -> new``.

    >>> line = ("momentum=choice(0,0.9)",)
    >>> one = Settings(search=line, trials=4), Config()
    >>> shared_changes(one, (Settings(search=line, trials=8, workers=2), Config(data_dir="/sets")))
    ['--trials: 4 -> 8']
    """
    changes = []
    for one, other in zip(old, new, strict=True):
        for name in one.names():
            before, after = (_said(getattr(of, name)) for of in (one, other))
            if name not in OWN and before != after:
                changes.append(f"--{name}: {_hidden(before)} -> {_hidden(after)}")
    return changes


def _said(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _hidden(text: str) -> str:
    """A text without the password of a database's address."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", text)


def parse(path: Path) -> tuple[Settings, Config]:
    """Read a flagfile that holds a sweep and its job."""
    return from_flags(config.parse_flagfile(path, Config, Settings))


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The flags of a sweep and of the job that it trains."""
    config.define_flags(values, Config)
    config.define_flags(values, Settings)


def from_flags(values: flags.FlagValues) -> tuple[Settings, Config]:
    """What parsed flags spell."""
    return Settings.from_flags(values), Config.from_flags(values)


def folder_of(settings: Settings, base: Config) -> Path:
    """The sweep's folder: ``--workdir``, or one named after the job and what is searched."""
    if base.workdir:
        return Path(base.workdir).expanduser()
    names = "-".join(parameter.name for parameter in settings.space())
    return Path("runs") / "-".join(["sweep", re.sub(r"\W+", "_", base.dataset), names])


def usage() -> str:
    """All flags with their defaults, the sweep's first."""
    return config.usage(Settings) + "\n" + config.usage(Config)
