"""One frozen dataclass holds every choice of a run; absl flags and flagfiles are its other two forms."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from absl import flags

from jaxcnn.errors import UserError


def flag(default: Any, group: str, help: str, *, check: str = "", lane: str = "", course: bool = True):
    """A field that is a flag.

    Args:
      check: a rule of :data:`CHECKS` that values must pass.
      lane: which numbers of it are arguments of the compiled program, see :data:`LANE`; empty: none.
      course: a different value changes what the run computes, so a resume with it is refused.
    """
    metadata = {"group": group, "help": help, "check": check, "lane": lane, "course": course}
    return dataclasses.field(default=default, metadata=metadata)


LANE = {
    "value": "[lane]",
    "above 0": "[lane; 0 or not is static]",
    "rates": "[lane: dropout and drop_path, where given]",
    "strengths": "[lane: the numbers]",
}
"""What ``lane`` of a field may be, and how it is said: runs that differ in these alone share a program."""

CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "positive": (lambda v: 0 < v < math.inf, "above 0"),
    "not negative": (lambda v: 0 <= v < math.inf, "0 or more"),
    "fraction": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "factor": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "seed": (lambda v: 0 <= v < 2**31, "from 0 to 2147483647"),
    "dtype": (lambda v: v in ("float32", "bfloat16"), "float32 or bfloat16"),
    "feed": (lambda v: v in ("auto", "resident", "streaming"), "auto, resident or streaming"),
    "word": (lambda v: bool(v.strip()), "a name"),
}


LARGEST = {int: 2**31 - 1, float: 3.4028234e38}
"""What numbers may be: the programs that take them compute in 32 bits."""


LAST_LINE = "# whole"
"""Of a configuration as a run writes it: by it one that was cut off is told from one with fewer flags."""


class Flags:
    """Base of frozen dataclasses whose fields are flags."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(field, getattr(self, field.name))

    @classmethod
    def names(cls) -> list[str]:
        """Its flags."""
        return [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]

    def to_flagfile(self) -> str:
        """Every field as lines ``--name=value``, in groups; one line for each of several values."""
        lines: list[str] = []
        group = None
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.metadata["group"] != group:
                group = field.metadata["group"]
                lines += ["", f"# {group}"]
            value = getattr(self, field.name)
            lines += [f"--{field.name}={one}" for one in (value if isinstance(value, tuple) else (value,))]
        return "\n".join(lines[1:]) + "\n"

    @classmethod
    def from_flagfile(cls, path: str | Path) -> Self:
        """Read a flagfile; later lines win.

        Raises:
          UserError: it is no text, or a value does not do.
          flags.Error: it cannot be opened, or holds something else.
        """
        return cls.from_flags(parse_flagfile(path, cls))

    @classmethod
    def from_flags(cls, values: flags.FlagValues) -> Self:
        """What parsed flags spell."""
        chosen: dict[str, Any] = {
            field.name: values[field.name].value
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        }
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in chosen.items()})


