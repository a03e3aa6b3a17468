"""The worker, with an engine that trains nothing: lanes, seeds, pruning, failures, interruptions."""

import json
import statistics
from collections import Counter

import pytest

from jaxcnn.errors import UserError
from jaxcnn.sweeps.study import REASON, RUNS
from jaxcnn.sweeps.worker import Worker
from tests.sweeps import fake


@pytest.fixture
def work(open_study, folder):
    """Work on a study until it is over; returns it."""

    def work(stop=lambda: False, engine=fake, **choices):
        study = open_study(**choices)
        said = []
        Worker(folder, study, engine=engine, program=fake.Program, stop=stop, say=said.append).run()
        study.said = said
        return study

    return work


def steps(folder, number, seed=0):
    """The steps that were taken in a run folder, in order."""
    return list(map(int, (folder.trials / f"{number:04}" / f"seed{seed}" / "steps.txt").read_text().split()))


def states(study):
    return Counter(trial.state.name for trial in study.trials())


ALL_STEPS = list(range(1, fake.STEPS + 1))


@pytest.mark.parametrize("lanes", ["auto", "1", "3", "16"])
def test_every_candidate_is_trained_once_and_judged_by_its_best(work, folder, lanes):
    study = work(search=("learning_rate=log(1e-3,0.5)",), lanes=lanes, trials=7)
    assert states(study) == {"COMPLETE": 7}
    for trial in study.trials():
        assert steps(folder, trial.number) == ALL_STEPS
        rate = trial.params["learning_rate"]
        assert trial.value == pytest.approx((1 - abs(rate - 0.1)) * (1 - 0.5**fake.STEPS) * 0.9)
        assert "complete: val_accuracy" in folder.log(trial.number).read_text()


@pytest.mark.parametrize("lanes", ["1", "3", "8"])
def test_seeds_are_paired_repeats_judged_by_their_mean(work, folder, lanes):
    study = work(search=("learning_rate=log(1e-3,0.5)",), lanes=lanes, trials=4, seeds=3)
    assert states(study) == {"COMPLETE": 4}
    for trial in study.trials():
        runs = trial.user_attrs[RUNS]
        assert trial.value == pytest.approx(statistics.mean(runs["val_accuracy"]))
        assert runs["val_accuracy"][1] - runs["val_accuracy"][0] == pytest.approx(
            0.01
        )  # seed 1 against seed 0
        assert runs["val_loss"] == pytest.approx([1 - value for value in runs["val_accuracy"]])
        assert all(steps(folder, trial.number, seed) == ALL_STEPS for seed in range(3))
        reached = statistics.mean(runs["val_accuracy"])
        assert trial.intermediate_values[100] == pytest.approx(reached)


def test_candidates_of_several_programs_go_in_groups(work, folder):
    groups = []

    class Counting(fake.LaneGroup):
        def __init__(self, configs, *, lanes):
            groups.append((configs[0].model, len(configs)))
            super().__init__(configs, lanes=lanes)

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Counting})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    search = ("learning_rate=log(1e-3,0.5)", "model=choice('mlp','lenet5')")
    study = work(search=search, lanes="4", trials=16, sampler="random", engine=engine)
    assert states(study) == {"COMPLETE": 16}
    assert {model for model, _ in groups} == {"mlp", "lenet5"}
    assert len(groups) < 8  # most candidates came in where another had ended


def test_a_worker_leaves_the_others_their_share(work, folder):
    widths = []

    class Counting(fake.LaneGroup):
        def __init__(self, configs, *, lanes):
            widths.append(lanes)
            super().__init__(configs, lanes=lanes)

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Counting})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    folder.workers.mkdir(parents=True)
    with folder.presence("here-0-a"), folder.presence("here-1-b"), folder.presence("here-parent-c"):
        study = work(search=("learning_rate=log(1e-3,0.5)",), lanes="16", trials=10, engine=engine)
    assert states(study) == {"COMPLETE": 10}
    assert widths[0] == 6  # the one that it has, and half of the nine that nobody has


def test_costs_are_objectives(work):
    search = ("learning_rate=log(1e-3,0.5)", "model=choice('mlp','lenet5')")
    study = work(search=search, objective="val_accuracy,macs,parameters", sampler="random")
    for trial in study.trials():
        assert trial.values[1:] == [{"mlp": 100, "lenet5": 200}[trial.params["model"]], 1000]


def test_bad_candidates_are_pruned_and_their_lanes_go_to_others(work, folder):
    study = work(search=("learning_rate=log(1e-3,0.8)",), pruner="asha", sampler="random", trials=24, seeds=2)
    found = states(study)
    assert found["PRUNED"] >= 6
    assert found["COMPLETE"] >= 2
    assert found["PRUNED"] + found["COMPLETE"] == 24
    pruned = [trial for trial in study.trials() if trial.state.name == "PRUNED"]
    assert all(max(steps(folder, t.number)) < fake.STEPS for t in pruned)
    assert max(t.value for t in study.trials() if t.state.name == "COMPLETE") > max(t.value for t in pruned)


def test_a_failed_run_fails_its_candidate_alone(work, folder):
    rates = "learning_rate=choice(0.1,0.2,0.95,0.3)"
    study = work(search=(rates,), sampler="grid", trials=4, seeds=2, lanes="8")
    assert states(study) == {"COMPLETE": 3, "FAIL": 1}
    failed = study.trials()[2]
    assert failed.user_attrs[REASON] == "seed 0: the training loss is nan by step 2"
    assert "failed: seed 0" in folder.log(2).read_text()


