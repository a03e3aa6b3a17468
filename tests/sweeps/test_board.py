"""What the parent of a sweep shows."""

import io
import random
import re
import time

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from jaxcnn.sweeps.board import Board, best, objectives


def frozen(number: int, values: list[float]) -> FrozenTrial:
    """A complete candidate."""
    trial = create_trial(state=TrialState.COMPLETE, values=values)
    trial.number = number
    return trial


@pytest.fixture
def study(open_study):
    """Of eight candidates two are complete, one has failed, one runs."""
    study = open_study(sampler="random")
    study.complete(study.ask(), [0.5], {})
    study.fail(study.ask(), "the loss is nan")
    study.complete(study.ask(), [0.75], {})
    study.report(study.ask(), 25, 0.25)
    return study


def test_without_a_terminal_each_end_is_a_line(folder, study, capsys):
    board = Board(folder, study, Console(file=io.StringIO(), force_terminal=False))
    with board:
        board.update([], 2)
        for _ in range(2):
            board.update(study.trials(), 2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("1/8 · candidate 0 val_accuracy 0.5 · learning_rate=")
    assert lines[0].endswith(" left")
    assert f"candidate 1 FAILED: the loss is nan · log {folder.log(1)}" in lines[1]
    board.update([*study.trials()], 2)
    assert capsys.readouterr().out == ""


def test_what_had_ended_before_is_not_told_again(folder, study, capsys):
    board = Board(folder, study, Console(file=io.StringIO(), force_terminal=False))
    board.update(study.trials(), 1)
    assert capsys.readouterr().out == "going on after 3 of 8 candidates\n"


def test_a_terminal_shows_the_best_and_the_running(folder, study):
    screen = io.StringIO()
    with Board(folder, study, Console(file=screen, force_terminal=True, width=120)) as board:
        board.update([], 2)
        board.update(study.trials(), 2)
    shown = screen.getvalue()
    assert "3/8 · 2 complete · 1 running · 1 failed · 2 workers" in shown
    table = shown[shown.rindex("3/8") :]
    assert table.index("0.75") < table.index("0.5 ") < table.index("25%")
    assert "FAILED: the loss is nan" in shown


@pytest.mark.parametrize("width", [80, 120])
def test_long_values_leave_the_other_columns_whole(folder, open_study, width):
    models = tuple(f"resnet8(num_filters={n},{' ' * 60}norm='group')" for n in (4, 8))
    study = open_study(sampler="random", search=("learning_rate=log(1e-3,1)", f"model=choice{models}"))
    study.complete(study.ask(), [0.98765], {})
    study.report(study.ask(), 25, 0.25)
    screen = io.StringIO()
    with Board(folder, study, Console(file=screen, force_terminal=True, width=width)) as board:
        board.update(study.trials(), 2)
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue())
    head, best_row, running = shown[shown.rindex("1/8") :].splitlines()[1:4]
    assert re.findall("candidate|val_accuracy", head) == ["candidate", "val_accuracy"]
    assert re.match(r"0 +best +0\.98765 +learning_rate=.*…", best_row)
    assert re.match(r"1 +25% +0\.25 +learning_rate=.*…", running)


def test_the_best_of_several_objectives_are_those_that_none_beats(open_study):
    study = open_study(objective="val_accuracy,macs", sampler="random")
    for values in ([0.9, 100.0], [0.8, 50.0], [0.8, 60.0], [0.95, 500.0], [0.7, 50.0]):
        study.complete(study.ask(), values, {})
    found = best({"val_accuracy": "max", "macs": "min"}, study.trials())
    assert [trial.number for trial in found] == [3, 0, 1]


@pytest.mark.parametrize("objectives", [{"a": "max", "b": "min"}, {"a": "min", "b": "min", "c": "max"}])
def test_the_front_is_what_comparing_all_pairs_finds(objectives):
    rng = random.Random(0)
    values = [[float(rng.randint(0, 9)) for _ in objectives] for _ in range(200)]
    trials = [frozen(number, one) for number, one in enumerate(values)]
    signs = [1 if way == "max" else -1 for way in objectives.values()]

    def beats(one, other):
        pairs = [(sign * a, sign * b) for sign, a, b in zip(signs, one, other, strict=True)]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    front = [i for i, one in enumerate(values) if not any(beats(other, one) for other in values)]
    assert sorted(trial.number for trial in best(objectives, trials)) == front


def test_the_parent_finds_a_long_front_in_time():
    """It looks twice a second, and a front may hold all of a thousand candidates."""
    trials = [frozen(number, [number / 1000, float(number)]) for number in range(1000)]
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        assert len(best({"val_accuracy": "max", "macs": "min"}, trials)) == 1000
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.5


def test_counts_are_told_whole(open_study):
    study = open_study(objective="val_accuracy,macs", sampler="random")
    study.complete(study.ask(), [0.912345, 416_520.0], {})
    assert objectives(study.settings, study.trials()[0]) == "val_accuracy 0.91234, macs 416,520"
