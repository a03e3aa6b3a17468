"""Sweeps in scratch folders."""

import pytest

from jaxcnn.config import Config
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.storage import Storage
from jaxcnn.sweeps.study import Study
from tests.sweeps import processes


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    processes.end_all()


@pytest.fixture
def folder(tmp_path):
    return SweepFolder(tmp_path / "sweep")


@pytest.fixture
def open_study(folder):
    """A study of the folder, from one worker's side."""

    opened = []

    def open_study(worker="w", base=None, **choices):
        settings = Settings(**{"search": ("learning_rate=log(1e-3,1)",), "trials": 8, **choices})
        base = base or Config(workdir=str(folder.path), model="mlp")
        folder.write(settings, base)
        storage = Storage(folder.storage(settings))
        opened.append(storage)
        return Study(storage, folder.study(settings), settings, base, worker=worker, lives=folder.lives)

    yield open_study
    for storage in opened:
        storage.close()
