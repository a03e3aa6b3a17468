"""A card to draw on in pixels, x to the right and y down, in the colours of the report's page.

What is drawn becomes SVG whose colours follow the reader's light or dark scheme, on a ground of its own, so
that it can be read whatever page it lies on. The same drawing gives the same bytes.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from jaxcnn.analysis import figures
from jaxcnn.analysis.figures import FIRST, INK, MUTED, PAPER, RULE, SECOND

__all__ = ["FIRST", "INK", "MUTED", "PAPER", "RULE", "SECOND", "WIDTH", "WRONG", "Canvas"]

WRONG = "#131415"
COLOURS = figures.COLOURS | {"var(--wrong)": WRONG}

WIDTH = 720
LEVELS = 12
"""Opacities a value can have: few, so that cells of one opacity are one path."""

Point = tuple[float, float]


class Canvas:
    """A drawing of :data:`WIDTH` pixels and any height."""

    def __init__(self, height: int) -> None:
        self.height = height
        self._figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        self._figure.patch.set_visible(False)
        self._pixels = Affine2D().scale(1, -1).translate(0, height)

    def text(
        self, x: float, y: float, words: str, *, size: float = 12, colour: str = INK, anchor: str = "start"
    ) -> None:
        """Words whose baseline starts, has its middle or ends at a point."""
        align = {"start": "left", "middle": "center", "end": "right"}[anchor]
        self._figure.text(
            x, y, words, size=size, color=colour, ha=align, va="baseline", transform=self._pixels
        )

    def note(self, x: float, y: float, words: str, *, anchor: str = "start") -> None:
        """Words beside the matter."""
        self.text(x, y, words, size=11, colour=MUTED, anchor=anchor)

    def boxes(
        self,
        corners: Iterable[Point],
        size: float | Point,
        colour: str,
        *,
        opacity: float = 1,
        line: float = 0,
    ) -> None:
        """Rectangles of one size by their upper left corners: filled, or outlines of the width ``line``."""
        width, height = (size, size) if isinstance(size, int | float) else size
        self.polygons((_rectangle(x, y, width, height) for x, y in corners), colour, opacity, line)

    def polygons(
        self, shapes: Iterable[Sequence[Point]], colour: str, opacity: float = 1, line: float = 0
    ) -> None:
        """Closed shapes, filled or outlines of the width ``line``."""
        self._draw([(shape, True) for shape in shapes], colour, opacity, line, fill=line == 0)

    def lines(
        self,
        strokes: Iterable[Sequence[Point]],
        colour: str,
        *,
        opacity: float = 1,
        line: float = 1.2,
        dashed: bool = False,
    ) -> None:
        """Open lines through points."""
        self._draw([(stroke, False) for stroke in strokes], colour, opacity, line, dashed=dashed)

    def dots(self, points: Iterable[Point], size: float, colour: str, *, opacity: float = 1) -> None:
        """Round dots of the diameter ``size``."""
        self.lines([[point, point] for point in points], colour, opacity=opacity, line=size)

    def arrows(self, strokes: Iterable[tuple[Point, Point]], colour: str, *, line: float = 1.2) -> None:
        """Straight lines with a head at their second end."""
        strokes = list(strokes)
        heads = []
        for (x0, y0), (x1, y1) in strokes:
            length = float(np.hypot(x1 - x0, y1 - y0))
            ux, uy = (x1 - x0) / length, (y1 - y0) / length
            back, side = 3.5 + line, 2.0 + line
            heads.append(
                [
                    (x1, y1),
                    (x1 - back * ux + side * uy, y1 - back * uy - side * ux),
                    (x1 - back * ux - side * uy, y1 - back * uy + side * ux),
                ]
            )
        self.lines(strokes, colour, line=line)
        self.polygons(heads, colour)

    def cells(
        self,
        values: ArrayLike,
        x: float,
        y: float,
        pitch: int,
        *,
        scale: float | None = None,
        colours: tuple[str, str] = (FIRST, SECOND),
        gap: int = 1,
        ground: bool = True,
    ) -> None:
        """A matrix as squares, ``pitch`` pixels from one to the next, the more opaque the larger the value.

        Args:
          values: rows and columns, or one row.
          x, y: the upper left corner.
          pitch: pixels from a square to the next.
          scale: the value that is fully opaque; the largest magnitude by default.
          colours: of positive and of negative values.
          gap: pixels between squares.
          ground: draw a faint square where the value is 0.
        """
        values = np.atleast_2d(np.asarray(values, np.float64))
        scale = scale or float(np.abs(values).max()) or 1.0
        shares = np.clip(values / scale, -1, 1)
        # the hundredth keeps a half on one side, whatever the rounding of the machine
        levels = (np.sign(shares) * np.floor(LEVELS * np.abs(shares) + 0.51)).astype(int)
        side, shape = pitch - gap, values.shape
        if ground and gap:
            self.boxes(
                [(x + c * pitch, y + r * pitch) for r, c in np.ndindex(shape)], side, RULE, opacity=0.55
            )
        elif ground:
            self.boxes([(x, y)], (shape[1] * pitch, shape[0] * pitch), RULE, opacity=0.55)
        for level in sorted(set(levels.ravel().tolist()) - {0}):
            runs = _runs(levels == level, longest=1 if gap else shape[1])
            self.polygons(
                (
                    _rectangle(x + start * pitch, y + row * pitch, (stop - start) * pitch - gap, side)
                    for row, start, stop in runs
                ),
                colours[level < 0],
                opacity=abs(level) / LEVELS,
            )

    def numbers(
        self, words: ArrayLike, x: float, y: float, pitch: int, *, size: float = 11, colour: str = INK
    ) -> None:
        """A word in the middle of each square of :meth:`cells`."""
        for (row, column), word in np.ndenumerate(np.atleast_2d(np.asarray(words, dtype=str))):
            middle = x + (column + 0.5) * pitch - 0.5
            self.text(
                middle, y + (row + 0.5) * pitch + 0.36 * size, word, size=size, colour=colour, anchor="middle"
            )

    def _draw(
        self,
        strokes: Iterable[tuple[Sequence[Point], bool]],
        colour: str,
        opacity: float,
        line: float,
        *,
        fill: bool = False,
        dashed: bool = False,
    ) -> None:
        vertices: list[Point] = []
        codes: list[int] = []
        for points, closed in strokes:
            vertices += points
            codes += [int(Path.MOVETO)] + [int(Path.LINETO)] * (len(points) - 1)
            if closed:
                vertices.append(points[0])
                codes.append(int(Path.CLOSEPOLY))
        if not vertices:
            return
        path = Path(np.round(vertices, 2), codes)
        path.should_simplify = False  # a dot is a line of no length
        self._figure.add_artist(
            PathPatch(
                path,
                transform=self._pixels,
                facecolor=colour if fill else "none",
                edgecolor="none" if fill else colour,
                linewidth=line,
                linestyle=(0, (2, 2.5)) if dashed else "solid",
                alpha=None if opacity == 1 else round(opacity, 3),
                capstyle="butt" if dashed else "round",
                joinstyle="miter",
            )
        )

    def svg(self, title: str) -> str:
        """The drawing as a file."""
        buffer = io.StringIO()
        settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": title, "text.parse_math": False}
        with mpl.rc_context(settings):
            self._figure.savefig(
                buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
            )
        text = buffer.getvalue()
        body = text[text.index("</defs>") + len("</defs>") : text.rindex("</svg>")]
        body = re.sub(r"<!--.*?-->|</?g\b[^>]*>|<defs>.*?</defs>", "", body, flags=re.DOTALL)
        body = re.sub(r"font-family: [^;\"]*; ", "", body)
        body = re.sub(r' transform="rotate\(-?0[^"]*"', "", body)
        body = re.sub(r"; stroke-(linejoin: miter|miterlimit: [\d.]+)", "", body)
        body = re.sub(r"M (\S+) (\S+) \nL (\S+) \2 \nL \3 (\S+) \nL \1 \4 \nz\s*", _shortened, body)
        body = re.sub(r" ?\n([L\"])", r"\1", body)
        for variable, colour in COLOURS.items():
            body = body.replace(colour, variable)
        body = "\n".join(line for line in map(str.strip, body.splitlines()) if line)
        card = (
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{self.height - 1}" rx="8" '
            'fill="var(--paper)" stroke="var(--rule)"/>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" '
            f'viewBox="0 0 {WIDTH} {self.height}" role="img">\n<title>{escape(title)}</title>\n'
            f"<style>{_style()}</style>\n{card}\n{body}\n</svg>\n"
        )


def _rectangle(x: float, y: float, width: float, height: float) -> list[Point]:
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _runs(chosen: np.ndarray, longest: int) -> Iterator[tuple[int, int, int]]:
    """Row, start and stop of neighbours that are chosen, at most so many in one run."""
    for row, line in enumerate(chosen.tolist()):
        start = 0
        while start < len(line):
            stop = start
            while stop < len(line) and line[stop] and stop - start < longest:
                stop += 1
            if stop > start:
                yield row, start, stop
            start = max(stop, start + 1)


def _shortened(match: re.Match[str]) -> str:
    """A rectangle by its corner and sides, a third of the bytes of its four corners."""
    left, top, right, bottom = map(float, match.groups())
    width, height = round(right - left, 4), round(bottom - top, 4)
    return f"M{left:g} {top:g}h{width:g}v{height:g}h{-width:g}z"


def _style() -> str:
    """The page's colours, light and dark, and its letters."""
    page = resources.files("jaxcnn.analysis").joinpath("page.css").read_text("utf-8")
    light, dark = (
        "".join(f"{name}:{colour};" for name, colour in re.findall(r"(--\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)[:2]
    )
    return (
        f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',Arial,sans-serif}"
    )
