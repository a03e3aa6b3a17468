"""A trace as plain text: the table of one network, or two side by side."""

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

from jaxcnn.analysis.jaxpr.field import Field
from jaxcnn.analysis.jaxpr.layering import Layer
from jaxcnn.analysis.tracing import Trace

UNKNOWN = "?"

LEGEND = """\
field  pixels that one output sees along each spatial axis, padding included; all: the whole input
jump   pixels from one output to the next
start  first pixel that output 0 sees; below 0: padding"""


HEAD = ("layer", "operation", "output", "parameters", "MACs", "memory", "field", "jump", "start")


def table(found: Trace) -> str:
    """The layers of a network, its totals, and what deserves a word.

    >>> import jax, jax.numpy as jnp
    >>> from jaxcnn.analysis import trace
    >>> x, kernel = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32), jax.ShapeDtypeStruct((9, 2), jnp.float32)
    >>> found = trace(lambda k, x: x[:, :6:2, :6:2].reshape(1, 9) @ k, kernel, x)
    >>> print(table(found).splitlines()[0])
    layer     operation  output  parameters  MACs   memory  field  jump  start
    """
    lines = aligned([HEAD, *rows(found), total(found)], left=3)
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], "", *remarks(found), "", LEGEND])


def rows(found: Trace) -> list[tuple[str, ...]]:
    """The cells of :data:`HEAD` for each layer, empty where there is nothing to say."""
    return [
        (
            layer.name,
            layer.operation,
            sizes(layer.output, found),
            f"{layer.parameters:,}" if layer.parameters else "",
            number(layer.macs) if layer.macs != 0 else "",
            memory(layer.bytes),
            *_cells(layer, found),
        )
        for layer in found.layers
    ]


def total(found: Trace) -> tuple[str, ...]:
    """The last row."""
    sums = (f"{found.parameters:,}", number(found.macs), memory(found.activation_bytes))
    return ("total", "", "", *sums, "", "", "")


def remarks(found: Trace) -> list[str]:
    """Totals in words, and what a reader should not miss."""
    lines = [
        f"{number(found.macs)} multiply-accumulates; about {memory(found.peak_bytes)} in use at the peak, "
        "weights included"
    ]
    if found.dense:
        lines.append(f"fully connected layers hold {found.dense / found.parameters:.1%} of the parameters")
    for layer in found.layers:
        if layer.unread:
            name = f"{layer.name} ({layer.operation})"
            lines.append(f"{name} never reads {layer.unread:,} of its {layer.pixels:,} pixels")
    unknown: dict[str, list[str]] = {}
    for layer in found.layers:
        if layer.unknown:
            unknown.setdefault(", ".join(layer.unknown), []).append(layer.name)
    for reason, names in unknown.items():
        more = f" and {len(names) - 1} more rows" if len(names) > 1 else ""
        lines.append(f"{names[0]}{more}: not all is known: {reason}")
    if any(not field.regular for layer in found.layers for field in _spatial(layer, found)):
        lines.append("* some outputs see more or less, e.g. at a border that padding continues")
    if found.unused:
        lines.append(f"parameters that nothing reads: {', '.join(found.unused)}")
    return lines


def compare(first: Trace, second: Trace, names: Sequence[str]) -> str:
    """Two networks side by side: totals with their ratio, then layers by layers."""
    facts: list[tuple[str, Callable[[Trace], int | None], Callable[[Any], str]]] = [
        ("layers", lambda found: len(found.layers), number),
        ("parameters", lambda found: found.parameters, "{:,}".format),
        ("of them dense", lambda found: found.dense, "{:,}".format),
        ("MACs", lambda found: found.macs, number),
        ("activations", lambda found: found.activation_bytes, memory),
        ("peak memory", lambda found: found.peak_bytes, memory),
    ]
    lines: list[tuple[str, ...]] = [("", *names, "ratio")]
    for title, get, text in facts:
        one, other = get(first), get(second)
        ratio = f"{other / one:.2f}" if one and other is not None else ""
        lines.append((title, text(one), text(other), ratio))
    fields = [_widest(found) for found in (first, second)]
    lines.append(("widest field", *fields, ""))
    shown = [HEAD.index(name) for name in ("layer", "operation", "output", "parameters", "MACs", "field")]
    sides = [
        aligned([[row[i] for i in shown] for row in (HEAD, *rows(found))], left=3)
        for found in (first, second)
    ]
    width = max(map(len, sides[0]))
    pairs = [f"{one:<{width}}  |  {other}".rstrip() for one, other in zip_longest(*sides, fillvalue="")]
    return "\n".join([*aligned(lines, left=1), "", *pairs])


def aligned(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Rows as lines whose columns align, the first ``left`` of them on the left.

    >>> aligned([("a", "10"), ("bc", "2")], left=1)
    ['a   10', 'bc   2']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def number(value: float | None) -> str:
    """A count with three digits.

    >>> number(640), number(40_551_040), number(4_089_184_256), number(None)
    ('640', '40.6 M', '4.09 G', '?')
    """
    if value is None:
        return UNKNOWN
    return _scaled(value, 1000, ("", "k", "M", "G", "T", "P"))


def memory(value: float | None) -> str:
    """Bytes with three digits.

    >>> memory(40), memory(65536)
    ('40 B', '64.0 KiB')
    """
    if value is None:
        return UNKNOWN
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    power = 0
    while value >= base * 0.9995 and power < len(units) - 1:
        value, power = value / base, power + 1
    digits = 0 if power == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f} {units[power]}".strip()


def sizes(shape: Iterable[int], found: Trace | None = None) -> str:
    """A shape; of a batch of one example, that example's.

    >>> sizes((8, 56, 56, 128))
    '8×56×56×128'
    """
    shape = tuple(shape)
    if found is not None and found.input[:1] == (1,) and shape[:1] == (1,) and len(shape) > 1:
        shape = shape[1:]
    return "×".join(map(str, shape))


def fields_text(fields: Sequence[Field]) -> tuple[str, str, str]:
    """Size, jump and start of the fields along the spatial axes, once where all are alike."""
    one_size = [
        "all" if field.whole and field.fixed else f"{'' if field.jump is not None else '≤'}{field.size}"
        for field in fields
    ]
    marks = "" if all(field.regular for field in fields) else "*"
    return (
        _together(one_size) + marks,
        _together(["" if not field.jump else str(field.jump) for field in fields]),
        _together(["" if not field.jump else str(field.start) for field in fields]),
    )


def _cells(layer: Layer, found: Trace) -> tuple[str, str, str]:
    fields = _spatial(layer, found)
    if layer.fields and layer.unknown and layer.macs is not None:
        return UNKNOWN, "", ""
    return fields_text(fields) if fields else ("", "", "")


def _spatial(layer: Layer, found: Trace) -> list[Field]:
    return [layer.fields[axis] for axis in found.spatial] if layer.fields else []


def _widest(found: Trace) -> str:
    spatial = [field for layer in found.layers for field in _spatial(layer, found) if not field.fixed]
    return str(max((field.size for field in spatial), default=""))


def _together(cells: Sequence[str]) -> str:
    return cells[0] if len(set(cells)) == 1 else "×".join(cells)
