"""What a sweep costs beside training: drawing, reporting and ending candidates, and looking after workers.

    python -m experiments.benchmarks.study_overhead --json=experiments/results/study_overhead.json

One study of many candidates in a SQLite file, nothing trained. Worker: draw a candidate, report it three
times, end it. Parent: what looking at the study costs for each candidate that ends.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from absl import app, flags, logging
from rich.console import Console

TRIALS = flags.DEFINE_integer("trials", 1000, "candidates in the study", lower_bound=100)
SAMPLER = flags.DEFINE_list("samplers", ["tpe", "random"], "Optuna's samplers to measure")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")
SEARCH = ("learning_rate=log(1e-3,1)", "weight_decay=log(1e-5,1e-2)", "model=choice('lenet5','resnet20')")


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    figures = {sampler: measure(sampler) for sampler in SAMPLER.value}
    for sampler, found in figures.items():
        print(f"{sampler}: milliseconds for a candidate, by hundreds of candidates")
        for name, values in found.items():
            print(f"  {name:8}" + "".join(f"{value:7.1f}" for value in values))
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        report = {
            "date": time.strftime("%Y-%m-%d"),
            "milliseconds_by_hundred": figures,
            "trials": TRIALS.value,
            "environment": environment(0),
        }
        Path(JSON.value).write_text(json.dumps(report, indent=2) + "\n")


def measure(sampler: str) -> dict[str, list[float]]:
    """Milliseconds for each candidate: medians over each hundred."""
    from jaxcnn.config import Config
    from jaxcnn.sweeps.board import Board
    from jaxcnn.sweeps.folder import SweepFolder
    from jaxcnn.sweeps.settings import Settings
    from jaxcnn.sweeps.storage import Storage
    from jaxcnn.sweeps.study import Study

    seconds: dict[str, list[float]] = {name: [] for name in ("draw", "report", "end", "parent")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = SweepFolder(Path(scratch))
        settings = Settings(search=SEARCH, trials=TRIALS.value, sampler=sampler, pruner="median")
        sides = []
        for worker in ("w", ""):  # a worker and the parent, each with a connection and a cache of its own
            storage = Storage(folder.storage(settings))
            sides.append(Study(storage, "study", settings, Config(), worker=worker))
        work, look = sides
        board = Board(folder, look, Console(quiet=True))
        board.say = lambda line: None  # type: ignore[method-assign]

        def timed(name: str, call):
            begun = time.perf_counter()
            result = call()
            seconds[name].append(time.perf_counter() - begun)
            return result

        def report() -> None:
            for percent in (25, 50, 75):
                work.report(trial, percent, trial.params["learning_rate"])

        def supervise() -> None:
            look.over()
            board.update(look.trials(), 1)

        while trial := timed("draw", work.ask):
            timed("report", report)
            timed(
                "end", lambda: work.complete(trial, [trial.params["learning_rate"]], {"val_accuracy": [0.5]})
            )
            timed("parent", supervise)
        for side in sides:
            side.close()
    return {
        name: [
            round(1e3 * statistics.median(values[start : start + 100]), 2)
            for start in range(0, TRIALS.value, 100)
        ]
        for name, values in seconds.items()
    }


if __name__ == "__main__":
    app.run(main)
