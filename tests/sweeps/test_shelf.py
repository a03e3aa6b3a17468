"""What is compiled for one group of lanes serves those to come."""

from dataclasses import replace

import jax

from jaxcnn import sweeps
from jaxcnn.config import Config
from jaxcnn.sweeps import lane_program
from jaxcnn.sweeps.group import Engine, Finished
from jaxcnn.sweeps.lane_program import Shelf

BASE = Config(model="mlp(hidden=[8])", batch_size=100, steps=2)


def train(engine, folder):
    runs = [replace(BASE, seed=seed, workdir=str(folder / str(seed))) for seed in range(2)]
    events = list(engine.LaneGroup(runs, lanes=2).run())
    assert sum(isinstance(event, Finished) for event in events) == 2


def test_groups_of_one_program_compile_it_once(compiled, tmp_path):
    engine = Engine()
    with compiled() as first:
        train(engine, tmp_path / "a")
    assert first.count("advance") == 1  # for its memory, its speed and its work
    with compiled() as later:
        train(engine, tmp_path / "b")
    assert not later


def test_what_was_measured_is_what_trains(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(lane_program, "times_faster", lambda one, other, compiled: 2.0)
    engine = Engine()
    assert engine.choose_lanes(BASE, 2) == 2
    with compiled() as names:
        train(engine, tmp_path)
    assert "advance" not in names


def test_the_newest_are_kept(monkeypatch):
    monkeypatch.setattr(lane_program, "KEPT", 2)
    monkeypatch.setattr(lane_program, "WIDTHS", 2)
    monkeypatch.setattr(lane_program, "Program", lambda job, feed, width: object())
    shelf, jobs = Shelf(), [replace(BASE, batch_size=size) for size in (10, 20, 30)]
    kept = [shelf.get(job) for job in jobs]
    assert shelf.get(replace(jobs[2], learning_rate=0.5, seed=7, workdir="x")) is kept[2]
    assert shelf.get(jobs[1]) is kept[1]
    assert shelf.get(jobs[0]) is not kept[0]
    assert shelf.get(replace(jobs[0], feed="streaming")) is not shelf.get(jobs[0])
    one, two, _ = (kept[0].program(width) for width in (1, 2, 3))
    assert kept[0].program(2) is two
    assert kept[0].program(1) is not one


def test_examples_on_the_device_are_bounded(monkeypatch):
    shelf, other = Shelf(), replace(BASE, batch_size=10)
    first = shelf.get(BASE)
    taken = sum(leaf.nbytes for leaf in jax.tree.leaves(first.feed.data))
    monkeypatch.setattr(lane_program, "KEPT_BYTES", taken)
    second = shelf.get(other)
    assert shelf.get(BASE) is first
    assert second.feed
    assert shelf.get(BASE) is first  # the one in use stays, whatever it takes
    assert shelf.get(other) is not second


def test_a_worker_compiles_once_for_each_program(compiled, tmp_path):
    space = ["learning_rate=uniform(0.01,0.1)", 'model=choice("mlp(hidden=[4])","mlp(hidden=[8])")']
    base = replace(BASE, workdir=str(tmp_path / "sweep"))
    with compiled() as names:
        found = sweeps.run(space, base, trials=6, seeds=2, lanes=2, sampler="random")
    assert {one.params["model"] for one in found} == {"mlp(hidden=[4])", "mlp(hidden=[8])"}
    assert names.count("advance") == 2
