"""The page of a run or of a sweep: ``python -m jaxcnn.report FOLDER`` writes ``FOLDER/report.html``."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn import cli
from jaxcnn.errors import UserError
from jaxcnn.files import read_json

if TYPE_CHECKING:
    from jaxcnn.analysis import Trace
    from jaxcnn.engine.job import TrainedRun

USAGE = """\
usage: python -m jaxcnn.report FOLDER

Of a run: curves, accuracy, confusion matrix, worst errors, filters, feature maps, layers.
Of a sweep: best candidates, what matters, all candidates and how they learnt; also as CSV and Parquet.
Writes FOLDER/report.html.
"""
ENVIRONMENT = {"packages": dict, "backend": str, "device": str, "devices": int, "git_commit": str}
"""What the page says of a run's environment."""


def main(words: list[str]) -> int:
    if len(words) != 1:
        raise UserError(f"expected one run folder and got {len(words)}: python -m jaxcnn.report RUN")
    if not Path(words[0]).is_dir():
        raise UserError(f"{words[0]} is no folder; name a run folder, e.g. one under runs/")
    if (Path(words[0]) / "sweep.flags").exists():
        if find_spec("optuna") is None:
            raise UserError("a sweep's page needs Optuna: pip install 'jaxcnn[sweep]'")
        from jaxcnn.sweeps import pages

        print(pages.write(words[0]))
        return 0

    from jaxcnn.engine import backend  # after the checks: it brings JAX

    backend.use_compilation_cache()
    print(write(words[0]))
    return 0


def write(folder: str | Path) -> Path:
    """Write the report of a run folder, finished or not.

    A finished run is judged on its test split; one that is not, on its validation split, so that nobody comes
    to choose by the test split on the way.

    Returns:
      The page.

    Raises:
      UserError: this is no run folder, nothing is trained yet, or matplotlib is not installed.
    """
    import numpy as np

    from jaxcnn.analysis import figures, layers, page, run_page, statistics, trace
    from jaxcnn.engine.job import TrainedRun

    figures.check_installed()
    folder = Path(folder)
    run = TrainedRun(folder)
    finished = run.folder.result.exists()
    environment = read_json(run.folder.environment, ENVIRONMENT, "copy it from a run on the same machine")
    rows, names = run.folder.rows(), run.dataset.class_names
    split = "test" if finished else "validation"
    examples = run.dataset.splits[split]
    probabilities, labels = run.predict(split)
    predictions = np.argmax(probabilities, axis=1)
    right = predictions == labels
    worst = statistics.worst_errors(probabilities, labels)
    example = examples[int(np.argmax(right))]  # the first that it knows, if any
    x = run.job.standardize(example["image"])
    network = trace(partial(run.model.apply, train=False), run.variables, x[None])
    kernel = layers.first_kernel(run.variables, network)
    maps = layers.feature_maps(run.model, run.variables, x)

    title = f"{run.config.model} on {run.config.dataset}"
    warning = f"Not finished: {rows[-1]['step'] if rows else run.step:,} of {run.job.steps:,} steps are done."
    body = [
        run_page.header(
            title,
            str(folder),
            run_page.score(int(right.sum()), len(labels), split),
            _facts(run, rows, network, environment, finished),
            warning=None if finished else warning,
        ),
        run_page.learning(rows, run.step) if rows else "",
        run_page.confusion(labels, predictions, names, split),
        run_page.worst(
            [examples[int(i)]["image"] for i in worst],
            labels[worst],
            probabilities[worst],
            names,
            wrong=int(np.sum(~right)),
        ),
        run_page.filters(*kernel) if kernel else "",
        run_page.feature_maps(example["image"], names[example["label"]], maps) if maps else "",
        layers.layer_table(network, most=60),
        run_page.again(_commands(folder, finished), run.config.to_flagfile(), environment),
    ]
    page.write(run.folder.report, title, *body)
    return run.folder.report


def _facts(
    run: "TrainedRun",
    rows: list[dict[str, Any]],
    network: "Trace",
    environment: dict[str, Any],
    finished: bool,
) -> list[tuple[str, Any]]:
    from jaxcnn.analysis import statistics
    from jaxcnn.engine.progress import duration

    batch, packages = run.config.batch_size, environment["packages"]
    rate = statistics.throughput(rows, batch)
    device = f"{environment['device']} × {environment['devices']}"
    if environment["backend"] == "cpu":
        device = f"{environment.get('processor', '?')}, {environment.get('cores', '?')} cores"
    return [
        ("Data", f"{run.dataset.name} {run.dataset.version}"),
        ("Examples", " · ".join(f"{len(split):,} {name}" for name, split in run.dataset.splits.items())),
        ("Parameters", f"{network.parameters:,}"),
        ("MACs an image", "unknown" if network.macs is None else f"{network.macs:,}"),
        (
            "Training",
            f"{run.job.steps:,} steps of {batch} · {run.job.steps / run.job.epoch_steps:.3g} epochs",
        ),
        ("Throughput", f"{rate:,.0f} images/s" if rate else None),
        ("Training time", duration(run.job.steps * batch / rate) if rate and finished else None),
        ("Model shown", f"step {run.step:,}" + (", averaged weights" if run.config.ema_decay else "")),
        ("Device", device),
        ("Software", " · ".join(f"{name} {packages.get(name, '?')}" for name in ("jaxcnn", "jax", "flax"))),
        ("Commit", environment["git_commit"][:10] + "-dirty" * environment["git_commit"].endswith("-dirty")),
        ("Seed", run.config.seed),
    ]


def _commands(folder: Path, finished: bool) -> list[tuple[str, str]]:
    again = ("Train it anew", cli.train_command(folder, f"{folder}-again"))
    resume = ("Go on with it", cli.train_command(folder, folder))
    curves = ("Open its curves", cli.curves_command(folder / "tensorboard"))
    return [again, curves] if finished else [resume, again, curves]


if __name__ == "__main__":
    cli.run(main, lambda: USAGE)
