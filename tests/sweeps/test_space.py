"""The space: what a line means, what it reads back as, and one line for what is wrong with it."""

import dataclasses
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import folder, settings
from jaxcnn.sweeps.anchor import anchor
from jaxcnn.sweeps.launchers import _check_shared
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.space import Parameter, Space

LINES = st.one_of(
    st.floats(1e-9, 1).map(lambda low: f"learning_rate=log({low!r},{low * 10!r})"),
    st.floats(0, 0.5).map(lambda low: f"momentum=uniform({low!r},{low + 0.4!r})"),
    st.integers(1, 100).map(lambda low: f"batch_size=int({low},{low + 64},8)"),
    st.lists(st.text(min_size=1).filter(lambda w: w.strip() and "\n" not in w), min_size=2, unique=True).map(
        lambda words: f"model=choice({','.join(map(repr, words))})"
    ),
)


@given(LINES)
def test_a_line_reads_back(line):
    parameter = Parameter.parse(line)
    assert Parameter.parse(str(parameter)) == parameter


@given(st.lists(LINES, min_size=1, max_size=4, unique_by=lambda line: line.partition("=")[0]))
def test_a_space_round_trips_through_a_flagfile(tmp_path_factory, lines):
    sweep, base = Settings(search=Space.parse(lines).lines(), seeds=3), Config(seed=7)
    path = tmp_path_factory.mktemp("flags") / "x.flags"
    path.write_text(folder.flagfile(sweep, base))
    assert settings.parse(path) == (sweep, base)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("learning_rate", "expected NAME=RANGE"),
        ("leraning_rate=log(1e-3,1)", "--leraning_rate is no training flag; did you mean learning_rate"),
        ("learning_rate=lgo(1e-3,1)", "'lgo' is no kind of range; did you mean log?"),
        ("learning_rate=log(1,1e-3)", "upside down: expected log(0.001,1)"),
        ("learning_rate=log(0,1)", "the logarithm of 0 is not finite"),
        ("learning_rate=log(-1,1)", "the logarithm of -1 is not finite"),
        ("learning_rate=log(0.1,0.1)", "holds one value"),
        ("learning_rate=log(0.1)", "expected log(low,high)"),
        ("learning_rate=log(0.1,1e999)", "expected finite numbers"),
        ("learning_rate=log('a',1)", "expected numbers, and 'a' is not"),
        ("learning_rate=log(low=0.1,high=1)", "without names"),
        ("learning_rate=log(0.1,__import__('os'))", "is not a literal"),
        ("learning_rate=uniform(0,1)", "expected above 0, which 0 is not"),
        ("momentum=uniform(0.5,1)", "below 1, which 1 is not"),
        ("momentum=uniform(0,0.9,2)", "step 2: expected above 0 and at most 0.9"),
        ("batch_size=uniform(16,64)", "it takes whole numbers"),
        ("batch_size=int(16,64.5)", "expected whole numbers, and 64.5 is not"),
        ("batch_size=choice(16,32.5)", "expected whole numbers, and 32.5 is not"),
        ("model=log(1,2)", 'expected choice("a","b",...)'),
        ("model=choice(lenet5,resnet20)", "is not a literal"),
        ("model=choice('lenet5')", "two options or more"),
        ("model=choice('lenet5','lenet5')", "an option is there twice"),
        ("model=choice('lenet5',3)", "words in quotes, and 3 is not"),
        ("optimizer=choice('sgd',' ')", "expected a name, which ' ' is not"),
        ("seed=int(0,9)", "expected --seeds=3"),
        ("workdir=choice('a','b')", "does not change what is trained"),
        ("full=choice(0,1)", "--full leaves no validation split to judge candidates by"),
    ],
)
def test_mistakes_are_answered_in_one_line(line, expected):
    with pytest.raises(UserError) as caught:
        Parameter.parse(line)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("--search=")
    assert "\n" not in str(caught.value)


