"""The report of a sweep, section by section."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxcnn.analysis import page, statistics, sweep_figures
from jaxcnn.analysis.page import Markup, element
from jaxcnn.analysis.sweep_figures import Axis

TOP = 10
TENTH, FRONT = "the best tenth", "the Pareto front"


def value_text(axis: Axis, value: float) -> str:
    """A value of an objective as people read it.

    >>> value_text(Axis("val_accuracy", percent=True), 0.98765), value_text(Axis("macs"), 2516608.0)
    ('98.77%', '2,516,608')
    """
    if axis.percent:
        return f"{value:.2%}"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else f"{value:.4g}"


def interval_text(axis: Axis, values: Sequence[float]) -> str | None:
    """The mean's 95% interval over seeds; None for a single seed.

    >>> interval_text(Axis("val_accuracy", percent=True), [0.97, 0.98, 0.975])
    '±1.24 points'
    """
    if len(values) < 2:
        return None
    low, high = statistics.mean_interval(values)
    half = (high - low) / 2
    return f"±{100 * half:.2f} points" if axis.percent else f"±{half:.2g}"


def header(
    title: str,
    place: str,
    best: tuple[str, str] | None,
    facts: Sequence[tuple[str, Any]],
    warning: str | None,
) -> Markup:
    """What was searched, how good the best is, and the sweep in a few numbers.

    Args:
      title: of the page.
      place: the folder.
      best: the best value, and the words that say what it is of.
      facts: names with values.
      warning: what is not as it should be.
    """
    alert = element("p", warning, class_="note warning") if warning else ""
    kicker = element("p", "Sweep report · ", element("code", place), class_="kicker")
    score = (
        element("div", element("strong", best[0]), element("span", best[1]), class_="score") if best else ""
    )
    return element("header", kicker, element("h1", title), alert, score, page.facts(facts))


def best_table(
    objectives: Sequence[Axis],
    parameters: Sequence[Axis],
    rows: Sequence[Mapping[str, Any]],
    *,
    several: bool,
) -> Markup:
    """The best candidates with intervals over their seeds.

    Args:
      objectives: their axes.
      parameters: what was chosen.
      rows: ``number``, ``values``, ``runs`` and ``params`` of each, the best first.
      several: there are several objectives, and the rows are their Pareto front.
    """
    has_test = any("test_accuracy" in row["runs"] for row in rows)
    head = ["candidate"]
    for axis in objectives:
        head += [axis.name, "95%"] if any(axis.name in row["runs"] for row in rows) else [axis.name]
    head += ["test accuracy"] * has_test + [axis.name for axis in parameters]
    cells = []
    for row in rows:
        line: list[Any] = [str(row["number"])]
        for axis, value in zip(objectives, row["values"], strict=True):
            line.append(value_text(axis, value))
            if any(axis.name in other["runs"] for other in rows):
                line.append(interval_text(axis, row["runs"].get(axis.name, ())))
        if has_test:
            tests = row["runs"].get("test_accuracy")
            line.append(f"{sum(tests) / len(tests):.2%}" if tests else None)
        line += [
            axis.text(axis.place(row["params"][axis.name])) if axis.name in row["params"] else None
            for axis in parameters
        ]
        cells.append(line)
    seeds = max((len(values) for row in rows for values in row["runs"].values()), default=1)
    caption = "The candidates that no other beats in every objective. " if several else ""
    caption += (
        f"Means over {seeds} paired seeds with Student's 95% interval. "
        if seeds > 1
        else "One seed each: no interval. "
    )
    caption += (
        "The best of many looks better than it is: chosen by validation, it is the test split that tells."
    )
    numbers = range(1, len(head) - len(parameters))
    title = "Pareto front" if several else "Best candidates"
    return page.section(title, page.table(head, cells, caption=caption, numbers=numbers))


def front(
    x_axis: Axis, y_axis: Axis, points: Sequence[tuple[float, float]], strong: Sequence[bool]
) -> Markup:
    """The first two objectives against each other."""
    svg = sweep_figures.scatter(x_axis, y_axis, points, strong, connect=True, width=9.4)
    words = f"{y_axis.name} against {x_axis.name}; {sum(strong)} of {len(points)} candidates are on the front"
    caption = "Every complete candidate; the line runs along those that no other beats in both."
    return page.figure(page.drawing(svg, words), caption)


def history(numbers: Sequence[int], values: Sequence[float], objective: Axis, best: str) -> Markup:
    """How the search went."""
    svg = sweep_figures.history(numbers, values, best=best, percent=objective.percent)
    reached = (max if best == "max" else min)(values)
    caption = (
        f"{objective.name} of each complete candidate, in the order they were drawn, and the best so far. "
        "Triangles lie beyond the frame."
    )
    words = f"{len(values)} candidates; the best reaches {value_text(objective, reached)}"
    return page.section("How the search went", page.figure(page.drawing(svg, words), caption))


def parallel(
    axes: Sequence[Axis], rows: Sequence[Sequence[Any]], goodness: Sequence[float], strong: str = TENTH
) -> Markup:
    """Parallel coordinates of all candidates; ``strong`` says which of them stand out."""
    drawing = page.drawing(
        sweep_figures.parallel(axes, rows, goodness),
        f"{len(rows)} candidates as lines across {', '.join(axis.name for axis in axes)}",
    )
    caption = (
        "A line for each candidate that was completed, or pruned: these end at the foot. "
        f"Strong: {strong}; faint: the better half; the rest pale."
    )
    return page.section("All candidates", page.figure(page.scroll(drawing), caption))


def importance(shares: Mapping[str, Mapping[str, float]]) -> Markup:
    """How much of each objective's variance every parameter explains, or that too little is known to tell."""
    if not shares:
        few = "Too few candidates are complete, or all reached the same: four that differ are needed to tell."
        return page.section("What matters", page.note(few))
    parts = []
    for objective, of in shares.items():
        rows = [
            element(
                "div",
                element("span", name),
                element("i", style=f"--share:{share:.4f}"),
                element("b", f"{share:.0%}"),
                class_="bar",
            )
            for name, share in sorted(of.items(), key=lambda pair: -pair[1])
        ]
        title = element("h3", objective) if len(shares) > 1 else ""
        parts.append(element("div", title, *rows))
    caption = (
        "Share of the variance between complete candidates that each parameter explains by itself and with "
        "others, by fANOVA over the searched ranges. Few candidates say little."
    )
    return page.section("What matters", page.figure(element("div", *parts, class_="pair"), caption))


