"""Lanes train what the same runs train alone, whatever happens to their neighbours."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxcnn.config import Config
from jaxcnn.engine import loop
from jaxcnn.engine.checkpoint import Checkpoints
from jaxcnn.engine.job import Job
from jaxcnn.errors import UserError
from jaxcnn.sweeps import group, lane_program
from jaxcnn.sweeps.group import Failed, Finished, LaneGroup, Reported, Stopped
from jaxcnn.sweeps.lane_program import Compiled

STEPS = 12
BASE = Config(
    model="mlp(hidden=[16], dropout=0.1)",
    augment="shift(1),noise(0.01)",
    batch_size=50,
    steps=STEPS,
    eval_every=0.2,
    save_every=0.2,
    log_every=2,
    ema_decay=0.9,
)
VARIED = [
    {"seed": 0, "learning_rate": 0.1},
    {"seed": 1, "learning_rate": 0.02, "momentum": 0.5, "augment": "shift(2),noise(0.1)"},
    {"seed": 2, "weight_decay": 0.1, "label_smoothing": 0.2, "model": "mlp(hidden=[16], dropout=0.4)"},
    {"seed": 0, "ema_decay": 0.5},
]
CLOSE = {"rtol": 2e-4, "atol": 2e-6}  # twelve steps of float32 sums in another order


def configs(folder, base=BASE, varied=VARIED):
    return [replace(base, workdir=str(folder / str(i)), **one) for i, one in enumerate(varied)]


def newest(config, step=None):
    """The newest checkpoint's arrays, by path."""
    import orbax.checkpoint as ocp

    steps = sorted(int(p.name) for p in (config.folder() / "checkpoints").iterdir() if p.name.isdigit())
    step = steps[-1] if step is None else step
    with ocp.StandardCheckpointer() as reader:
        found = reader.restore(config.folder() / "checkpoints" / str(step) / "state")
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(found)}


def same_bytes(a, b):
    a, b = newest(a), newest(b)
    assert a.keys() == b.keys()
    return all(np.asarray(a[path]).tobytes() == np.asarray(b[path]).tobytes() for path in a)


