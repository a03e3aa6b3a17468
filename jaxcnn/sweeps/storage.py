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
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from jaxcnn.engine.progress import duration
from jaxcnn.errors import UserError

Answer = TypeVar("Answer")
LONGEST_PAUSE = 10.0  # seconds between tries while a database does not answer
REMIND = 1800.0  # seconds between words about one that still does not
GRACE = 3.0  # seconds of further tries for one who has been asked to stop

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Unreachable(UserError):
    """The database does not answer."""


class Storage:
    """A database of studies, opened.

    Args:
      url: as Optuna and SQLAlchemy write it; SQLite, PostgreSQL or MySQL.

    Raises:
      UserError: it cannot be opened; says why. :class:`Unreachable` where another try may do.
    """

    def __init__(self, url: str) -> None:
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
            options: dict[str, Any]
            if kind == "sqlite":
                Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
                options = {"connect_args": {"timeout": 60}}
                self._lock = _file_lock(f"{parsed.database}.lock")
            else:
                noticing = NOTICE if parsed.get_driver_name() in ("psycopg", "psycopg2") else {}
                chosen = {name: value for name, value in noticing.items() if name not in parsed.query}
                options = {"pool_pre_ping": True, "connect_args": chosen}
                self._lock = _Session(sqlalchemy.create_engine(url, **options), LOCKS[kind])
            with self.exclusive(), quietly():
                self.optuna = RDBStorage(url, options)
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
            raise Unreachable(f"--storage={self.name} cannot be reached: {_line(error)}") from error

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


def patiently(
    call: Callable[[], Answer],
    name: str,
    say: Callable[[str], None] = print,
    stop: Callable[[], bool] = lambda: False,
) -> Answer:
    """Call again and again while a database does not answer, however long; ``call`` must bear a second time.

    Args:
      call: what needs the database.
      name: of the database, as people know it.
      say: told, in a line, when it does not answer, seldom again while it does not, and when it does.
      stop: asked meanwhile; once true, it is tried for :data:`GRACE` seconds more.

    Raises:
      Unreachable: it did not answer before ``stop()``.
    """
    begun, told, stopped, pause = time.monotonic(), None, None, 0.1
    while True:
        try:
            answer = call()
        except (StorageInternalError, SQLAlchemyError, Unreachable) as error:
            if not _is_away(error):
                raise
            now = time.monotonic()
            if stop():
                stopped = stopped or now
                if now - stopped >= GRACE:
                    raise Unreachable(f"--storage={name} does not answer: {_line(error)}") from error
            if told is None or now - told >= REMIND:
                how = "does not answer" if told is None else f"has not answered for {duration(now - begun)}"
                say(f"{name} {how} ({_line(error)}); waiting for it")
                told = now
            pause = min(2 * pause, LONGEST_PAUSE)
            until = now + (GRACE / 4 if stopped else pause)
            while time.monotonic() < until and (stopped or not stop()):
                time.sleep(0.1)
        else:
            if told is not None:
                say(f"{name} answers again")
            return answer


AWAY = (OperationalError, InterfaceError, InternalError, PendingRollbackError)
"""What is raised when a connection is lost; the last one where Optuna goes on after the first."""


def _is_away(error: BaseException) -> bool:
    """Whether another try may do; a statement that a database refuses stays refused."""
    while isinstance(error, StorageInternalError | Unreachable) and error.__cause__ is not None:
        error = error.__cause__
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, AWAY)


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
        yield


NOTICE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's words for noticing within a minute, not after a quarter hour, that a server is out of reach."""


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
