"""Curves as SVG that lives inside a page: its text is the page's, its colours are the page's variables."""

import importlib.util
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.errors import UserError

COLOURS = {
    "var(--ink)": "#010203",
    "var(--muted)": "#040506",
    "var(--rule)": "#070809",
    "var(--first)": "#0a0b0c",
    "var(--second)": "#0d0e0f",
    "var(--paper)": "#101112",
}
"""CSS variables, and the colours that stand for them while matplotlib draws."""

POINTS = 400

INK, MUTED, RULE, FIRST, SECOND, PAPER = COLOURS.values()


def check_installed() -> None:
    """Raise UserError where matplotlib is missing, before time is spent on what it should draw."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("figures need matplotlib; install it with pip install 'jaxcnn[report]'")


class Series(NamedTuple):
    """A line of a figure: ``strong`` for what the figure is about, faint for what it is compared with."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    strong: bool = True


def curves(
    series: Sequence[Series],
    *,
    x_label: str,
    percent: bool = False,
    from_zero: bool = False,
    mark: float | None = None,
    width: float = 4.6,
) -> str:
    """Lines over one horizontal axis, at most :data:`POINTS` points each (averages of neighbours beyond).

    The vertical range is that of the curves after their first fifth, so that a wild start does not flatten
    the rest.

    Args:
      series: the lines; the strong ones stand out.
      x_label: what runs to the right.
      percent: the values are fractions to be read as percentages.
      width: of the figure in inches, to which its letters stand in proportion; it fills what holds it.
      from_zero: the vertical axis shows 0 too.
      mark: a place on the horizontal axis to point out, e.g. that of the best value.

    Returns:
      ``<svg>`` for a page that defines the variables of :data:`COLOURS`; the same bytes for the same numbers.

    Raises:
      UserError: matplotlib is not installed.

    Example:
      >>> curves([Series("loss", [1, 2, 3], [3.0, 2.0, 1.5])], x_label="epoch")[:4]
      '<svg'
    """
    with style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(width, 0.4 + 0.55 * width), layout="constrained")
        axes = figure.add_subplot()
        drawn = []
        for one in series:
            colour, width, order = (FIRST, 1.8, 3) if one.strong else (SECOND, 1.2, 2)
            drawn += axes.plot(*_thin(one.x, one.y), color=colour, lw=width, zorder=order)
        locator = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])
        low, high = _range(series)
        ticks = locator.tick_values(min(low, 0.0) if from_zero else low, high)
        room = 0.02 * (ticks[-1] - ticks[0])  # so that a line on the edge is not cut in half
        axes.set_ylim(ticks[0] - room, ticks[-1] + room)
        axes.set_yticks(ticks)
        axes.set_xlim(0, max((x for one in series for x in one.x), default=1))
        if mark is not None:
            axes.axvline(mark, color=MUTED, lw=0.8, ls=(0, (2, 3)), zorder=1)
        axes.set_xlabel(x_label)
        place: dict[str, Any] = {
            "loc": "lower left",
            "bbox_to_anchor": (-0.02, 1),
            "ncols": max(1, len(drawn)),
        }
        axes.legend(drawn, [one.label for one in series], frameon=False, handlelength=1.2, **place)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if percent:
            axes.yaxis.set_major_formatter(lambda y, _: f"{round(100 * y, 6):g}%")
        return svg(figure, salt=repr((series, x_label)))


def _range(series: Sequence[Series]) -> tuple[float, float]:
    """The values that matter: those after the first fifth of the horizontal axis."""
    end = max((x for one in series for x in one.x), default=1.0)
    values = [y for one in series for x, y in zip(one.x, one.y, strict=True) if x >= end / 5]
    values = [y for y in values if np.isfinite(y)] or [0.0, 1.0]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.01, high)


def _thin(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most :data:`POINTS` points, each the average of as many neighbours."""
    size = -(-len(x) // POINTS)
    if size <= 1:
        return list(x), list(y)
    cuts = range(size, len(x), size)
    x_means, y_means = ([float(part.mean()) for part in np.split(np.asarray(line), cuts)] for line in (x, y))
    return x_means, y_means


@contextmanager
def style() -> Iterator[None]:
    """What all figures look like, while one is drawn."""
    check_installed()
    import matplotlib.style

    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the layout is the same everywhere
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": RULE,
        "axes.labelcolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": RULE,
        "grid.linewidth": 0.7,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "ytick.left": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    with matplotlib.style.context(["default", settings]):
        yield


def svg(figure: Any, salt: str) -> str:
    """The figure as ``<svg>`` without what a file of its own would need (prolog, namespaces, metadata)."""
    import matplotlib as mpl

    buffer = io.StringIO()
    mpl.rcParams["svg.hashsalt"] = salt
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    opening, rest = text.split(">", 1)
    text = re.sub(r' (xmlns(:\w+)?|version|width|height)="[^"]*"', "", opening) + ">" + rest
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # two figures of one page would share these names
    text = re.sub(r"font: [^;\"]*?([\d.]+)px[^;\"]*", r"font-size: \1px", text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, variable)
    return text.replace("xlink:href", "href").strip()