def assert_close(a, b):
    a, b = newest(a), newest(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_allclose(a[path], b[path], err_msg=path, **CLOSE)


def rows(config, split):
    lines = (config.folder() / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def train(lanes_of, lanes, stop=lambda: False):
    return list(LaneGroup(lanes_of, lanes=lanes, saving=1.0).run(stop))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same runs, one after the other, by the training loop."""
    mine = configs(tmp_path_factory.mktemp("alone"))
    for config in mine:
        loop.run(config)
    return mine


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    mine = configs(tmp_path_factory.mktemp("together"))
    return mine, train(mine, lanes=4)


def test_lanes_end_as_the_same_runs_alone(alone, together):
    mine, events = together
    results = {event.lane: event.result for event in events if isinstance(event, Finished)}
    assert sorted(results) == [0, 1, 2, 3]
    for i, (lane, single) in enumerate(zip(mine, alone, strict=True)):
        assert_close(lane, single)
        expected = json.loads((single.folder() / "result.json").read_text())
        assert json.loads((lane.folder() / "result.json").read_text()) == results[i].__dict__
        assert results[i].test_accuracy == pytest.approx(expected["test_accuracy"], abs=2 / 359)
        for split in ("train", "validation"):
            ours, theirs = rows(lane, split), rows(single, split)
            assert [row["step"] for row in ours] == [row["step"] for row in theirs]
            np.testing.assert_allclose([r["loss"] for r in ours], [r["loss"] for r in theirs], rtol=1e-3)


def test_a_folder_holds_what_the_loop_leaves(alone, together):
    def names(config):
        return {p.name for p in config.folder().iterdir()}

    for lane, single in zip(together[0], alone, strict=True):
        assert names(lane) == names(single)
        assert (lane.folder() / "config.flags").read_text().replace(lane.workdir, single.workdir) == (
            single.folder() / "config.flags"
        ).read_text()


def test_reports_carry_what_is_logged(together):
    mine, events = together
    for i, config in enumerate(mine):
        reported = [
            (e.step, e.metrics["accuracy"]) for e in events if isinstance(e, Reported) and e.lane == i
        ]
        assert reported == [(row["step"], row["accuracy"]) for row in rows(config, "validation")]


def test_lanes_differ(together):
    """Each has its own numbers: no two of these runs end alike."""
    mine, _ = together
    assert not any(same_bytes(a, b) for i, a in enumerate(mine) for b in mine[:i])


def test_one_lane_at_a_time_is_the_loop_to_the_last_bit(alone, tmp_path):
    mine = configs(tmp_path)[:2]
    train(mine, lanes=1)
    assert all(same_bytes(a, b) for a, b in zip(mine, alone, strict=False))


def stop_after(calls):
    def stop():
        nonlocal calls
        calls -= 1
        return calls == 0

    return stop


def test_stopped_lanes_go_on_to_the_same_bytes(together, tmp_path):
    mine = configs(tmp_path)
    events = train(mine, lanes=4, stop=stop_after(7))
    assert [event for event in events if isinstance(event, Stopped)] == [Stopped(i, 7) for i in range(4)]
    events = train(mine, lanes=4)
    assert sum(isinstance(event, Finished) for event in events) == 4
    assert all(same_bytes(a, b) for a, b in zip(mine, together[0], strict=True))


def test_lanes_of_different_age_in_other_slots_end_with_the_same_bytes(together, tmp_path):
    """One goes on from step 5, one from step 3, two begin; slots are exchanged."""
    mine = configs(tmp_path)
    train(mine[:2], lanes=2, stop=stop_after(3))
    train(mine[1:2], lanes=1, stop=stop_after(2))
    train(mine[::-1], lanes=4)
    for lane, other in zip(mine[2:], together[0][2:], strict=True):
        assert same_bytes(lane, other)  # the two that began here
    for lane, other in zip(mine[:2], together[0][:2], strict=True):
        assert_close(lane, other)  # begun by programs of other widths, which round differently


def test_loop_and_lanes_go_on_with_each_others_runs(alone, tmp_path):
    mine = configs(tmp_path)[:2]
    train(mine, lanes=2, stop=stop_after(5))
    for config, single in zip(mine, alone, strict=False):
        loop.run(config)
        assert_close(config, single)


def test_a_lane_that_is_not_finite_hurts_no_neighbour(together, tmp_path):
    mine = configs(tmp_path)
    mine[1] = replace(mine[1], learning_rate=1e30)
    events = train(mine, lanes=4)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.lane == 1
    assert "lower --learning_rate (it is 1e+30)" in failed.reason
    assert sorted(e.lane for e in events if isinstance(e, Finished)) == [0, 2, 3]
    assert all(same_bytes(mine[i], together[0][i]) for i in (0, 2, 3))
    assert not (mine[1].folder() / "result.json").exists()


def test_seeds_that_diverge_together_may_prune_each_other(tmp_path):
    """As a worker does with a candidate of which one seed has failed."""
    runs = configs(tmp_path, varied=[{"seed": 0}, *({"seed": s, "learning_rate": 1e30} for s in (1, 2, 3))])
    held, ended = LaneGroup(runs, lanes=4), {}
    for event in held.run():
        if isinstance(event, Failed):
            for sibling in {1, 2, 3} - ended.keys() - {event.lane}:
                held.prune(sibling)
        if isinstance(event, Failed | Finished):
            ended[event.lane] = event
    assert isinstance(ended[0], Finished)
    assert sum(isinstance(event, Failed) for event in ended.values()) == 1


def test_more_runs_than_lanes_wait_for_their_turn(together, tmp_path):
    mine = configs(tmp_path)
    events = train(mine, lanes=3)
    assert sorted(e.lane for e in events if isinstance(e, Finished)) == [0, 1, 2, 3]
    for lane, other in zip(mine, together[0], strict=True):
        assert_close(lane, other)


def test_a_pruned_lane_is_marked_and_another_takes_its_place(together, tmp_path):
    mine = configs(tmp_path)
    running = LaneGroup(mine[:3], lanes=3, saving=1.0)
    events = []
    for event in running.run():
        events.append(event)
        if isinstance(event, Reported) and event.lane == 1 and len(events) < 8:
            running.prune(1)
            with pytest.raises(ValueError, match="expected one that has ended"):
                running.refill(0, mine[3])
            running.refill(1, mine[3])
    pruned = json.loads((mine[1].folder() / "pruned.json").read_text())
    assert pruned == {"step": 6}
    assert not (mine[1].folder() / "result.json").exists()
    assert sorted(e.lane for e in events if isinstance(e, Finished)) == [0, 1, 2]
    for i in (0, 2, 3):
        assert_close(mine[i], together[0][i])
    loop.run(mine[1])  # it may go on all the same
    assert not (mine[1].folder() / "pruned.json").exists()
    assert_close(mine[1], together[0][1])


@pytest.mark.slow
def test_many_steps_a_call_are_the_same_steps(tmp_path, monkeypatch):
    """As on accelerators: calls of eight steps, where runs are of different age and twelve steps long."""
    mine, single = (configs(tmp_path / place, varied=VARIED[:3]) for place in ("lanes", "alone"))
    train(mine[1:2], lanes=1, stop=stop_after(3))
    monkeypatch.setattr(Job, "steps_per_call", lambda job, feed: 8)
    for config in single:
        loop.run(config)
    train(mine, lanes=3, stop=stop_after(1))
    assert all((config.folder() / "checkpoints" / "8").exists() for config in mine)
    train(mine, lanes=3)
    for lane, other in zip(mine, single, strict=True):
        assert_close(lane, other)
        assert [row["step"] for row in rows(lane, "validation")] == [8, 12]


@pytest.mark.slow
def test_convolutions_norms_and_dropped_paths_are_lanes_too(tmp_path):
    base = replace(BASE, model="resnet8(num_filters=4, drop_path=0.1)", steps=2)  # before a ReLU flips
    varied = [{"seed": 1}, {"seed": 2, "model": "resnet8(num_filters=4, drop_path=0.4)"}]
    mine, single = configs(tmp_path / "lanes", base, varied), configs(tmp_path / "alone", base, varied)
    train(mine, lanes=2)
    for lane, other in zip(mine, single, strict=True):
        loop.run(other)
        assert_close(lane, other)


def test_finished_folders_finish_at_once(together):
    mine, events = together
    before = {p: p.stat().st_mtime_ns for c in mine for p in c.folder().rglob("*") if p.is_file()}
    again = train(mine, lanes=2)
    assert again == sorted((e for e in events if isinstance(e, Finished)), key=lambda e: e.lane)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_damaged_folder_fails_its_lane_alone(tmp_path):
    mine = configs(tmp_path)[:2]
    train(mine, lanes=2, stop=stop_after(5))
    for path in (mine[0].folder() / "checkpoints").rglob("*"):
        if path.is_file() and "state" in path.parts:
            path.write_bytes(b"")
    events = train(mine, lanes=2)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.lane == 0
    assert "none of the checkpoints" in failed.reason
    assert [e.lane for e in events if isinstance(e, Finished)] == [1]


def test_saving_takes_its_share_of_the_time_and_no_more(tmp_path, monkeypatch):
    saved = []
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, *args: (saved.append(args[0]), save(self, *args)))
    (config,) = configs(tmp_path)[:1]
    list(LaneGroup([config], lanes=1, saving=0.0).run())
    assert saved[-1] == STEPS
    assert len(saved) <= 3  # the first, the best and the last, though every fifth step is due


def test_all_lanes_finish_after_closing_up(tmp_path, monkeypatch):
    """When three of four are pruned and nothing waits, the last goes on in a narrower program."""
    widths = []
    resize = LaneGroup._resize
    monkeypatch.setattr(LaneGroup, "_resize", lambda self, n: (widths.append(n), resize(self, n)))
    monkeypatch.setattr(Compiled, "wait", lambda self, width: 0.0)  # compiling is worth it here
    running = LaneGroup(configs(tmp_path), lanes=4, saving=1.0)
    events = []
    for event in running.run():
        events.append(event)
        if isinstance(event, Reported) and event.lane != 2:
            running.prune(event.lane)
    assert widths == [4, 1]
    assert [e.lane for e in events if isinstance(e, Finished)] == [2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"batch_size": 25}, "--batch_size: 50 -> 25"),
        ({"model": "mlp(hidden=[8], dropout=0.1)"}, "--model: "),
        ({"model": "mlp(hidden=[16])"}, "--model: "),
        ({"augment": "shift(1)"}, "--augment: "),
        ({"ema_decay": 0.0}, "--ema_decay: 0.9 -> 0.0"),
        ({"workdir": "{0}"}, "each lane needs a folder of its own"),
    ],
    ids=str,
)
def test_what_cannot_be_a_lane_is_refused_in_one_line(change, expected, tmp_path):
    first, second = configs(tmp_path)[:2]
    change = {name: first.workdir if value == "{0}" else value for name, value in change.items()}
    with pytest.raises(UserError, match=expected) as caught:
        LaneGroup([first, replace(first, **{"workdir": second.workdir, **change})], lanes=2)
    assert "\n" not in str(caught.value)
    assert not Path(second.workdir).exists()


@pytest.mark.parametrize("lanes", [0, -1])
def test_lanes_are_counted_from_one(lanes, tmp_path):
    with pytest.raises(UserError, match="--lanes="):
        LaneGroup(configs(tmp_path), lanes=lanes)


def test_too_many_lanes_for_the_memory_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcnn.sweeps.lane_program.free_memory", lambda: 2**17)
    said = r"--lanes=4: the program needs \d+\.\d MiB and 0\.1 MiB are free; give about [12]"
    with pytest.raises(UserError, match=said):
        list(LaneGroup(configs(tmp_path), lanes=4).run())


def test_auto_stops_where_more_lanes_are_no_faster(monkeypatch):
    speeds = {1: 10.0, 2: 19.0, 4: 30.0, 8: 30.5, 16: 90.0}
    tried = []

    def compare(one, other, compiled):
        tried.append((one.width, other.width))
        return speeds[one.width] / speeds[other.width]

    program = lambda job, feed, width: SimpleNamespace(width=width, bytes=2**width)  # noqa: E731
    monkeypatch.setattr("jaxcnn.sweeps.lane_program.Program", program)
    monkeypatch.setattr("jaxcnn.sweeps.lane_program.times_faster", compare)
    assert group.choose_lanes(BASE, 16) == 4
    assert tried == [(2, 1), (4, 2), (8, 4)]
    assert group.choose_lanes(BASE, 3) == 2
    assert group.choose_lanes(BASE, 16, memory=4) == 2
    assert group.choose_lanes(BASE, 16, memory=1) == 1


def test_lanes_are_compared_call_by_call_by_the_fastest_of_each(monkeypatch):
    """A machine that is busy while one side is measured slows the other alike, and tips no balance."""
    seconds = {1: iter([9.0, 9.0, 1.0, 9.0, 1.2, 9.0]), 2: iter([9.0, 9.0, 1.5, 9.0, 1.6, 9.0])}
    monkeypatch.setattr(lane_program, "_calls", lambda program, compiled: seconds[program.width])
    one, two = SimpleNamespace(width=1, steps=1), SimpleNamespace(width=2, steps=1)
    assert lane_program.times_faster(two, one, None) == pytest.approx(2 / 1.5)
    assert next(seconds[1]) == next(seconds[2]) == 9.0  # as often as each other


def test_auto_measures_real_steps():
    assert group.choose_lanes(BASE, 2) in (1, 2)
