"""The page of a sweep: ``python -m jaxcnn.report SWEEP`` writes ``SWEEP/report.html`` and its tables."""

import math
import shlex
from pathlib import Path

from jaxcnn import cli
from jaxcnn.analysis import figures, page, sweep_page
from jaxcnn.analysis.sweep_figures import Axis
from jaxcnn.engine.progress import duration
from jaxcnn.errors import UserError
from jaxcnn.sweeps import results
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.results import Candidate, Outcome
from jaxcnn.sweeps.space import Parameter

BEST = 0.1  # the share of candidates that figures call the best
WIDE = 30.0  # a ratio beyond which an objective is drawn in logarithms


def write(path: str | Path) -> Path:
    """Write the report of a sweep folder, over or not, and its candidates as CSV and Parquet.

    Raises:
      UserError: this is no sweep folder, nothing was begun, or matplotlib is not installed.
    """
    figures.check_installed()
    folder = SweepFolder(Path(path))
    outcome = results.read(folder)
    if not outcome.candidates:
        raise UserError(f"{path} has no candidates yet; begin with {cli.command('jaxcnn.sweep', '...')}")
    results.write_tables(folder, outcome)
    names = ", ".join(parameter.name for parameter in outcome.settings.space())
    title = f"{names} on {outcome.base.dataset}"
    page.write(folder.report, title, *_body(folder, outcome, title))
    return folder.report


def _body(folder: SweepFolder, outcome: Outcome, title: str) -> list[page.Markup | str]:
    complete = [one for one in outcome.candidates if one.state == "complete"]
    parameters = [_parameter(one) for one in outcome.settings.space()]
    objectives = [
        _objective(name, [one.values[i] for one in complete])
        for i, name in enumerate(outcome.settings.objectives())
    ]
    body: list[page.Markup | str] = [_header(folder, outcome, objectives, title)]
    several = len(objectives) > 1
    if complete:
        chosen = [vars(one) for one in outcome.best]
        body.append(
            sweep_page.best_table(
                objectives,
                parameters,
                chosen[: 2 * sweep_page.TOP if several else sweep_page.TOP],
                several=several,
            )
        )
    if len(complete) > 1:
        body += _figures(outcome, complete, parameters, objectives)
    if curves := _curves(outcome):
        body.append(sweep_page.learning(curves, objectives[0]))
    failed = [one for one in outcome.candidates if one.state == "failed"]
    if failed:
        body.append(
            sweep_page.failures([(one.number, one.reason, str(folder.log(one.number))) for one in failed])
        )
    flags = folder.flags.read_text()
    if address := outcome.settings.storage:  # a page is passed on, and must not hold a password
        flags = flags.replace(address, outcome.storage)
    body.append(sweep_page.commands(_commands(folder, outcome), flags))
    return body


def _figures(
    outcome: Outcome, complete: list[Candidate], parameters: list[Axis], objectives: list[Axis]
) -> list[page.Markup | str]:
    ways = list(outcome.settings.objectives().values())
    values = [one.values[0] for one in complete]
    order = sorted(range(len(values)), key=lambda i: values[i], reverse=ways[0] == "min")
    goodness = [0.0] * len(values)
    for rank, i in enumerate(order):
        goodness[i] = (rank + 1) / len(values)
    best, stands_out = [good > 1 - BEST for good in goodness], sweep_page.TENTH
    parts: list[page.Markup | str] = []
    if len(objectives) > 1:
        on_front = {one.number for one in outcome.best}
        pairs = [(one.values[1], one.values[0]) for one in complete]
        strong = [one.number in on_front for one in complete]
        parts.append(sweep_page.front(objectives[1], objectives[0], pairs, strong))
        best, stands_out = strong, sweep_page.FRONT
        goodness = [
            1.0 if one else min(good, 1 - 2 * BEST) for one, good in zip(strong, goodness, strict=True)
        ]
    parts.append(sweep_page.history([one.number for one in complete], values, objectives[0], ways[0]))
    tried = [*complete, *(one for one in outcome.candidates if one.state == "pruned")]
    whole = [one for one in tried if all(axis.name in one.params for axis in parameters)]
    if len(whole) > 1:
        missing = [None] * len(objectives)
        lines = [
            [*(one.params[axis.name] for axis in parameters), *reversed(one.values or missing)]
            for one in whole
        ]
        strengths = [dict(zip(map(id, complete), goodness, strict=True)).get(id(one), 0.0) for one in whole]
        axes = [*parameters, *reversed(objectives)]
        parts.append(sweep_page.parallel(axes, lines, strengths, stands_out))
    parts.append(sweep_page.importance(outcome.importance))
    rows = [(one.params, one.values[0]) for one in complete]
    parts.append(sweep_page.slices(parameters, objectives[0], rows, best, stands_out))
    return parts