def slices(
    parameters: Sequence[Axis],
    objective: Axis,
    rows: Sequence[tuple[Mapping[str, Any], float]],
    best: Sequence[bool],
    strong: str = TENTH,
) -> Markup:
    """Each parameter by itself against the objective; ``strong`` says which candidates are the best."""
    drawings = []
    for axis in parameters:
        chosen = [i for i, (params, _) in enumerate(rows) if axis.name in params]
        points = [(rows[i][0][axis.name], rows[i][1]) for i in chosen]
        svg = sweep_figures.scatter(axis, objective, points, [best[i] for i in chosen])
        drawings.append(page.drawing(svg, f"{objective.name} against {axis.name}, {len(points)} candidates"))
    caption = f"Every complete candidate; {strong} stands out. Triangles lie beyond the frame."
    return page.section("Slices", page.figure(element("div", *drawings, class_="pair"), caption))


def learning(curves: Sequence[tuple[Sequence[int], Sequence[float], str]], objective: Axis) -> Markup:
    """What was validated on the way."""
    svg = sweep_figures.learning(curves, percent=objective.percent)
    kinds = [kind for _, _, kind in curves]
    words = ", ".join(
        f"{kinds.count(kind)} {kind}" for kind in ("best", "complete", "pruned") if kind in kinds
    )
    caption = f"{objective.name} on the way, mean over the seeds; a pruned candidate ends in a dot."
    return page.section("Learning curves", page.figure(page.drawing(svg, f"Curves: {words}"), caption))


def failures(rows: Sequence[tuple[int, str, str]]) -> Markup:
    """Candidates that failed: number, reason, log."""
    cells = [
        (str(number), element("span", reason, class_="prose"), element("code", log))
        for number, reason, log in rows
    ]
    caption = "A failed candidate is not judged; the search knows nothing of it."
    return page.section("Failures", page.table(("candidate", "reason", "log"), cells, caption=caption))


def commands(pairs: Sequence[tuple[str, str]], flags: str) -> Markup:
    """What to type next, and every flag of the sweep."""
    parts: list[Markup] = []
    for does, command in pairs:
        parts += [element("h3", does), page.code(command)]
    return page.section("Go on", *parts, page.details("Every flag", page.code(flags.strip())))