@dataclasses.dataclass(frozen=True)
class Config(Flags):
    """Every choice of a training run. ``from_flagfile(to_flagfile(c)) == c``."""

    workdir: str = flag("", "Run", "run folder; empty: runs/DATASET-MODEL-SEED", course=False)
    seed: int = flag(0, "Run", "seed of every random draw", check="seed", lane="value")

    dataset: str = flag("digits", "Data", "TFDS name[/config][:version], or a prepared folder", check="word")
    data_dir: str = flag("", "Data", "where data sets are kept; empty: TFDS's own folder", course=False)
    batch_size: int = flag(64, "Data", "examples a step", check="positive")
    image_size: int = flag(
        0, "Data", "resize and crop images to this many pixels; 0: as stored", check="not negative"
    )
    full: bool = flag(
        False, "Data", "train on the validation split too, and judge the last step instead of the best"
    )
    augment: str = flag("", "Data", "call strings, e.g. 'shift(1),flip'; empty: none", lane="strengths")
    feed: str = flag("auto", "Data", "auto, resident (on device) or streaming", check="feed", course=False)
    readers: int = flag(
        0,
        "Data",
        "processes that read for the streaming feed; 0: threads",
        check="not negative",
        course=False,
    )

    model: str = flag(
        "resnet20",
        "Model",
        "call string, e.g. 'resnet20(num_filters=32)'; python -m jaxcnn.describe --models='*' lists names",
        check="word",
        lane="rates",
    )
    dtype: str = flag("float32", "Model", "compute type; parameters stay float32", check="dtype")

    init_from: str = flag(
        "", "Model", "weights to start from: .safetensors, .pth or a run folder; empty: random ones"
    )

    epochs: float = flag(10.0, "Optimization", "passes over the training split", check="positive")
    steps: int = flag(0, "Optimization", "training steps; 0: from --epochs", check="not negative")
    optimizer: str = flag("sgd", "Optimization", "sgd or adamw", check="word")
    learning_rate: float = flag(0.1, "Optimization", "peak learning rate", check="positive", lane="value")
    momentum: float = flag(0.9, "Optimization", "SGD momentum, or AdamW's b1", check="fraction", lane="value")
    weight_decay: float = flag(
        5e-4, "Optimization", "on kernels only, never biases or norms", check="not negative", lane="value"
    )
    schedule: str = flag(
        "cosine", "Optimization", "cosine, linear or constant, after the warm-up", check="word"
    )
    warmup: float = flag(0.1, "Optimization", "share of the steps spent warming up", check="fraction")
    label_smoothing: float = flag(
        0.0, "Optimization", "mass moved to the other classes", check="fraction", lane="value"
    )
    ema_decay: float = flag(
        0.0,
        "Optimization",
        "averaging of the weights for evaluation; 0: off",
        check="fraction",
        lane="above 0",
    )
    clip_norm: float = flag(
        0.0, "Optimization", "largest gradient norm; 0: off", check="not negative", lane="above 0"
    )
    freeze: str = flag("", "Optimization", "parts that stay as they are, e.g. 'stem,stage1'; empty: none")
    layer_decay: float = flag(
        1.0, "Optimization", "learning rate of a layer by that of the layer behind it", check="factor"
    )

    eval_every: float = flag(1.0, "Bookkeeping", "epochs between validations", check="positive")
    save_every: float = flag(
        1.0, "Bookkeeping", "epochs between checkpoints, beside the best", check="positive", course=False
    )
    keep: int = flag(
        2, "Bookkeeping", "newest checkpoints kept, beside the best", check="positive", course=False
    )
    log_every: int = flag(
        50, "Bookkeeping", "steps between logged training metrics, at most", check="positive", course=False
    )

    def folder(self) -> Path:
        """The run folder: ``workdir``, or one named after the job."""
        if self.workdir:
            return Path(self.workdir).expanduser()
        parts = (self.dataset, self.model, f"seed{self.seed}")
        return Path("runs") / "-".join(re.sub(r"\W+", "_", part).strip("_") for part in parts)

    def to_flagfile(self) -> str:
        """Every field as a line ``--name=value``, in groups, between a first and a last line."""
        first = "# jaxcnn run: python -m jaxcnn.train --flagfile=<this file>"
        return f"{first}\n\n{super().to_flagfile()}\n{LAST_LINE}\n"


def _check(field: dataclasses.Field, value: Any) -> None:
    if isinstance(value, str) and "\n" in value:
        raise UserError(f"--{field.name}={value!r}: expected one line")
    if rule := field.metadata["check"]:
        passes, expected = CHECKS[rule]
        if not passes(value):
            raise UserError(f"--{field.name}={value}: expected {expected}")
    if type(value) in LARGEST and abs(value) > LARGEST[type(value)]:
        raise UserError(f"--{field.name}={value}: expected {LARGEST[type(value)]} at most")


def define_flags(values: flags.FlagValues = flags.FLAGS, kind: type = Config) -> None:
    """Define one absl flag for each field of :class:`Config`, or of another such class."""
    define: dict[Any, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        bool: flags.DEFINE_bool,
        tuple[str, ...]: flags.DEFINE_multi_string,
    }
    for field in dataclasses.fields(kind):
        define[field.type](field.name, field.default, field.metadata["help"], flag_values=values)


def parse_flagfile(path: str | Path, *kinds: type) -> flags.FlagValues:
    """The flags of a file that holds those of one or more such classes.

    Raises:
      UserError: it is no text.
      flags.Error: it cannot be opened, or holds something else.
    """
    values = flags.FlagValues()
    for kind in kinds:
        define_flags(values, kind)
    try:
        values([str(path), f"--flagfile={path}"])
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text; expected lines --name=value") from error
    return values


def course_changes(old: Config, new: Config) -> list[str]:
    """The fields that differ and would change the run's course, as ``--name: old -> new``."""
    return [
        f"--{field.name}: {getattr(old, field.name)} -> {getattr(new, field.name)}"
        for field in dataclasses.fields(Config)
        if field.metadata["course"] and getattr(old, field.name) != getattr(new, field.name)
    ]


def usage(kind: type = Config) -> str:
    """The flags with their defaults, in groups, a line each."""
    lines: list[str] = []
    group = None
    for field in dataclasses.fields(kind):
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines += ["", f"{group}:"]
        default = repr(field.default) if isinstance(field.default, str) else field.default
        lane = LANE.get(field.metadata["lane"], "")
        lines.append(f"  --{field.name:<16} {field.metadata['help']} [{default}] {lane}".rstrip())
    if any(field.metadata["lane"] for field in dataclasses.fields(kind)):
        lines += [
            "",
            "[lane]: runs that differ in these alone share a program, and train side by side",
        ]
    return "\n".join(lines)
