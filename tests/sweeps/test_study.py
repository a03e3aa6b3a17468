"""The study: every candidate ends exactly once, whoever asks, dies or comes back."""

import math
import statistics
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.trial import TrialState

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps.folder import worker_name
from jaxcnn.sweeps.pulse import LOOKS
from jaxcnn.sweeps.settings import SAMPLERS
from jaxcnn.sweeps.study import DEATHS, REASON, Lost

BOTH = ("learning_rate=log(1e-3,1)", "model=choice('mlp','lenet5')")


def states(study):
    return Counter(trial.state.name for trial in study.trials())


def work_off(study):
    """Complete every candidate, judged by its learning rate."""
    drawn = []
    while trial := study.ask():
        drawn.append(trial.params)
        study.complete(trial, [trial.params["learning_rate"]], {})
    return drawn


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_every_sampler_draws_as_many_candidates_as_were_asked_for(open_study, sampler):
    space = ("batch_size=choice(16,32,64)", "learning_rate=choice(0.01,0.1,0.2)", "momentum=int(0,0)")
    space = space[:2] if sampler == "grid" else BOTH
    study = open_study(sampler=sampler, search=space, trials=12)
    drawn = work_off(study)
    assert study.over()
    if sampler == "grid":
        assert len(drawn) == 9 == len({tuple(point.values()) for point in drawn})
    else:
        assert len(drawn) == 12
        assert {point["model"] for point in drawn} == {"mlp", "lenet5"}
        assert len({point["learning_rate"] for point in drawn}) >= 10


def test_gp_draws_where_torch_is_installed(open_study):
    pytest.importorskip("torch")
    assert len(work_off(open_study(sampler="gp", trials=12))) == 12


def test_a_missing_package_is_named(open_study, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--sampler=cmaes needs cmaes: pip install cmaes"):
        open_study(sampler="cmaes")


def test_the_search_finds_what_random_numbers_do_not(open_study):
    """The best is at 10^-1; of random candidates, even over 10^-3 to 1, half are within 10^±0.75 of it."""
    study = open_study(trials=40, objective="val_loss")
    distances = []
    while trial := study.ask():
        distances.append(abs(math.log10(trial.params["learning_rate"]) + 1))
        study.complete(trial, [distances[-1]], {})
    assert statistics.median(distances[20:]) < 0.5


def test_the_same_seed_draws_the_same_candidates_whoever_asks(open_study, tmp_path):
    def draw(number, workers):
        choices = {"sampler": "random", "storage": f"sqlite:///{tmp_path}/{number}.db"}
        studies = [open_study(worker=name, **choices) for name in workers]
        return [studies[i % len(studies)].ask().params for i in range(8)]

    assert draw(0, "a") == draw(1, "bc")


def test_many_workers_ask_for_each_candidate_once(open_study):
    studies, numbers = [open_study(worker=name, trials=30) for name in "abc"], []

    def work(study):
        while trial := study.ask():
            numbers.append(trial.number)
            study.complete(trial, [0.5], {})

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, studies))
    assert sorted(numbers) == list(range(30))


def test_what_a_worker_gives_back_is_taken_up_under_its_number(open_study):
    first, second = open_study("first"), open_study("second")
    trial = first.ask()
    first.report(trial, 25, 0.7)
    first.give_back()
    again = second.ask()
    assert (again.number, again.params) == (trial.number, trial.params)
    assert second.trials()[0].intermediate_values == {25: 0.7}
    second.complete(again, [0.9], {})
    assert states(second) == {"COMPLETE": 1}


def test_a_dead_workers_candidates_go_on(open_study):
    dead, other = open_study("dead"), open_study("other")
    lost = [dead.ask().number for _ in range(3)]
    other.take_back(["dead"])
    assert [other.ask().number for _ in range(3)] == lost
    assert other.ask().number == 3