def _parameter(parameter: Parameter) -> Axis:
    options = tuple(map(str, parameter.arguments)) if parameter.kind == "choice" else ()
    if options and not isinstance(parameter.arguments[0], str):
        options = tuple(str(parameter.typed(option)) for option in parameter.arguments)
    return Axis(parameter.name, log=parameter.kind == "log", options=options)


def _objective(name: str, values: list[float]) -> Axis:
    wide = bool(values) and min(values) > 0 and max(values) / min(values) > WIDE
    return Axis(name, log=wide and name != "val_accuracy", percent=name == "val_accuracy")


def _header(folder: SweepFolder, outcome: Outcome, objectives: list[Axis], title: str) -> page.Markup:
    settings, candidates = outcome.settings, outcome.candidates
    states = [one.state for one in candidates]
    counts = [
        f"{states.count(state)} {state}"
        for state in dict.fromkeys(results.STATES.values())
        if state in states
    ]
    best = None
    test: tuple[float, ...] = ()
    if outcome.best:
        first, axis = outcome.best[0], objectives[0]
        words = f"{axis.name} of candidate {first.number}"
        if runs := first.runs.get(axis.name):
            words += f" · mean of {len(runs)} seed{'s' * (len(runs) > 1)}"
            interval = sweep_page.interval_text(axis, runs)
            words += f" · 95% interval {interval}" if interval else ""
        best = (sweep_page.value_text(axis, first.values[0]), words)
        test = tuple(first.runs.get("test_accuracy", ()))
    seconds = [one.seconds for one in candidates if one.seconds and one.state == "complete"]
    percent = Axis("", percent=True)
    facts = [
        ("Candidates", " · ".join(counts)),
        ("Objective", ", ".join(f"{name}, {way}imal" for name, way in settings.objectives().items())),
        ("Search", f"{settings.sampler}, pruner {settings.pruner}"),
        ("Seeds of each", f"{settings.seeds}, from {outcome.base.seed}"),
        (
            "Test accuracy of the best",
            sweep_page.value_text(percent, math.fsum(test) / len(test))
            + (f" {interval}" if (interval := sweep_page.interval_text(percent, test)) else "")
            if test
            else None,
        ),
        ("Time of a candidate", f"{duration(sum(seconds) / len(seconds))} on average" if seconds else None),
        ("Database", outcome.storage),
    ]
    left = outcome.size - sum(state in ("complete", "pruned", "failed") for state in states)
    warning = f"Not over: {left} of {outcome.size} candidates have not ended." if left > 0 else None
    return sweep_page.header(title, str(folder.path), best, facts, warning)


def _curves(outcome: Outcome) -> list[tuple[list[int], list[float], str]]:
    first = {one.number for one in outcome.best[:1]}
    curves = []
    for one in outcome.candidates:
        if len(one.curve) > 1 or (one.curve and one.state == "pruned"):
            kind = "best" if one.number in first else "pruned" if one.state == "pruned" else "complete"
            steps, values = zip(*one.curve, strict=True)
            curves.append((list(steps), list(values), kind))
    return curves


def _commands(folder: SweepFolder, outcome: Outcome) -> list[tuple[str, str]]:
    pairs = []
    if outcome.best:
        runs = folder.runs(outcome.best[0].number, outcome.base, outcome.settings.seeds)
        run = next(iter(runs.values()))
        flags = f"--flagfile={run / 'config.flags'}"
        pairs.append(
            (
                f"Train the best again (candidate {outcome.best[0].number})",
                cli.train_command(run, f"{run}-again"),
            )
        )
        final = cli.command("jaxcnn.train", flags, "--full", f"--workdir={folder.path / 'final'}")
        pairs.append(("Train it on all the data, validation split included", final))
        pairs.append(("Look at its run", cli.command("jaxcnn.report", run)))
    if outcome.size == outcome.settings.trials:  # else all points of a grid were drawn
        more = f"--trials={2 * outcome.settings.trials}"
        again = cli.command("jaxcnn.sweep", f"--flagfile={folder.flags}", more)
        pairs.append(("Draw as many candidates again", again))
    pairs.append(("Browse the database", f"optuna-dashboard {shlex.quote(outcome.storage)}"))
    return pairs
