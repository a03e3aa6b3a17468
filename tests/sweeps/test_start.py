"""Who may begin, join or change a sweep."""

import shutil
from dataclasses import replace

import pytest

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import results, start
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import Settings

SETTINGS = Settings(search=("learning_rate=log(1e-3,1)",), trials=4)


@pytest.fixture
def base(folder):
    return Config(workdir=str(folder.path), model="mlp")


def test_a_helper_shares_the_settings_and_has_its_machines_own(folder, base):
    with start.join(folder, SETTINGS, base) as (first, study):
        written = folder.flags.read_text()
        mine = replace(SETTINGS, lanes="3", launcher="none"), replace(base, data_dir="/sets")
        with start.join(folder, *mine) as (second, same):
            assert first != second
            assert same.id == study.id
            assert folder.at_work() == sorted([first, second])
        assert folder.flags.read_text() == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trials": 5}, "--trials: 4 -> 5"),
        ({"sampler": "random", "heartbeat": 5}, "--sampler: tpe -> random; --heartbeat: 10 -> 5"),
        ({"search": ("momentum=choice(0,0.9)",)}, r"--search: learning_rate=log\(1e-3,1\) -> momentum="),
        ({"storage": "postgresql://me:secret@host/db"}, r"--storage:  -> postgresql://me:\*\*\*@host/db"),
        ({"log_every": 7}, "--log_every: 50 -> 7"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_while_somebody_is_at_work(folder, base, change, said):
    jobs = {name: value for name, value in change.items() if name in Config.names()}
    other = replace(SETTINGS, **{n: v for n, v in change.items() if n not in jobs}), replace(base, **jobs)
    with start.join(folder, SETTINGS, base) as (name, _):
        written = folder.flags.read_text()
        with (
            pytest.raises(UserError, match=f"{name} is at work here with other settings .{said}") as caught,
            start.join(folder, *other),
        ):
            pass
        assert "\n" not in str(caught.value)
        assert folder.flags.read_text() == written
        assert folder.at_work() == [name]


def test_flags_that_are_no_text_are_one_line(folder, base, monkeypatch):
    with start.join(folder, SETTINGS, base):
        pass
    folder.flags.write_bytes(b"\x89PNG\r\n")
    monkeypatch.setattr(start, "check", lambda text: None)
    with pytest.raises(UserError, match=r"sweep\.flags cannot be read \(.* is no text"):
        start.start(replace(SETTINGS, launcher="none"), base)


def test_who_is_alone_may_change_what_is_no_result(folder, base):
    with start.join(folder, SETTINGS, base):
        pass
    more = replace(SETTINGS, trials=9)
    with start.join(folder, more, base) as (_, study):
        assert study.size == 9
    assert folder.read() == (more, base)


def test_a_folder_and_a_study_that_do_not_belong_together(folder, base, tmp_path):
    """The database was lost, or another is named: its candidates would meet the old ones' folders."""
    with start.join(folder, SETTINGS, base) as (_, study):
        folder.log(study.ask().number).parent.mkdir()
        written = folder.flags.read_text()
    elsewhere = replace(SETTINGS, storage=f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(UserError, match=r"has candidates that the study 'sweep' in sqlite:.* does not know"):
        start.begin(folder, elsewhere, base)
    assert folder.flags.read_text() == written


def test_a_study_keeps_its_name_in_a_folder_of_another(folder, base, tmp_path, monkeypatch):
    def ask(folder, settings, base):
        with start.join(folder, settings, base) as (_, study):
            known = len(study.trials())
            study.ask()
        return known

    monkeypatch.setattr(start, "check", lambda text: None)
    monkeypatch.setattr(start, "work", ask)
    alone = replace(SETTINGS, launcher="none")
    assert start.start(alone, base) == 0
    copy = SweepFolder(shutil.copytree(folder.path, tmp_path / "copy"))
    assert len(results.read(copy).candidates) == 1
    assert start.start(alone, replace(base, workdir=str(copy.path))) == 1
