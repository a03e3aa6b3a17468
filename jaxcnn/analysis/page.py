"""One self-contained HTML page: no script, no address outside the file, light and dark, screen and paper.

Every function returns :class:`Markup`. Whatever is not ``Markup`` is text, and is escaped where it enters.
"""

import html
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jaxcnn.errors import UserError
from jaxcnn.files import write_atomically


class Markup(str):
    """Text that is HTML already."""


def escape(value: Any) -> Markup:
    """A value as HTML; :class:`Markup` stays as it is.

    >>> escape("a < b"), escape(Markup("<b>"))
    ('a &lt; b', '<b>')
    """
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """An element with its attributes (``class_`` for class, ``_`` for ``-``; None and False are left out).

    >>> element("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    words = [
        f'{name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    ]
    opening = f"<{' '.join([tag, *words])}>"
    if tag in ("img", "br", "meta"):
        return Markup(opening)
    return Markup(f"{opening}{join(*children)}</{tag}>")


def join(*parts: Any) -> Markup:
    """Parts one after another."""
    return Markup("".join(map(escape, parts)))


def section(title: str, *body: Any) -> Markup:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *body)


def note(*text: Any) -> Markup:
    """A paragraph beside the matter."""
    return element("p", *text, class_="note")


def figure(content: Markup, caption: Any, *, class_: str | None = None) -> Markup:
    """Anything to look at, with the words that explain it."""
    return element("figure", content, element("figcaption", caption), class_=class_)


def drawing(svg: str, description: str) -> Markup:
    """An ``<svg>`` from :mod:`jaxcnn.analysis.figures`, described for those who cannot see it."""
    return element("div", Markup(svg), class_="drawing", role="img", aria_label=description)


def picture(source: str, description: str, *, width: int | None = None) -> Markup:
    """An image from a ``data:`` address; ``description`` is empty when the words beside it say all."""
    return element("img", src=source, alt=description, width=width, loading="lazy")


def grid(items: Iterable[Any], *, class_: str, description: str | None = None) -> Markup:
    """Things side by side, as many as the width holds; one picture to a reader of ``description``."""
    role = None if description is None else "img"
    return element("div", *items, class_=f"grid {class_}", role=role, aria_label=description)


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """Names with their values; pairs whose value is None are left out."""
    rows = [
        element("div", element("dt", name), element("dd", value))
        for name, value in pairs
        if value is not None
    ]
    return element("dl", *rows, class_="facts")


def table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: Any,
    numbers: Sequence[int] = (),
    foot: Sequence[Any] | None = None,
) -> Markup:
    """A table whose first column names the rows.

    Args:
      head: the columns' names.
      rows: cells; None is an empty one.
      caption: what the table shows.
      numbers: indices of the columns to align as numbers.
      foot: a last row, e.g. of totals.
    """

    def row(cells: Sequence[Any]) -> Markup:
        parts = [
            element(
                "td" if i else "th",
                "" if cell is None else cell,
                scope=None if i else "row",
                class_="number" if i in numbers else None,
            )
            for i, cell in enumerate(cells)
        ]
        return element("tr", *parts)

    titles = [
        element("th", cell, scope="col", class_="number" if i in numbers else None)
        for i, cell in enumerate(head)
    ]
    parts = [
        element("caption", caption),
        element("thead", element("tr", *titles)),
        element("tbody", *map(row, rows)),
    ]
    if foot is not None:
        parts.append(element("tfoot", row(foot)))
    return scroll(element("table", *parts))


def scroll(content: Markup) -> Markup:
    """What may be wider than a phone, in a box that scrolls by touch and by keyboard."""
    return element("div", content, class_="scroll", tabindex=0)


def code(text: str) -> Markup:
    """Commands or files, to the letter."""
    return element("pre", element("code", text), tabindex=0)


def details(summary: Any, *body: Any, open_: bool = False) -> Markup:
    """A part that opens on demand."""
    inner = element("summary", summary)
    return element("details", inner, *body, open="" if open_ else None)


def document(title: str, *body: Any) -> Markup:
    """The whole page."""
    style = resources.files("jaxcnn.analysis").joinpath("page.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    return Markup(
        f"<!doctype html>\n{element('html', head, element('body', element('main', *body)), lang='en')}\n"
    )


def write(path: str | os.PathLike[str], title: str, *body: Any) -> None:
    """Write a page so that readers find the old one or the new one, never half of it.

    Args:
      path: the file.
      title: the page's name, for the browser's tab.
      *body: parts of the page in order.

    Raises:
      UserError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write(f"{folder}/page.html", "A page", section("Hello", note("1 < 2")))
      ...     Path(f"{folder}/page.html").read_text()[-80:]
      '...<h2>Hello</h2><p class="note">1 &lt; 2</p></section></main></body></html>\\n'
    """
    path = Path(path)
    try:
        write_atomically(path, document(title, *body))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another file") from error
