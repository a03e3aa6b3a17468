"""One frozen dataclass holds every choice of a run; absl flags and flagfiles are its other two forms."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from jaxcnn.errors import UserError


def _field(default: Any, group: str, help: str, *, check: str = "", lane: bool = False, course: bool = True):
    """A configuration field.

    Args:
      check: a rule of :data:`CHECKS` that values must pass.
      lane: the value may be a traced number, so trials that differ in it can share one program.
      course: a different value changes what the run computes, so a resume with it is refused.
    """
    metadata = {"group": group, "help": help, "check": check, "lane": lane, "course": course}
    return dataclasses.field(default=default, metadata=metadata)


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "positive": (lambda v: 0 < v < math.inf, "above 0"),
    "not negative": (lambda v: 0 <= v < math.inf, "0 or more"),
    "fraction": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "seed": (lambda v: 0 <= v < 2**31, "from 0 to 2147483647"),
    "dtype": (lambda v: v in ("float32", "bfloat16"), "float32 or bfloat16"),
    "feed": (lambda v: v in ("auto", "resident", "streaming"), "auto, resident or streaming"),
    "word": (lambda v: bool(v.strip()), "a name"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every choice of a training run. ``from_flagfile(to_flagfile(c)) == c``."""

    workdir: str = _field("", "Run", "run folder; empty: runs/DATASET-MODEL-SEED", course=False)
    seed: int = _field(0, "Run", "seed of every random draw", check="seed", lane=True)

    dataset: str = _field(
        "digits", "Data", "TFDS name[/config][:version], or a prepared folder", check="word"
    )
    data_dir: str = _field("", "Data", "where data sets are kept; empty: TFDS's own folder", course=False)
    batch_size: int = _field(64, "Data", "examples a step", check="positive")
    image_size: int = _field(
        0, "Data", "resize and crop images to this many pixels; 0: as stored", check="not negative"
    )
    augment: str = _field("", "Data", "call strings, e.g. 'shift(1),flip'; empty: none")
    feed: str = _field("auto", "Data", "auto, resident (on device) or streaming", check="feed", course=False)
    workers: int = _field(
        0,
        "Data",
        "processes that read for the streaming feed; 0: threads",
        check="not negative",
        course=False,
    )

    model: str = _field("resnet20", "Model", "call string, e.g. 'resnet20(num_filters=32)'", check="word")
    dtype: str = _field("float32", "Model", "compute type; parameters stay float32", check="dtype")

    epochs: float = _field(10.0, "Optimization", "passes over the training split", check="positive")
    steps: int = _field(0, "Optimization", "training steps; 0: from --epochs", check="not negative")
    optimizer: str = _field("sgd", "Optimization", "sgd or adamw", check="word")
    learning_rate: float = _field(0.1, "Optimization", "peak learning rate", check="positive", lane=True)
    momentum: float = _field(0.9, "Optimization", "SGD momentum, or AdamW's b1", check="fraction", lane=True)
    weight_decay: float = _field(
        5e-4, "Optimization", "on kernels only, never biases or norms", check="not negative", lane=True
    )
    schedule: str = _field(
        "cosine", "Optimization", "cosine, linear or constant, after the warm-up", check="word"
    )
    warmup: float = _field(0.1, "Optimization", "share of the steps spent warming up", check="fraction")
    label_smoothing: float = _field(
        0.0, "Optimization", "mass moved to the other classes", check="fraction", lane=True
    )
    ema_decay: float = _field(
        0.0, "Optimization", "averaging of the weights for evaluation; 0: off", check="fraction"
    )
    clip_norm: float = _field(0.0, "Optimization", "largest gradient norm; 0: off", check="not negative")

    eval_every: float = _field(1.0, "Bookkeeping", "epochs between validations", check="positive")
    save_every: float = _field(
        1.0, "Bookkeeping", "epochs between checkpoints", check="positive", course=False
    )
    keep: int = _field(
        2, "Bookkeeping", "newest checkpoints kept, beside the best", check="positive", course=False
    )
    log_every: int = _field(
        50, "Bookkeeping", "steps between logged training metrics, at most", check="positive", course=False
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    def folder(self) -> Path:
        """The run folder: ``workdir``, or one named after the job."""
        if self.workdir:
            return Path(self.workdir).expanduser()
        parts = (self.dataset, self.model, f"seed{self.seed}")
        return Path("runs") / "-".join(re.sub(r"\W+", "_", part).strip("_") for part in parts)

    def to_flagfile(self) -> str:
        """Every field as a line ``--name=value``, in groups."""
        lines = ["# jaxcnn run: python -m jaxcnn.train --flagfile=<this file>"]
        group = None
        for field in dataclasses.fields(self):
            if field.metadata["group"] != group:
                group = field.metadata["group"]
                lines += ["", f"# {group}"]
            lines.append(f"--{field.name}={getattr(self, field.name)}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_flagfile(cls, path: str | Path) -> "Config":
        """Read a flagfile; later lines win."""
        values = flags.FlagValues()
        define_flags(values)
        values([str(path), f"--flagfile={path}"])
        return cls.from_flags(values)

    @classmethod
    def from_flags(cls, values: flags.FlagValues) -> "Config":
        """The configuration that parsed flags spell."""
        chosen: dict[str, Any] = {field.name: values[field.name].value for field in dataclasses.fields(cls)}
        return cls(**chosen)


def _check(field: dataclasses.Field, value: Any) -> None:
    if isinstance(value, str) and "\n" in value:
        raise UserError(f"--{field.name}={value!r}: expected one line")
    if rule := field.metadata["check"]:
        passes, expected = CHECKS[rule]
        if not passes(value):
            raise UserError(f"--{field.name}={value}: expected {expected}")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define one absl flag for each field of :class:`Config`."""
    define: dict[Any, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(Config):
        define[field.type](field.name, field.default, field.metadata["help"], flag_values=values)


def course_changes(old: Config, new: Config) -> list[str]:
    """The fields that differ and would change the run's course, as ``--name: old -> new``."""
    return [
        f"--{field.name}: {getattr(old, field.name)} -> {getattr(new, field.name)}"
        for field in dataclasses.fields(Config)
        if field.metadata["course"] and getattr(old, field.name) != getattr(new, field.name)
    ]


def usage() -> str:
    """The flags with their defaults, in groups, a line each."""
    lines: list[str] = []
    group = None
    for field in dataclasses.fields(Config):
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines += ["", f"{group}:"]
        default = repr(field.default) if isinstance(field.default, str) else field.default
        lines.append(f"  --{field.name:<16} {field.metadata['help']} [{default}]")
    return "\n".join(lines)
