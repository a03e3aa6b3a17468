"""Trials a minute: side by side as lanes, one after the other in one process, and in a process each.

    python -m experiments.benchmarks.lanes --lanes=1,2,4 --json=experiments/results/lanes_cpu.json

Every side runs the same whole trials: data, steps, validations, checkpoints and the result in a folder of
its own. Programs are compiled before they are counted, since a sweep compiles them once, and the sides take
turns, so that a busy machine slows all of them. ``auto`` is what ``--lanes=auto`` would choose here.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import app, flags, logging

from experiments.benchmarks.timing import in_turns
from jaxcnn.config import Config

if TYPE_CHECKING:
    from jaxcnn.sweeps.group import Shelf

JOBS = {
    "lenet5": Config(model="lenet5", optimizer="adamw", learning_rate=1e-3),
    "resnet20": Config(model="resnet20(num_filters=4)", augment="shift(1)"),
    "airbench": Config(dataset="shapes/32", model="resnet8(num_filters=64)", augment="shift(2),flip"),
}

JOB = flags.DEFINE_list("job", ["lenet5", "resnet20"], f"networks: {', '.join(JOBS)}")
LANES = flags.DEFINE_list("lanes", ["1", "2", "4"], "counts of lanes; 1 is one after the other")
TRIALS = flags.DEFINE_integer("trials", 4, "trials of a side in each round", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 100, "steps of a trial", lower_bound=1)
EVALUATIONS = flags.DEFINE_integer("evaluations", 5, "validations of a trial", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "turns that the sides take", lower_bound=1)
PROCESSES = flags.DEFINE_bool("processes", True, "measure a process for each trial, too")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    if unknown := [name for name in JOB.value if name not in JOBS]:
        raise app.UsageError(f"--job={unknown[0]}: expected some of {', '.join(JOBS)}")
    found = {name: measure(name) for name in JOB.value}
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        settings = {flag.name: flag.value for flag in (TRIALS, STEPS, EVALUATIONS, ROUNDS)}
        written = {
            "date": time.strftime("%Y-%m-%d"),
            "trials_per_minute": found,
            **settings,
            "environment": environment(0),
        }
        Path(JSON.value).parent.mkdir(parents=True, exist_ok=True)
        Path(JSON.value).write_text(json.dumps(written, indent=2) + "\n")


def measure(name: str) -> dict[str, Any]:
    """Trials a minute of each side, medians over the rounds."""
    from jaxcnn.data import load
    from jaxcnn.sweeps.group import Shelf, choose_lanes

    base = replace(JOBS[name], steps=STEPS.value)
    epoch = len(load(base.dataset).splits["train"]) / base.batch_size
    base = replace(base, eval_every=STEPS.value / epoch / EVALUATIONS.value)
    counts = [int(count) for count in LANES.value]
    shelf = Shelf()
    with tempfile.TemporaryDirectory() as scratch:
        sides = {f"{count} lanes": partial(lanes, base, count, Path(scratch), shelf) for count in counts}
        if PROCESSES.value:
            sides["processes"] = partial(processes, base, Path(scratch))
        seconds = in_turns(sides, ROUNDS.value, pause=0.2)
    rates = {side: statistics.median(60 * TRIALS.value / s for s in times) for side, times in seconds.items()}
    for side, rate in rates.items():
        print(f"{name:10} {side:10} {rate:8.1f} trials a minute", flush=True)
    auto = choose_lanes(base, max(counts), shelf=shelf)
    print(f"{name:10} --lanes=auto chooses {auto}", flush=True)
    return {"model": base.model, "dataset": base.dataset, **rates, "auto": auto}


def trials(base: Config, scratch: Path) -> list[Config]:
    """Trials that differ in learning rate and seed, in folders that are new each time."""
    shutil.rmtree(scratch / "runs", ignore_errors=True)
    return [
        replace(
            base, seed=i, learning_rate=base.learning_rate / (i + 1), workdir=str(scratch / "runs" / str(i))
        )
        for i in range(TRIALS.value)
    ]


def lanes(base: Config, count: int, scratch: Path, shelf: "Shelf") -> None:
    """All trials in this process, so many at once."""
    from jaxcnn.sweeps.group import Finished, LaneGroup

    events = LaneGroup(trials(base, scratch), lanes=count, shelf=shelf).run()
    if sum(isinstance(event, Finished) for event in events) < TRIALS.value:
        raise RuntimeError(f"not every trial of {base.model} finished")


def processes(base: Config, scratch: Path) -> None:
    """A process for each trial, one after the other, compiled programs cached."""
    script = "import sys; from jaxcnn.config import Config; from jaxcnn.engine import loop; "
    script += "loop.run(Config.from_flagfile(sys.argv[1]))"
    for config in trials(base, scratch):
        flagfile = scratch / "trial.flags"
        flagfile.write_text(config.to_flagfile())
        subprocess.run(
            [sys.executable, "-c", script, str(flagfile)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )


if __name__ == "__main__":
    app.run(main)
