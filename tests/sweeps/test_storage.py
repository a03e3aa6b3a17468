"""The database: one line for what is wrong with it, and a sweep on PostgreSQL whose connections are cut."""

import getpass
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import storage
from jaxcnn.sweeps.folder import worker_name
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.storage import GRACE, LONGEST_PAUSE, Storage, Unreachable, patiently
from tests.sweeps.processes import (
    SPACE,
    check_every_candidate_ended_once,
    finish,
    read_trials,
    start_worker,
    wait_for,
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "Could not parse"),
        ("sqlite://", "only this process would see it"),
        ("sqlite:////proc/no/study.db", "cannot be reached"),
        ("oracle://host/db", "expected sqlite, postgresql or mysql"),
        ("postgresql+nodriver://host/db", "nodriver"),
        ("mysql+mysqldb://me:secret@host/db", "its driver is not installed"),
        ("postgresql://me:secret@127.0.0.1:1/db?connect_timeout=2", "cannot be reached"),
    ],
)
def test_a_database_that_does_not_do_is_answered_in_one_line(url, expected):
    with pytest.raises(UserError) as caught:
        Storage(url)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("--storage=")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database" * 100)
    with pytest.raises(UserError, match="cannot be reached: file is not a database"):
        Storage(f"sqlite:///{tmp_path / 'notes.txt'}")


def gone(text="gone"):
    error = sqlalchemy.exc.OperationalError("SELECT", None, RuntimeError(text))
    error.__cause__ = RuntimeError(text)  # as SQLAlchemy has the driver's
    return error


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when somebody sleeps."""
    now = [0.0]
    sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)  # noqa: E731
    monkeypatch.setattr(storage, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return now


def test_a_database_that_is_away_is_waited_for_and_seldom_talked_about(clock):
    said = []

    def answer():
        if clock[0] < 2.5 * 3600:
            raise gone()
        return 42

    assert patiently(answer, "the database", said.append) == 42
    assert clock[0] < 2.5 * 3600 + LONGEST_PAUSE + 0.2
    assert said[0] == "the database does not answer (gone); waiting for it"
    assert re.fullmatch(r"the database has not answered for 30 min \d\d s \(gone\); waiting for it", said[1])
    assert said[-1] == "the database answers again"
    assert len(said) == 6


def test_who_is_asked_to_stop_does_not_wait_for_the_database(clock):
    with pytest.raises(Unreachable, match="--storage=the database does not answer: gone"):
        patiently(lambda: (_ for _ in ()).throw(gone()), "the database", print, lambda: clock[0] > 100)
    assert 100 < clock[0] < 100 + 2 * GRACE


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.DataError("INSERT", None, RuntimeError("value too long")),
        sqlalchemy.exc.DatabaseError("SELECT", None, RuntimeError("file is not a database")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_database_refuses_is_not_tried_again(error, clock):
    with pytest.raises(type(error)):
        patiently(lambda: (_ for _ in ()).throw(error), "the database")
    assert clock[0] == 0


def server_program(name):
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed")
    return found


@pytest.fixture
def postgres():
    """A PostgreSQL server of our own."""
    initdb, control = server_program("initdb"), server_program("pg_ctl")
    scratch = tempfile.TemporaryDirectory()  # not below pytest's own, which is closed to other users
    data, user, prefix = Path(scratch.name) / "postgres", getpass.getuser(), []
    data.mkdir()
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data.parent.chmod(0o711)
        shutil.chown(data, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command):
        subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")

    run(initdb, "-D", str(data), "-A", "trust", "-U", user, "-N")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"

    class Server:
        url = f"postgresql://{user}@127.0.0.1:{port}/postgres"

        def start(self):
            run(control, "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")

        def stop(self):
            run(control, "-D", str(data), "-w", "-m", "immediate", "stop")

    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        scratch.cleanup()


@pytest.mark.slow
def test_two_processes_share_a_study_on_postgresql_whatever_happens_to_it(folder, postgres):
    """Connections are cut, then the server goes down; one of the workers has to leave meanwhile."""
    settings = Settings(search=(SPACE,), trials=12, storage=postgres.url, lanes="2", heartbeat=1)
    folder.write(settings, Config(workdir=str(folder.path), model="mlp"))
    names = [worker_name(number) for number in range(2)]
    workers = [start_worker(folder, name, seconds=0.1) for name in names]
    wait_for(lambda: ended(folder) >= 2)
    engine = sqlalchemy.create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text(cut)).scalar() >= 2
    engine.dispose()
    wait_for(lambda: ended(folder) >= 5)
    postgres.stop()
    workers[0].send_signal(signal.SIGTERM)
    assert workers[0].wait() == 1
    assert f"error: --storage={postgres.url} does not answer: " in workers[0].stdout.read()
    postgres.start()
    said = finish(workers[1])
    assert re.search("does not answer (.*); waiting for it", said)
    assert f"{postgres.url} answers again" in said
    check_every_candidate_ended_once(folder, 12)
    logs = "".join(folder.log(number).read_text() for number in range(12))
    assert all(f"taken by {name}" in logs for name in names)


def ended(folder):
    return sum(trial.state.is_finished() for trial in read_trials(folder))


def test_two_processes_share_a_study_on_sqlite(folder):
    settings = Settings(search=(SPACE,), trials=10, seeds=2, lanes="2")
    folder.write(settings, Config(workdir=str(folder.path), model="mlp"))
    workers = [start_worker(folder, name) for name in ("one", "two")]
    for worker in workers:
        finish(worker)
    check_every_candidate_ended_once(folder, 10)
