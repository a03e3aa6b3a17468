"""Optuna's database: mistakes in one line, patience with its absences, a lock that dies with its holder."""

import fcntl
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from jaxcnn.errors import UserError

Answer = TypeVar("Answer")
PATIENCE = 600.0  # seconds that a database which answered before may be away
MISSED_BEATS = 12  # after so many heartbeats a worker counts as dead

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Storage:
    """A database of studies, opened.

    Args:
      url: as Optuna and SQLAlchemy write it; SQLite, PostgreSQL or MySQL.
      heartbeat: seconds between signs of life of a trial's worker.

    Raises:
      UserError: it cannot be opened; says why.
    """

    def __init__(self, url: str, heartbeat: int = 10) -> None:
        self.name = shown(url)
        try:
            parsed = sqlalchemy.make_url(url)
            kind = parsed.get_backend_name()
            if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
                raise UserError(
                    f"--storage={self.name}: only this process would see it; expected sqlite:///FILE"
                )
            if kind not in LOCKS and kind != "sqlite":
                expected = "sqlite, postgresql or mysql"
                raise UserError(f"--storage={self.name}: {kind} is not supported; expected {expected}")
            options: dict[str, Any] = {"pool_pre_ping": True}
            if kind == "sqlite":
                Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
                options = {"connect_args": {"timeout": 60}}
            self._lock = (
                _file_lock(f"{parsed.database}.lock")
                if kind == "sqlite"
                else _Session(sqlalchemy.create_engine(url, pool_pre_ping=True), LOCKS[kind])
            )
            with self.exclusive(), quietly():
                self.optuna = RDBStorage(
                    url, options, heartbeat_interval=heartbeat, grace_period=MISSED_BEATS * heartbeat
                )
            if kind == "sqlite":
                sqlalchemy.event.listen(self.optuna.engine, "connect", _write_ahead)
                self.optuna.engine.dispose()
        except UserError:
            raise
        except (ArgumentError, NoSuchModuleError, ValueError) as error:  # a port that is no number, say
            expected = "e.g. sqlite:///FILE or postgresql://user@host/database"
            raise UserError(f"--storage={self.name}: {_line(error)}; expected {expected}") from error
        except ImportError as error:
            raise UserError(f"--storage={self.name}: its driver is not installed ({_line(error)})") from error
        except (StorageInternalError, DBAPIError, OSError) as error:
            raise UserError(f"--storage={self.name} cannot be reached: {_line(error)}") from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock that everyone who works on this database's studies takes.

        The database, or the system, frees it when its holder dies.
        """
        with self._lock():
            yield

    def close(self) -> None:
        """Close the connections; those that are needed again are opened again."""
        self.optuna.scoped_session.remove()
        self.optuna.engine.dispose()
        if isinstance(self._lock, _Session):
            self._lock.close()

    def patiently(self, call: Callable[[], Answer], say: Callable[[str], None] = print) -> Answer:
        """Call again and again while the database does not answer; ``call`` must bear a second time.

        Raises:
          UserError: it has been away for :data:`PATIENCE`.
        """
        begun, pause = time.monotonic(), 0.2
        while True:
            try:
                return call()
            except (StorageInternalError, DBAPIError) as error:
                if time.monotonic() - begun > PATIENCE:
                    raise UserError(
                        f"--storage={self.name} has not answered for {PATIENCE:.0f} s ({_line(error)}); "
                        "the same command goes on once it does"
                    ) from error
                if pause == 0.2:
                    say(f"{self.name} does not answer ({_line(error)}); trying again")
                time.sleep(pause)
                pause = min(2 * pause, 10.0)


def shown(url: str) -> str:
    """A database's address without its password.

    >>> shown("postgresql://me:secret@host/studies")
    'postgresql://me:***@host/studies'
    """
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # a port that is no number
        return url


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out Optuna's notes on what it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield


class _Session:
    """A lock of a database server, held by a connection and freed with it."""

    def __init__(self, engine: sqlalchemy.Engine, words: tuple[str, str]) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._take, self._free = map(sqlalchemy.text, words)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._engine.connect() as connection:
            connection.execute(self._take)
            try:
                yield
            finally:
                if not connection.invalidated:
                    with suppress(DBAPIError):  # where the connection is gone, the lock went with it
                        connection.execute(self._free)


LOCKS = {
    "postgresql": ("SELECT pg_advisory_lock(5274652)", "SELECT pg_advisory_unlock(5274652)"),
    "mysql": ("SELECT GET_LOCK('jaxcnn', -1)", "SELECT RELEASE_LOCK('jaxcnn')"),
}


def _file_lock(path: str) -> Callable[[], Any]:
    @contextmanager
    def lock() -> Iterator[None]:
        with Path(path).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    return lock


def _write_ahead(connection: Any, record: Any) -> None:
    """Readers and one writer at a time, without waiting for the disk at every commit.

    A machine that goes down may forget the last moments, never more: their trials are taken up again.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _line(error: BaseException) -> str:
    """The cause of an error, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