def test_what_cannot_be_built_fails_with_its_reason(work, folder):
    study = work(search=("model=choice('mlp','wrong')", "momentum=choice(0.1,0.2)"), sampler="grid", trials=4)
    assert states(study) == {"COMPLETE": 2, "FAIL": 2}
    assert all("no such model" in t.user_attrs[REASON] for t in study.trials() if t.state.name == "FAIL")


def test_one_folder_that_does_not_do_hurts_no_other(work, folder):
    class Picky(fake.LaneGroup):
        def _resume(self, config):
            if config.momentum == 0.2:
                raise UserError("--workdir: this folder does not do")
            return super()._resume(config)

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Picky})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    search = ("momentum=choice(0.1,0.2,0.3)", "learning_rate=choice(0.1,0.2)")
    study = work(search=search, sampler="grid", trials=6, lanes="2", engine=engine)
    assert states(study) == {"COMPLETE": 4, "FAIL": 2}


def test_a_defect_fails_what_was_training_and_is_logged_whole(work, folder):
    class Broken(fake.LaneGroup):
        def run(self, stop):
            yield from ()
            raise ZeroDivisionError("a defect")

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Broken})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    study = work(trials=2, engine=engine)
    assert states(study) == {"FAIL": 2}
    assert study.trials()[0].user_attrs[REASON] == "ZeroDivisionError: a defect"
    assert "Traceback" in folder.log(0).read_text()


@pytest.mark.parametrize("when", ["before", "while"])
def test_too_many_lanes_for_the_memory_become_fewer(work, when):
    class Small(fake.LaneGroup):
        def run(self, stop):
            if self._lanes > 2:
                raise (
                    UserError("--lanes=4: the program needs more than is free")
                    if when == "before"
                    else RuntimeError("RESOURCE_EXHAUSTED: out of memory")
                )
            yield from super().run(stop)

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Small})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    study = work(search=("learning_rate=log(1e-3,0.5)",), trials=8, engine=engine)
    assert states(study) == {"COMPLETE": 8}
    assert any("4 lanes do not fit in memory; going on with 2" in line for line in study.said)


def test_lanes_that_a_person_asked_for_and_do_not_fit_are_that_persons_mistake(work, open_study, monkeypatch):
    monkeypatch.setenv("FAKE_MEMORY", "2")
    choices = {"search": ("learning_rate=log(1e-3,0.5)",), "trials": 8, "lanes": "8"}
    with pytest.raises(UserError, match="--lanes=8: the program needs"):
        work(**choices)
    assert states(open_study(**choices)) == {"WAITING": 8}


def test_a_stopped_worker_gives_back_and_another_goes_on_from_the_checkpoints(work, folder):
    asked = iter(range(10**6))
    search = {"search": ("learning_rate=log(1e-3,0.5)",), "trials": 6, "seeds": 2, "lanes": "4"}
    study = work(stop=lambda: next(asked) > 14, **search)
    assert states(study)["WAITING"] >= 1
    assert states(study)["RUNNING"] == 0
    done = work(**search)
    assert states(done) == {"COMPLETE": 6}
    for trial in done.trials():
        for seed in (0, 1):
            assert steps(folder, trial.number, seed) == ALL_STEPS  # no step was taken twice
    assert len({json.dumps(trial.params) for trial in done.trials()}) == 6


def test_a_worker_goes_on_with_the_rest_when_a_candidate_was_taken_from_it(work, folder, open_study):
    """It was given up while it lived, as after a long pause; another worker ended one of its four."""
    rates = {"search": ("learning_rate=choice(0.1,0.2,0.3,0.4)",), "sampler": "grid", "trials": 4}
    thief = open_study("thief", **rates)
    stolen = []

    class Paused(fake.LaneGroup):
        def _take(self, lane, step):
            if step == 3 and not stolen:
                thief.take_back(["w"])
                stolen.append(thief.ask())
                thief.complete(stolen[0], [0.5], {})
            return super()._take(lane, step)

    engine = type("Engine", (), {**vars(fake), "LaneGroup": Paused})
    engine.static_key, engine.choose_lanes = staticmethod(fake.static_key), staticmethod(fake.choose_lanes)
    study = work(**rates, lanes="4", engine=engine)
    assert states(study) == {"COMPLETE": 4}
    assert study.trials()[stolen[0].number].values == [0.5]
    assert steps(folder, stolen[0].number) == ALL_STEPS[:3]
    assert f"left by w: candidate {stolen[0].number} is thief's now" in folder.log(0).read_text()
    for number in {0, 1, 2, 3} - {stolen[0].number}:
        assert steps(folder, number) == ALL_STEPS


def test_the_worker_stops_when_too_many_have_failed(work):
    study = work(search=("learning_rate=uniform(0.95,1)",), max_failures=3, trials=50, lanes="1")
    assert states(study) == {"FAIL": 4}


def test_what_a_database_has_forgotten_makes_way(work, folder):
    """After a power cut a number may be drawn again, with other values, whose folder is there already."""
    old = folder.trials / "0001" / "seed0"
    old.mkdir(parents=True)
    (old / "of another candidate").touch()
    study = work(trials=2, search=("learning_rate=log(1e-3,0.5)",))
    assert states(study) == {"COMPLETE": 2}
    assert not (old / "of another candidate").exists()
    (aside,) = folder.trials.glob("forgotten-0001-*")
    assert (aside / "seed0" / "of another candidate").exists()
    assert f"begins anew; what was in its folder is in {aside}" in folder.log(1).read_text()
    assert steps(folder, 1) == ALL_STEPS
