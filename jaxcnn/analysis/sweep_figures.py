"""The figures of a sweep, in the manner of :mod:`jaxcnn.analysis.figures`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.analysis.figures import FIRST, INK, MUTED, PAPER, RULE, SECOND, style, svg


class Axis(NamedTuple):
    """A parameter or an objective, as something to draw along.

    Attributes:
      name: what it is called.
      log: whether equal ratios are equally far apart.
      options: the words it takes, where it is no number.
      percent: whether its numbers are fractions to be read as percentages.
    """

    name: str
    log: bool = False
    options: tuple[str, ...] = ()
    percent: bool = False

    def place(self, value: Any) -> float:
        """Where a value is drawn: itself, its logarithm, or the number of its option."""
        if self.options:
            return float(self.options.index(str(value)))
        return float(np.log10(value)) if self.log else float(value)

    def text(self, place: float) -> str:
        """What stands at a place."""
        if self.options:
            word = self.options[round(place)] or "(none)"
            return word if len(word) <= 24 else f"{word[:23]}…"
        value = 10**place if self.log else place
        if self.percent:
            return f"{round(100 * value, 6):.3g}%"
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.3g}"


def frame(values: Sequence[float], *, most: float = 3.0) -> tuple[float, float]:
    """The range that shows the bulk: what lies far beyond the quartiles is drawn at the edge.

    >>> [round(float(edge), 3) for edge in frame([0.1, 0.97, 0.98, 0.985, 0.99])]
    [0.923, 0.992]
    """
    low, high = min(values), max(values)
    first, third = np.quantile(values, [0.25, 0.75])
    reach = most * (third - first)
    low, high = max(low, float(first) - reach), min(high, float(third) + reach)
    room = 0.03 * (high - low) or 0.01 * (abs(high) or 1)
    return low - room, high + room


def history(numbers: Sequence[int], values: Sequence[float], *, best: str, percent: bool) -> str:
    """Every complete candidate in its order, and the best so far.

    Args:
      numbers: of the candidates, ascending.
      values: of the objective.
      best: ``max`` or ``min``.
      percent: the values are fractions.
    """
    with style():
        figure, axes = _axes(9.4, 2.7)
        low, high = frame(values)
        far = np.maximum.accumulate(values) if best == "max" else np.minimum.accumulate(values)
        axes.step(numbers, np.clip(far, low, high), where="post", color=FIRST, lw=1.8, zorder=2)
        _points(axes, numbers, values, (low, high), [1.0] * len(values), colour=SECOND)
        axes.set_ylim(low, high)
        axes.set_xlabel("candidate")
        _ticks(axes, percent, whole=True)
        return svg(figure, salt=repr((tuple(numbers), tuple(values))))


def parallel(axes_of: Sequence[Axis], rows: Sequence[Sequence[Any]], goodness: Sequence[float]) -> str:
    """A line for each candidate across one vertical axis for each parameter and, last, the objective.

    Args:
      axes_of: the axes.
      rows: a value of each axis for each candidate; None for the objective of one that was pruned.
      goodness: of each candidate, from 0, worst, to 1, best: how strongly it is drawn.
    """
    with style():
        figure, axes = _axes(9.4, 3.4)
        columns = []
        for i, axis in enumerate(axes_of):
            last = i == len(axes_of) - 1
            places = [-np.inf if row[i] is None else axis.place(row[i]) for row in rows]
            if axis.options:
                low, high = -0.35, len(axis.options) - 0.65
                marks: Sequence[float] = range(len(axis.options))
            else:
                known = [place for place in places if np.isfinite(place)]
                low, high = frame(known) if last else (min(known), max(known))
                low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
                marks = (low, (low + high) / 2, high)
            columns.append(np.clip((np.asarray(places) - low) / (high - low), -0.02, 1.02))
            axes.axvline(i, color=RULE, lw=1, zorder=1)
            for mark in marks:
                height = (mark - low) / (high - low)
                axes.plot([i - 0.012, i + 0.012], [height, height], color=MUTED, lw=0.8, zorder=4)
                side = "right" if last else "left"
                axes.text(
                    i + (-0.03 if last else 0.03), height, axis.text(mark), ha=side, va="center",
                    color=MUTED, fontsize=7.5, zorder=5,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
                )  # fmt: skip
            axes.text(i, 1.09, axis.name, ha="center", va="bottom", color=INK, fontsize=8.5)
        table = np.stack(columns, axis=1)
        for row, good in sorted(zip(table, goodness, strict=True), key=lambda pair: pair[1]):
            colour, width, strength = _strength(good)
            axes.plot(range(len(row)), row, color=colour, lw=width, alpha=strength, zorder=2 + good)
        axes.set_xlim(-0.08, len(axes_of) - 0.92)
        axes.set_ylim(-0.05, 1.08)
        axes.grid(False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        return svg(figure, salt=repr((axes_of, goodness)))


def _strength(good: float) -> tuple[str, float, float]:
    """Colour, width and opacity: the best stand out."""
    if good >= 0.9:
        return FIRST, 1.8, 1.0
    return (FIRST, 0.9, 0.35) if good >= 0.5 else (SECOND, 0.8, 0.35)


def scatter(
    x_axis: Axis,
    y_axis: Axis,
    points: Sequence[tuple[Any, float]],
    strong: Sequence[bool],
    *,
    connect: bool = False,
    width: float = 4.6,
) -> str:
    """Candidates as points; the strong ones stand out, and are connected where they are a front."""
    with style():
        figure, axes = _axes(width, 2.7)
        x = np.asarray([x_axis.place(point[0]) for point in points])
        y = np.asarray([y_axis.place(point[1]) for point in points])
        if x_axis.options:  # side by side instead of one upon the other
            x = x + 0.28 * (((np.arange(len(x)) * 0.618) % 1) - 0.5)
            axes.set_xlim(-0.5, len(x_axis.options) - 0.5)
        low, high = (min(y), max(y)) if connect else frame(list(y))
        room = 0.05 * (high - low) or 0.5
        low, high = (low - room, high + room) if connect else (low, high)
        _points(axes, x, y, (low, high), [1.0 if one else 0.55 for one in strong], strong=strong)
        if connect:
            order = np.argsort(x, kind="stable")
            order = order[np.asarray(strong)[order]]
            axes.step(x[order], y[order], where="post", color=FIRST, lw=1.2, zorder=2)
        axes.set_ylim(low, high)
        axes.set_xlabel(x_axis.name)
        axes.set_ylabel(y_axis.name)
        _ticks(axes, y_axis.percent, x_axis=x_axis)
        return svg(figure, salt=repr((x_axis, points)))


def learning(curves: Sequence[tuple[Sequence[int], Sequence[float], str]], *, percent: bool) -> str:
    """What was validated on the way.

    Args:
      curves: percents of the steps, values, and a kind: ``best``, ``complete`` or ``pruned``.
      percent: the values are fractions.
    """
    looks: dict[str, dict[str, Any]] = {
        "best": {"color": FIRST, "lw": 2.0, "zorder": 4},
        "complete": {"color": FIRST, "lw": 0.8, "alpha": 0.35, "zorder": 3},
        "pruned": {"color": SECOND, "lw": 0.8, "alpha": 0.6, "zorder": 2},
    }
    with style():
        figure, axes = _axes(9.4, 3.0)
        low, high = frame([value for _, values, _ in curves for value in values], most=2.0)
        shown: dict[str, Any] = {}
        for x, values, kind in curves:
            (line,) = axes.plot(x, np.clip(values, low, high), **looks[kind])
            shown.setdefault(kind, line)
            if kind == "pruned":
                axes.plot(x[-1:], np.clip(values[-1:], low, high), color=SECOND, marker="o", ms=2.5, zorder=3)
        axes.set_ylim(low, high)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the steps")
        names = [kind for kind in looks if kind in shown]
        axes.legend(
            [shown[kind] for kind in names], names, frameon=False, handlelength=1.2, loc="lower left",
            bbox_to_anchor=(-0.01, 1), ncols=3,
        )  # fmt: skip
        _ticks(axes, percent)
        return svg(figure, salt=repr(len(curves)))


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _points(
    axes: Any,
    x: Any,
    y: Any,
    within: tuple[float, float],
    strength: Sequence[float],
    *,
    strong: Sequence[bool] = (),
    colour: str = SECOND,
) -> None:
    """Points; those beyond the frame as triangles at its edge."""
    low, high = within
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        marker = "v" if b < low else "^" if b > high else "o"
        shade = FIRST if strong and strong[i] else colour
        room = 0.03 * (high - low)
        place = min(max(b, low + room), high - room) if marker != "o" else b
        axes.plot([a], [place], marker, color=shade, ms=4.2, mew=0, alpha=strength[i], zorder=3 + strength[i])


def _ticks(axes: Any, percent: bool, *, whole: bool = False, x_axis: Axis | None = None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda y, _: f"{round(100 * y, 6):g}%" if percent else f"{y:,.6g}")
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if x_axis and x_axis.options:
        names = [x_axis.text(i).replace("(", "\n(", 1) for i in range(len(x_axis.options))]
        axes.set_xticks(range(len(names)), names, fontsize=7.5)
    elif x_axis and x_axis.log:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(lambda place, _: x_axis.text(place))
    elif x_axis:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.6g}")