def test_an_empty_space_and_a_doubled_name():
    with pytest.raises(UserError, match="--search is missing"):
        Space.parse([])
    with pytest.raises(UserError, match="there are 2; expected one"):
        Space.parse(["momentum=choice(0,0.9)", "momentum=uniform(0,0.9)"])


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"sampler": "tep"}, "--sampler=tep: did you mean tpe?"),
        ({"pruner": "ahsa"}, "--pruner=ahsa: did you mean asha?"),
        ({"launcher": "slurm"}, "--launcher=slurm"),
        ({"lanes": "0"}, "--lanes=0: expected auto or a number above 0"),
        ({"lanes": "many"}, "--lanes=many"),
        ({"trials": 0}, "--trials=0: expected above 0"),
        ({"objective": "val_acuracy"}, "did you mean val_accuracy?"),
        ({"objective": "val_accuracy:up"}, "'up' is no direction"),
        ({"objective": "test_accuracy"}, "choosing by the test split spoils it"),
        ({"objective": "macs,macs"}, "macs is there twice"),
        ({"objective": "val_accuracy,macs", "pruner": "asha"}, "prunes by one objective"),
        ({"objective": "macs", "pruner": "median"}, "is not validated on the way"),
        ({"sampler": "grid", "search": ("learning_rate=log(1e-3,1)",)}, "no finite list of values"),
    ],
)
def test_wrong_settings(choices, expected):
    with pytest.raises(UserError) as caught:
        Settings(**{"search": ("momentum=choice(0,0.9)",), **choices})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_is_every_combination():
    space = Space.parse(["momentum=uniform(0,0.9,0.3)", "batch_size=int(16,48,16)", "model=choice('a','b')"])
    grid = space.grid()
    assert len(grid) == 4 * 3 * 2 == len({tuple(point.items()) for point in grid})
    assert {point["batch_size"] for point in grid} == {16, 32, 48}
    assert math.isclose(max(point["momentum"] for point in grid), 0.9)


def test_distributions_draw_what_the_field_holds():
    import optuna

    space = Space.parse(
        ["learning_rate=log(1e-3,1)", "epochs=int(1,9,4)", "batch_size=log(16,256)", "momentum=choice(0,0.9)"]
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    fields = {field.name: field.type for field in dataclasses.fields(Config)}
    for _ in range(30):
        drawn = study.ask(space.distributions()).params
        config = space.config(Config(), drawn)
        assert all(type(getattr(config, name)) is fields[name] for name in drawn)
        assert drawn["epochs"] in (1, 5, 9)
        assert 1e-3 <= drawn["learning_rate"] <= 1
        assert 16 <= drawn["batch_size"] <= 256


def test_relative_paths_are_those_of_the_folder_of_the_command(tmp_path, monkeypatch):
    (tmp_path / "sets" / "mine").mkdir(parents=True)
    (tmp_path / "sets" / "mine" / "dataset_info.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    search = ("init_from=choice('a.pth','/b.pth')", "dataset=choice('digits','sets/mine','./other')")
    asked = (
        Settings(search=search, storage="sqlite:///db/studies.db"),
        Config(workdir="runs/x", data_dir="~/d"),
    )
    settings_there, base = anchor(*asked)
    here, home = str(tmp_path), str(Path.home())
    assert settings_there.search == (
        f"init_from=choice('{here}/a.pth','/b.pth')",
        f"dataset=choice('digits','{here}/sets/mine','{here}/other')",
    )
    assert settings_there.storage == f"sqlite:///{here}/db/studies.db"
    assert (base.workdir, base.data_dir, base.init_from) == (f"{here}/runs/x", f"{home}/d", "")
    monkeypatch.chdir("/")
    assert anchor(settings_there, base) == (settings_there, base)


@pytest.mark.parametrize(
    "url", ["", "postgresql://me:p%40ss@host/db", "sqlite://", "sqlite:///:memory:", "?"]
)
def test_databases_that_are_no_files_stay_as_they_are(url):
    asked = Settings(search=("momentum=choice(0,0.9)",), storage=url)
    assert anchor(asked, Config())[0].storage == url


def test_one_sqlite_file_is_not_for_several_machines():
    _check_shared("postgresql://me@host/db", {"other"})
    _check_shared("sqlite:////shared/study.db", {os.uname().nodename})
    with pytest.raises(UserError, match="SQLite is for one machine, and the cluster has other too"):
        _check_shared("sqlite:////shared/study.db", {os.uname().nodename, "other"})
