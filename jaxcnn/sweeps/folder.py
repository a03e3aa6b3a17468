"""What a sweep leaves on disk."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from absl import flags

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.files import write_atomically
from jaxcnn.sweeps import settings as sweep_settings
from jaxcnn.sweeps.settings import Settings


class SweepFolder:
    """The files of one sweep, by name.

    Attributes:
      flags: the sweep, exactly; what its workers read.
      trials: a folder for each candidate, with a run folder for each seed.
      workers: what each worker process says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flags = path / "sweep.flags"
        self.trials = path / "trials"
        self.workers = path / "workers"
        self.report = path / "report.html"
        self.table = path / "trials.csv"

    def log(self, number: int) -> Path:
        """What happened to a candidate."""
        return self.trials / f"{number:04}" / "log.txt"

    def runs(self, number: int, base: Config, seeds: int) -> dict[int, Path]:
        """A candidate's run folders by seed; every candidate has the same seeds."""
        return {
            seed: self.trials / f"{number:04}" / f"seed{seed}" for seed in range(base.seed, base.seed + seeds)
        }

    def set_aside(self, number: int) -> Path | None:
        """Make way for a candidate that was never begun; the new name of what was there, if anything was."""
        before = self.trials / f"{number:04}"
        if not before.exists():
            return None
        return before.rename(self.trials / f"forgotten-{number:04}-{os.urandom(3).hex()}")

    def storage(self, settings: Settings) -> str:
        """The database's address."""
        return settings.storage or f"sqlite:///{(self.path / 'study.db').absolute()}"

    def study(self, settings: Settings) -> str:
        """The study's name; that in the flags stays, whatever the folder is called later."""
        kept = self.read()[0].study if self.flags.is_file() else ""
        return settings.study or kept or self.path.absolute().name

    def is_new(self) -> bool:
        """Whether no sweep was started here.

        Raises:
          UserError: a file is in the way, or the folder holds other things.
        """
        taken = next((place for place in (self.path, *self.path.parents) if place.exists()), None)
        at = f"--workdir={self.path}"
        if taken and not taken.is_dir():
            raise UserError(f"{at}: the file {taken} is in the way; use another --workdir")
        if not self.path.exists():
            return True
        others = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith(BEGUN))
        if others and not self.flags.exists():
            raise UserError(
                f"{at} is no sweep folder and not empty (it holds {others[0]}); use another --workdir"
            )
        return not self.flags.exists()

    def write(self, settings: Settings, base: Config) -> None:
        """Keep the sweep's flags, making the folder when it is new."""
        for folder in (self.path, self.trials, self.workers):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.flags, flagfile(settings, base))

    def read(self) -> tuple[Settings, Config]:
        """The sweep that was started here.

        Raises:
          UserError: this is no sweep folder, or its flags were changed into something that is none.
        """
        if not self.flags.is_file():
            raise UserError(f"{self.path} is no sweep folder: it has no {self.flags.name}")
        try:
            return sweep_settings.parse(self.flags)
        except (UserError, flags.Error, OSError) as error:
            raise UserError(f"{self.flags} cannot be read ({error})") from error

    @contextmanager
    def presence(self, worker: str) -> Iterator[None]:
        """Show that a worker's process lives: by a lock that ends with it, in a file that an error leaves."""
        self.workers.mkdir(parents=True, exist_ok=True)
        path = self.workers / f"{worker}.lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            path.unlink(missing_ok=True)

    def lives(self, worker: str) -> bool | None:
        """Whether a worker's process lives; None where that cannot be told from here."""
        try:
            with (self.workers / f"{worker}.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # it left in order, or this file system has no locks
            return None
        return False if worker.rsplit("-", 2)[0] == _host() else None  # others' locks may not be seen here

    def at_work(self) -> list[str]:
        """The workers and the parent, where their processes live as far as that can be told from here."""
        names = sorted(path.stem for path in self.workers.glob("*.lock"))
        return [name for name in names if self.lives(name)]

    def _open(self, name: str) -> TextIO:
        """A file in the folder, which is made when it is new, to be locked.

        Raises:
          UserError: the folder cannot be made, or not be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / name).open("w")
        except OSError as error:
            raise UserError(
                f"--workdir={self.path} cannot be written ({error.strerror}); use another"
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else begin here meanwhile."""
        with self._open(f"{LOCK}.begin") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Be the only one who starts workers here; the lock ends with the process, however it ends."""
        with self._open(LOCK) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"--workdir={self.path}: this sweep is under way in another process; to add a worker "
                    "to it use --launcher=none"
                ) from error
            yield


LOCK = ".lock"
PARENT = "-parent-"  # in the name of who starts workers and is none

BEGUN = (LOCK, ".sweep.flags.", "study.db", "trials", "workers")
"""What a start that was cut short may leave, before the flags are there."""


def flagfile(settings: Settings, base: Config) -> str:
    """A sweep and its job as a flagfile."""
    lines = ["# jaxcnn sweep: python -m jaxcnn.sweep --flagfile=<this file>", ""]
    job = base.to_flagfile().partition("\n\n")[2]
    return "\n".join(lines) + replace(settings, append=False).to_flagfile() + "\n" + job


def worker_name(of: int) -> str:
    """A name that no other worker has or had, and that says where it runs."""
    return f"{_host()}-{of}-{os.urandom(3).hex()}"


def parent_name() -> str:
    """A name like a worker's for who starts them."""
    return f"{_host()}{PARENT}{os.urandom(3).hex()}"


def _host() -> str:
    return os.uname().nodename.partition(".")[0]