def test_a_silent_workers_candidates_go_on_and_it_learns_that_they_are_lost(open_study):
    silent, other = open_study("silent"), open_study("other")
    trial = silent.ask()
    for _ in range(LOOKS + 1):
        other.beat()
    again = other.ask()
    assert again.number == trial.number
    with pytest.raises(Lost, match="candidate 0 is other's now"):
        silent.report(trial, 50, 0.1)
    with pytest.raises(Lost, match="candidate 0 is other's now"):
        silent.complete(trial, [0.1], {})
    silent.give_back()
    other.complete(again, [0.9], {})
    assert other.trials()[0].values == [0.9]
    assert not other.trials()[0].intermediate_values


def test_after_a_common_silence_nobody_takes_what_another_has(open_study):
    """Two workers on a laptop that sleeps at night, whatever its clock says: the first to wake is patient."""
    early, late = open_study("early"), open_study("late")
    mine = late.ask()
    for _ in range(LOOKS - 1):  # of this night, or of several
        early.beat()
    late.beat()
    for _ in range(LOOKS):
        early.beat()
    assert early.ask().number == 1
    assert not late.report(mine, 50, 0.5)


def test_who_is_given_up_wrongly_goes_on_unless_another_was_quicker(open_study):
    living, other = open_study("living"), open_study("other")
    kept, taken = living.ask(), living.ask()
    other.take_back(["living"])
    assert states(other) == {"WAITING": 2}
    assert not living.report(taken, 25, 0.5)
    assert other.ask().number == kept.number  # the first that waits
    with pytest.raises(Lost):
        living.report(kept, 25, 0.5)
    living.complete(taken, [0.7], {})
    assert states(other) == {"RUNNING": 1, "COMPLETE": 1}


def test_what_a_process_here_shows_counts_for_more_than_silence(open_study, folder):
    asking, dead = open_study("asking"), worker_name(0)
    folder.write(asking.settings, asking.base)
    with folder.presence(dead):
        number = open_study(dead).ask().number
        for _ in range(LOOKS + 1):
            asking.beat()
        asking.take_back([dead])
        assert states(asking) == {"RUNNING": 1}
    (folder.workers / f"{dead}.lock").write_text("")  # as one leaves it who is killed
    assert asking.ask().number == number


