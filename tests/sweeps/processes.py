"""Real parents and workers in processes of their own, with the engine that trains nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

from jaxcnn.sweeps.storage import Storage
from jaxcnn.sweeps.study import Study
from tests.sweeps import fake

ROOT = Path(__file__).parents[2]

# The sweep command, but for what needs JAX.
PARENT = """
import sys
from jaxcnn import cli, sweep
from jaxcnn.sweeps import launchers, settings, start, supervisor
supervisor.LOOK = 0.1
launchers.command = lambda folder, name: [
    sys.executable, "-m", "tests.sweeps.fake", str(folder.path.absolute()), name
]
start.check = lambda text: None
start.write_page = lambda folder: folder.report
settings.define_flags()
cli.run(sweep.main, lambda: sweep.USAGE)
"""
WORKER = "import sys; from tests.sweeps import fake; sys.exit(fake.main())"
JOB = ("--model=mlp", "--sampler=random", "--lanes=2")
SPACE = "learning_rate=log(1e-3,0.5)"


def start_parent(folder, *words, search=SPACE, seconds=0.05):
    """The sweep command in its process; every step of its runs takes ``seconds``."""
    return _start(
        [sys.executable, "-c", PARENT, *JOB, f"--search={search}", f"--workdir={folder.path}", *words],
        seconds,
    )


def start_worker(folder, name, seconds=0.05):
    """A worker on a sweep that was begun."""
    return _start([sys.executable, "-c", WORKER, str(folder.path), name], seconds)


def finish(process):
    """Wait for a process's end, its standard input open as long; what it said."""
    out = process.stdout.read()
    assert process.wait() == 0, out
    return out


STARTED = []  # ended by a fixture when a test is over


def _start(command, seconds):
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FAKE_SECONDS": str(seconds), "JAX_PLATFORMS": "cpu"},
    )
    STARTED.append(process)
    return process


def end_all():
    """End what a test has left."""
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def read_trials(folder):
    """The study's candidates, from outside."""
    settings, base = folder.read()
    storage = Storage(folder.storage(settings))
    try:
        return Study(storage, folder.study(settings), settings, base).trials()
    finally:
        storage.close()


def wait_for(what, seconds=300.0):
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def taken(folder, number, seed=0):
    """The steps that were taken in a run folder, in order."""
    path = folder.trials / f"{number:04}" / f"seed{seed}" / "steps.txt"
    return list(map(int, path.read_text().split())) if path.exists() else []


def check_every_candidate_ended_once(folder, count, interruptions=0, states=("COMPLETE",)):
    """All there, all ended, and no step taken twice but those that an interruption cut off unsaved."""
    trials = read_trials(folder)
    assert [trial.number for trial in trials] == list(range(count))
    ends = {trial.number: (trial.state.name, trial.user_attrs.get("reason")) for trial in trials}
    assert {state for state, _ in ends.values()} <= set(states), ends
    steps = [taken(folder, trial.number) for trial in trials if trial.state.name == "COMPLETE"]
    assert all(sorted(set(one)) == list(range(1, fake.STEPS + 1)) for one in steps)
    assert sum(map(len, steps)) <= fake.STEPS * len(steps) + 2 * interruptions  # one a lane
