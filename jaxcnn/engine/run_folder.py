"""What a run leaves on disk, and the guard that one process at a time writes it."""

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from absl import flags

import jaxcnn
from jaxcnn.config import LAST_LINE, Config, course_changes
from jaxcnn.errors import UserError
from jaxcnn.files import parse_json, read_bytes, write_atomically

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "grain",
    "numpy",
)


class RunFolder:
    """The files of one run, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.flags"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.environment = path / "environment.json"
        self.result = path / "result.json"
        self.pruned = path / "pruned.json"
        self.report = path / "report.html"

    def begun(self) -> bool:
        """Whether a checkpoint is here to go on from."""
        return any(self.checkpoints.glob("[0-9]*"))

    def trained(self) -> bool:
        """Whether there is something here that another course would spoil."""
        return self.begun() or self.result.exists()

    def check(self, config: Config) -> None:
        """Whether the folder is free for this job, or this job's already; changes nothing.

        Raises:
          UserError: a file is in the way, it holds other things, or its job took another course.
        """
        at, advice = f"--workdir={self.path}", "use another --workdir"
        try:
            taken = next((place for place in (self.path, *self.path.parents) if place.exists()), None)
        except OSError as error:
            raise UserError(f"{at} cannot be a folder ({error.strerror}); {advice}") from error
        if taken and not taken.is_dir():
            raise UserError(f"{at}: the file {taken} is in the way; {advice}")
        if not self.path.exists():
            return
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise UserError(f"{at} cannot be written; {advice}")
        for place in (self.checkpoints, self.tensorboard):
            if place.exists() and not place.is_dir():
                raise UserError(f"{at}: the file {place} is in the way of a folder; move it, or {advice}")
        others = sorted(entry.name for entry in self.path.iterdir() if entry.name != LOCK)
        if others and not self.config.exists():
            raise UserError(f"{at} is no run folder and not empty (it holds {others[0]}); {advice}")
        if self.trained() and (changes := course_changes(self.read_config(), config)):
            raise UserError(
                f"{at} holds another job ({'; '.join(changes)}): set these back to resume it, or {advice}"
            )

    @contextmanager
    def claim(self, config: Config) -> Iterator[None]:
        """Hold the folder for this process and this job, making it when it is new.

        The lock ends with the process, however it ends.

        Raises:
          UserError: see :meth:`check`; or it cannot be made, or another process holds it.
        """
        self.check(config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("w")
        except OSError as error:
            raise UserError(
                f"--workdir={self.path} cannot be made ({error.strerror}); use another --workdir"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"--workdir={self.path} is in use by another process; wait for it, or use another one"
                ) from error
            self.check(config)  # again, now that nobody else may change it
            if not self.trained():
                write_atomically(self.config, config.to_flagfile())
            yield

    def read_config(self) -> Config:
        """The configuration the run was started with.

        Raises:
          UserError: this is no run folder, or the file was changed into something that is no configuration,
            or cut off: what is missing would silently be the default.
        """
        if not self.config.is_file():
            raise UserError(f"{self.path} is no run folder: it has no {self.config.name}")
        try:
            config = Config.from_flagfile(self.config)
            if not self.config.read_text().rstrip().endswith(LAST_LINE):
                raise UserError(f"its last line is not {LAST_LINE!r}: it was cut off")
            return config
        except (UserError, flags.Error, OSError) as error:
            advice = "write its lines anew, as they are in another run's, or use another --workdir"
            raise UserError(f"{self.config} cannot be read ({error}): {advice}") from error

    def rows(self) -> list[dict[str, Any]]:
        """The logged metrics; a last line cut off by a kill is left out.

        Raises:
          UserError: another line is damaged.
        """
        if not self.metrics.exists():
            return []
        lines = enumerate(read_bytes(self.metrics, "move it away").split(b"\n")[:-1], start=1)
        return [parse_json(line, f"{self.metrics}:{i}", ROW, "delete the line") for i, line in lines if line]

    def drop_rows_after(self, step: int) -> None:
        """Forget what was logged after the step that a resume starts from."""
        if self.metrics.exists():
            kept = [row for row in self.rows() if row["step"] <= step]
            write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))


LOCK = ".lock"
ROW = {"step": int, "epoch": float, "split": str, "loss": float, "accuracy": float}
"""What every row of the metrics has."""


class MetricsLog:
    """Appends rows to ``metrics.jsonl`` and the same numbers to TensorBoard."""

    def __init__(self, folder: RunFolder, start: int) -> None:
        folder.drop_rows_after(start)
        self._file = folder.metrics.open("a")
        self._folder, self._start = folder, start

    @cached_property
    def _events(self) -> Any:
        with _without_torch():  # not before the first step: it takes a while all the same
            from tensorboardX import SummaryWriter

        # flushed often, or a kill would lose its last two minutes
        return SummaryWriter(str(self._folder.tensorboard), purge_step=self._start + 1, flush_secs=10)

    def write(self, split: str, step: int, epoch: float, **values: float) -> None:
        """One row for one split at one step."""
        row = {
            "step": step,
            "epoch": round(epoch, 4),
            "split": split,
            **values,
            "time": round(time.time(), 3),
        }
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        if "_events" in self.__dict__:
            self._events.close()


@contextmanager
def _without_torch() -> Iterator[None]:
    """tensorboardX imports torch where it is, which takes seconds, and needs it for tensors alone."""
    if "torch" in sys.modules:
        yield
        return
    hidden: Any = None  # by which Python means that there is no such module
    sys.modules["torch"] = hidden
    try:
        yield
    finally:
        del sys.modules["torch"]


def environment(seed: int) -> dict[str, Any]:
    """What a result depends on besides its flags: versions of what is installed, device, commit, seed."""
    import jax

    device = jax.devices()[0]
    return {
        "seed": seed,
        "python": platform.python_version(),
        "packages": {"jaxcnn": jaxcnn.__version__} | _versions(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "git_commit": _git_commit(),
    }


def _versions() -> dict[str, str]:
    installed = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str:
    """The commit of this package's checkout, else of the working folder; marked where files were changed."""
    checkout = Path(__file__).parents[2]
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout if (checkout / ".git").exists() else None,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return run.stdout.strip() if run.returncode == 0 else "unknown"
