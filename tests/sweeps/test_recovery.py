"""Whoever is killed, the sweep goes on where it was: real processes, real signals."""

import os
import re
import signal
from pathlib import Path

from tests.sweeps.processes import (
    check_every_candidate_ended_once,
    finish,
    read_trials,
    start_parent,
    start_worker,
    taken,
    wait_for,
)


def pids(folder):
    """The workers' processes, by the names of their logs."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(entry.path, "cmdline").read_text().split("\0")
            except OSError:
                continue
            if "tests.sweeps.fake" in words and str(folder.path) in words:
                found[words[words.index(str(folder.path)) + 1]] = int(entry.name)
    return found


def steps_taken(folder):
    return sum(len(path.read_text().split()) for path in folder.trials.glob("*/seed*/steps.txt"))


def test_a_sweep_whose_workers_are_killed_again_and_again(folder):
    parent = start_parent(folder, "--workers=2", "--trials=12")
    for death in range(3):
        wait_for(lambda seen=8 * death + 6: steps_taken(folder) >= seen)
        os.kill(next(iter(pids(folder).values())), signal.SIGKILL)
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 0, out
    assert out.count("died (SIGKILL); its log is") == 3, out
    assert "is finished: 1 best of 12, candidate" in out
    assert not pids(folder)
    check_every_candidate_ended_once(folder, 12, interruptions=3)


def test_a_killed_parent_takes_its_workers_along_and_the_same_command_goes_on(folder):
    parent = start_parent(folder, "--workers=2", "--trials=8")
    wait_for(lambda: steps_taken(folder) >= 6)
    parent.kill()
    parent.wait()
    wait_for(lambda: not pids(folder))
    assert not any(trial.state.name == "RUNNING" for trial in read_trials(folder))
    again = start_parent(folder, "--workers=2", "--trials=8")
    out, _ = again.communicate(timeout=400)
    assert again.returncode == 0, out
    check_every_candidate_ended_once(folder, 8)


def test_everything_killed_at_once(folder):
    """As when a machine goes down."""
    parent = start_parent(folder, "--workers=2", "--trials=8")
    wait_for(lambda: steps_taken(folder) >= 6)
    for pid in (parent.pid, *pids(folder).values()):
        os.kill(pid, signal.SIGKILL)
    parent.wait()
    again = start_parent(folder, "--workers=1", "--trials=8")
    out, _ = again.communicate(timeout=400)
    assert again.returncode == 0, out
    check_every_candidate_ended_once(folder, 8, interruptions=2)


def test_ctrl_c_saves_and_says_how_to_go_on(folder):
    parent = start_parent(folder, "--workers=2", "--trials=8")
    wait_for(lambda: steps_taken(folder) >= 4)
    parent.send_signal(signal.SIGINT)
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 130, out
    assert re.search(f"go on with: .*jaxcnn.sweep --flagfile={folder.flags}", out)
    assert not pids(folder)
    again = start_parent(folder, "--workers=2", "--trials=8")
    out, _ = again.communicate(timeout=400)
    assert again.returncode == 0, out
    check_every_candidate_ended_once(folder, 8)


def test_a_candidate_that_kills_workers_fails_and_the_others_do_not(folder):
    killer = "momentum=choice(0.5,0.666,0.9)"
    parent = start_parent(folder, "--workers=1", "--trials=3", "--sampler=grid", "--lanes=1", search=killer)
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 0, out
    trials = read_trials(folder)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "candidate 1 FAILED: 3 workers died of it, one after the other" in out


def test_failures_are_told_at_once_and_too_many_stop_the_sweep(folder):
    hot = "learning_rate=uniform(0.95,1)"
    words = ("--workers=2", "--trials=20", "--max_failures=2")
    parent = start_parent(folder, *words, search=hot)
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 1, out
    assert "candidate 0 FAILED: seed 0: the training loss is nan by step 2 · log" in out
    assert "--max_failures=2" in out
    failed = [trial for trial in read_trials(folder) if trial.state.name == "FAIL"]
    assert 3 <= len(failed) <= 6  # those that were training with the third


def test_only_one_parent_works_in_a_folder(folder):
    first = start_parent(folder, "--workers=1", "--trials=4", seconds=1.0)  # longer than others take to start
    wait_for(lambda: steps_taken(folder) >= 1)
    second = start_parent(folder, "--workers=1", "--trials=4")
    out, _ = second.communicate(timeout=400)
    assert second.returncode == 2
    assert "is under way in another process; to add a worker to it use --launcher=none" in out
    before = folder.flags.read_text()
    other = start_parent(folder, "--launcher=none", "--trials=9", "--pruner=median")
    out, _ = other.communicate(timeout=400)
    assert other.returncode == 2
    assert re.search(
        r"error: .* is at work here with other settings \(--trials: 4 -> 9; --pruner: none -> median\)", out
    ), out
    assert folder.flags.read_text() == before
    helper = start_worker(folder, "helper", seconds=0.2)
    out, _ = first.communicate(timeout=400)
    assert first.returncode == 0, out
    finish(helper)
    check_every_candidate_ended_once(folder, 4)
    assert any("taken by helper" in folder.log(n).read_text() for n in range(4)) or taken(folder, 3)


def test_what_is_wrong_with_every_worker_is_said_once(folder, monkeypatch):
    monkeypatch.setenv("FAKE_MEMORY", "1")
    parent = start_parent(folder, "--workers=2", "--trials=8", "--lanes=2")
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 2, out
    assert out.splitlines()[-1] == "error: --lanes=2: the program needs more than is free"
    assert {trial.state.name for trial in read_trials(folder)} == {"WAITING"}