def test_a_worker_that_dies_while_it_draws_leaves_nothing_behind(open_study, monkeypatch):
    study, other = open_study("dead"), open_study("other")
    monkeypatch.setattr(optuna.Trial, "set_user_attr", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study.ask()
    monkeypatch.undo()
    assert states(other) == {"RUNNING": 1}
    assert [other.ask().number, other.ask().number] == [0, 1]


def test_a_candidate_that_kills_its_workers_fails(open_study):
    for death in range(DEATHS):
        study = open_study(f"w{death}", trials=1)
        assert study.ask().number == 0
        study.take_back([f"w{death}"])
    assert study.ask() is None
    assert study.over()
    assert f"{DEATHS} workers died of it" in study.trials()[0].user_attrs[REASON]


def test_a_candidate_that_gets_on_between_deaths_does_not_fail(open_study):
    for death in range(2 * DEATHS):
        study = open_study(f"w{death}", trials=1)
        study.report(study.ask(), 10 * (death + 1), 0.5)
        study.take_back([f"w{death}"])
    assert states(study) == {"WAITING": 1}


def test_too_many_failures_end_the_sweep(open_study):
    study = open_study(max_failures=2, trials=20)
    for _ in range(3):
        assert not study.over()
        study.fail(study.ask(), "the loss is nan")
    assert study.over()
    assert study.ask() is None
    assert [trial.user_attrs[REASON] for trial in study.trials()] == ["the loss is nan"] * 3


def test_an_objective_that_is_no_number_is_a_failure(open_study):
    study = open_study()
    study.complete(study.ask(), [float("nan")], {})
    assert states(study) == {"FAIL": 1}
    assert "val_accuracy:max is nan" in study.trials()[0].user_attrs[REASON]


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_halving_ends_bad_candidates_and_keeps_the_best(open_study, pruner):
    study = open_study(pruner=pruner, trials=16)
    trials = {value: study.ask() for value in range(16, 0, -1)}  # the best first: who comes first is kept
    for percent in (6, 25, 50):
        for value, trial in list(trials.items()):
            if study.report(trial, percent, value / 16):
                study.prune(trial)
                del trials[value]
    assert 16 in trials
    assert len(trials) <= 10
    assert sum(trials) / len(trials) > 8.5


def test_the_median_pruner_ends_what_is_below_the_median(open_study):
    study = open_study(pruner="median", trials=9)
    for i in range(6):
        trial = study.ask()
        assert not study.report(trial, 50, i / 10)
        study.complete(trial, [i / 10], {})
    assert study.report(study.ask(), 50, 0.1)
    assert not study.report(study.ask(), 50, 0.4)


def test_several_objectives(open_study):
    study = open_study(objective="val_accuracy,macs:min", sampler="nsga2")
    study.complete(study.ask(), [0.9, 1000.0], {"val_accuracy": [0.9]})
    assert study.trials()[0].values == [0.9, 1000.0]


def test_another_job_is_refused_naming_what_changed(open_study):
    work_off(open_study(trials=2))
    with pytest.raises(UserError, match="--seeds: 1 -> 3"):
        open_study(seeds=3)
    with pytest.raises(UserError, match=r"--epochs: 10.0 -> 2.0"):
        open_study(base=Config(model="mlp", epochs=2.0))
    with pytest.raises(UserError, match="--objective: val_accuracy:max -> val_loss:min"):
        open_study(objective="val_loss")
    study = open_study(trials=4, sampler="random", pruner="asha", max_failures=3, lanes="2")
    assert len(work_off(study)) == 2


def test_another_space_is_refused_or_appended(open_study):
    study = open_study(trials=3, search=("learning_rate=log(0.01,0.1)", "model=choice('mlp','lenet5')"))
    work_off(study)
    wider = (
        "learning_rate=log(0.001,1)",
        "momentum=uniform(0,0.99)",
        "model=choice('mlp','lenet5','resnet8')",
    )
    with pytest.raises(UserError, match=r"searched learning_rate=log\(0.01,0.1\) model=.*--append"):
        open_study(search=wider)
    grown = open_study(search=wider, append=True, trials=9)
    old = study.trials()
    for before, after in zip(old, grown.trials(), strict=True):
        assert (after.number, after.values, after.state) == (before.number, before.values, before.state)
        assert after.params == {**before.params, "momentum": 0.9}  # the job's own value
    assert len(work_off(grown)) == 6
    again = open_study(search=wider, trials=9)
    assert len(again.trials()) == 9
    with pytest.raises(UserError, match=r"--append: .* leaves out '(mlp|lenet5)'"):
        open_study(search=(*wider[:2], "model=choice('resnet8','resnet20')"), append=True)
    with pytest.raises(UserError, match=r"--append: .* searched momentum too"):
        open_study(search=(wider[0], wider[2]), append=True)


def test_a_grid_that_grows_is_tried_whole(open_study):
    rates = "learning_rate=choice(0.01,0.1)"
    work_off(open_study(sampler="grid", search=(rates,)))
    grown = open_study(sampler="grid", search=(rates, "momentum=choice(0,0.9)"), append=True)
    assert grown.size == 4
    assert work_off(grown) == [
        {"learning_rate": 0.01, "momentum": 0.0},
        {"learning_rate": 0.1, "momentum": 0.0},
    ]
    other = (rates, "momentum=choice(0,0.9)", "warmup=choice(0,0.2)")  # where nothing tried lies: it was 0.1
    last = open_study(sampler="grid", search=other, append=True, trials=20)
    assert len({tuple(point.values()) for point in work_off(last)}) == 8
    assert last.over()


def test_what_was_running_goes_on_in_the_grown_space(open_study):
    running = open_study(trials=3)
    trial = running.ask()
    running.report(trial, 25, 0.5)
    grown = open_study(search=("learning_rate=log(0.5,1)",), append=True)
    (carried,) = grown.trials()
    assert carried.state == TrialState.WAITING
    assert carried.params == trial.params
    again = grown.ask()
    assert (again.number, again.params) == (trial.number, trial.params)
