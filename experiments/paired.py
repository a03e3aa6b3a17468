"""What experiments share: conditions that are run with the same seeds, compared seed by seed.

A seed decides the initial weights, the order of the examples and every draw, so two conditions with the same
seed differ in what is asked about and in little else. The difference is taken within each seed, and its
interval is that of the differences, which is narrower than what two separate intervals would allow.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jaxcnn.analysis.statistics import mean_interval
from jaxcnn.config import Config
from jaxcnn.engine.run_folder import environment
from jaxcnn.errors import RunFailed
from jaxcnn.sweeps.group import Failed, Finished, LaneGroup, Shelf, choose_lanes, static_key


@dataclass(frozen=True)
class Mean:
    """A mean with its 95% interval (Student's t)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """The mean of independent repeats.

        >>> Mean.of([1.0, 2.0, 3.0]).mean
        2.0
        """
        low, high = mean_interval(values)
        return cls(sum(values) / len(values), low, high)

    def percent(self, sign: str = "") -> str:
        """In percent, as mean ± half of the interval.

        >>> Mean(0.5, 0.4, 0.6).percent()
        '50.00 ± 10.00%'
        """
        return f"{100 * self.mean:{sign}.2f} ± {50 * (self.high - self.low):.2f}%"


def run(
    conditions: Mapping[str, Config], seeds: int, workdir: Path, lanes: int | None = None
) -> dict[str, list[float]]:
    """Train every condition with the seeds 0, 1, …; those that share a program are its lanes.

    What is finished in the folder is not trained again, and what was begun goes on.

    Args:
      conditions: configurations by name; their seeds and folders do not matter.
      seeds: how many.
      workdir: holds a folder for each run.
      lanes: how many train at once; None: as many as is fastest here.

    Returns:
      The test accuracies of each condition, by seed.

    Raises:
      RunFailed: a run cannot go on.
    """
    groups: dict[Any, list[tuple[str, Config]]] = {}
    for name, config in conditions.items():
        for seed in range(seeds):
            one = replace(config, seed=seed, workdir=str(workdir / name.replace(" ", "_") / f"seed{seed}"))
            groups.setdefault(static_key(one), []).append((name, one))
    accuracies: dict[str, list[float]] = {name: [0.0] * seeds for name in conditions}
    for members in groups.values():
        configs = [config for _, config in members]
        shelf = Shelf()
        count = lanes or choose_lanes(configs[0], len(configs), shelf=shelf)
        for event in LaneGroup(configs, lanes=count, shelf=shelf).run():
            if isinstance(event, Failed):
                name, config = members[event.lane]
                raise RunFailed(f"{name}, seed {config.seed}: {event.reason}")
            if isinstance(event, Finished):
                name, config = members[event.lane]
                accuracies[name][config.seed] = event.result.test_accuracy
                print(f"{name}, seed {config.seed}: {event.result.test_accuracy:.2%}", flush=True)
    return accuracies


@dataclass(frozen=True)
class Comparison:
    """Two conditions over the same seeds.

    Attributes:
      first, second: their names.
      means: of each.
      difference: of first - second within each seed.
    """

    first: str
    second: str
    means: tuple[Mean, Mean]
    difference: Mean

    def verdict(self) -> str:
        """What the interval of the difference says, in a sentence.

        >>> compare("a", [0.9, 0.91, 0.92], "b", [0.8, 0.81, 0.82]).verdict()
        'a beats b by 10.00 points (95% interval 10.00 to 10.00).'
        >>> compare("a", [0.9, 0.8], "b", [0.8, 0.9]).verdict()
        'No difference between a and b is shown: a - b lies between -127.06 and +127.06 points.'
        """
        low, high = 100 * self.difference.low, 100 * self.difference.high
        if low > 0:
            by = f"{100 * self.difference.mean:.2f} points (95% interval {low:.2f} to {high:.2f})"
            return f"{self.first} beats {self.second} by {by}."
        if high < 0:
            by = f"{-100 * self.difference.mean:.2f} points (95% interval {-high:.2f} to {-low:.2f})"
            return f"{self.second} beats {self.first} by {by}."
        between = f"{self.first} - {self.second} lies between {low:+.2f} and {high:+.2f} points"
        return f"No difference between {self.first} and {self.second} is shown: {between}."


def compare(first: str, ours: Sequence[float], second: str, theirs: Sequence[float]) -> Comparison:
    """Compare two conditions, given their accuracies by seed."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    return Comparison(first, second, (Mean.of(ours), Mean.of(theirs)), Mean.of(differences))


def write(
    path: Path,
    title: str,
    about: str,
    accuracies: Mapping[str, Mapping[str, Sequence[float]]],
    comparisons: Mapping[str, Comparison],
    facts: Mapping[str, Any],
) -> str:
    """Write ``path.json``, ``path.svg`` and ``path.md``.

    Args:
      path: without an ending.
      title: of the page.
      about: what was asked and how, in Markdown.
      accuracies: by data set, condition, seed.
      comparisons: by data set.
      facts: what else belongs into the JSON.

    Returns:
      The page.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found = environment(0)
    del found["seed"]
    results = {name: asdict(one) | {"verdict": one.verdict()} for name, one in comparisons.items()}
    written = {
        "date": time.strftime("%Y-%m-%d"),
        **facts,
        "accuracies": accuracies,
        "comparisons": results,
        "environment": found,
    }
    path.with_suffix(".json").write_text(json.dumps(written, indent=2) + "\n")
    figure(path.with_suffix(".svg"), accuracies, comparisons)
    lines = [
        f"# {title}",
        "",
        about,
        "",
        f"![Accuracies by seed, and their differences]({path.name}.svg)",
        "",
    ]
    lines += ["| data set | condition | test accuracy |", "| --- | --- | --- |"]
    for name, one in comparisons.items():
        lines += [f"| {name} | {one.first} | {one.means[0].percent()} |"]
        lines += [f"| {name} | {one.second} | {one.means[1].percent()} |"]
        lines += [f"| {name} | difference, seed by seed | {one.difference.percent('+')} |"]
    lines += ["", *(f"**{name}**: {one.verdict()}" for name, one in comparisons.items()), ""]
    seeds = len(next(iter(next(iter(accuracies.values())).values())))
    where = f"{found['processor']}, {found['device']}, jax {found['packages']['jax']}"
    lines += [
        f"Means ± 95% intervals (Student's t) over {seeds} paired seeds. {written['date']}, {where}.",
        "",
    ]
    path.with_suffix(".md").write_text("\n".join(lines))
    return "\n".join(lines)


def figure(
    path: Path, accuracies: Mapping[str, Mapping[str, Sequence[float]]], comparisons: Mapping[str, Comparison]
) -> None:
    """A panel for each data set: a line for each seed from one condition to the other, and the means."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = path.name  # the same numbers, the same bytes
    drawn = Figure(figsize=(3.6 * len(comparisons), 3.2), layout="constrained")
    for axes, (name, one) in zip(
        drawn.subplots(1, len(comparisons), squeeze=False)[0], comparisons.items(), strict=True
    ):
        for pair in zip(accuracies[name][one.first], accuracies[name][one.second], strict=True):
            axes.plot([0, 1], [100 * a for a in pair], color="0.7", lw=1, marker="o", ms=3)
        for x, mean in enumerate(one.means):
            half = 50 * (mean.high - mean.low)
            axes.errorbar(x, 100 * mean.mean, yerr=half, color="C0", marker="o", capsize=4, lw=1.6, zorder=3)
        axes.set_xticks([0, 1], [one.first, one.second])
        axes.set_xlim(-0.4, 1.4)
        axes.set_ylabel("test accuracy, %")
        axes.set_title(f"{name}: {one.difference.percent('+')}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    drawn.savefig(path, metadata={"Date": None})
