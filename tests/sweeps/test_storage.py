"""The database: one line for what is wrong with it, and a sweep on PostgreSQL whose connections are cut."""

import getpass
import glob
import os
import shutil
import socket
import subprocess

import pytest
import sqlalchemy

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.storage import Storage
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


def test_what_fails_for_a_while_is_tried_again(tmp_path):
    storage = Storage(f"sqlite:///{tmp_path / 'study.db'}")
    tries, said = [], []

    def answer():
        tries.append(1)
        if len(tries) < 3:
            raise sqlalchemy.exc.OperationalError("SELECT", None, RuntimeError("gone"))
        return 42

    assert storage.patiently(answer, said.append) == 42
    assert len(said) == 1
    assert "gone); trying again" in said[0]


def server_program(name):
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed")
    return found


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL server of our own; its address."""
    initdb, control = server_program("initdb"), server_program("pg_ctl")
    data, user = tmp_path / "postgres", getpass.getuser()
    prefix = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 1:
                parent.chmod(parent.stat().st_mode | 0o11)
    data.mkdir()
    if prefix:
        shutil.chown(data, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command):
        subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")

    run(initdb, "-D", str(data), "-A", "trust", "-U", user, "-N")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
    run(control, "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        yield f"postgresql://{user}@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-D", str(data), "-w", "-m", "immediate", "stop")


def test_two_processes_share_a_study_on_postgresql_and_bear_cut_connections(folder, postgres):
    settings = Settings(search=(SPACE,), trials=10, storage=postgres, sampler="tpe", lanes="2")
    folder.write(settings, Config(workdir=str(folder.path), model="mlp"))
    workers = [start_worker(folder, name, seconds=0.1) for name in ("one", "two")]
    engine = sqlalchemy.create_engine(postgres, isolation_level="AUTOCOMMIT")
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    for ended in (2, 5):
        wait_for(lambda n=ended: sum(t.state.is_finished() for t in read_trials(folder)) >= n)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text(cut)).scalar() >= 2
    engine.dispose()
    for worker in workers:
        finish(worker)
    check_every_candidate_ended_once(folder, 10)
    logs = [folder.log(number).read_text() for number in range(10)]
    assert {name for log in logs for name in ("one", "two") if f"taken by {name}" in log} == {"one", "two"}


def test_two_processes_share_a_study_on_sqlite(folder):
    settings = Settings(search=(SPACE,), trials=10, seeds=2, lanes="2")
    folder.write(settings, Config(workdir=str(folder.path), model="mlp"))
    workers = [start_worker(folder, name) for name in ("one", "two")]
    for worker in workers:
        finish(worker)
    check_every_candidate_ended_once(folder, 10)
