"""The report of a training run, section by section."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn.analysis import figures, page, pictures, statistics
from jaxcnn.analysis.page import Markup, element

MATRIX_CLASSES = 30  # beyond, a matrix says less than the list of its greatest entries

Rows = Sequence[Mapping[str, Any]]


def header(
    title: str, place: str, score: Markup, facts: Sequence[tuple[str, Any]], *, warning: str | None = None
) -> Markup:
    """What was trained, how well it does, and the job in a few numbers."""
    alert = element("p", warning, class_="note warning") if warning else ""
    kicker = element("p", "Training report · ", element("code", place), class_="kicker")
    return element("header", kicker, element("h1", title), alert, score, page.facts(facts))


def score(correct: int, count: int, split: str) -> Markup:
    """Accuracy on a split with its 95% Wilson interval."""
    low, high = statistics.wilson(correct, count)
    decimals = 1 if count < 5000 else 2
    words = (
        f"{split} accuracy · {correct:,} of {count:,} right · "
        f"95% interval {_percent(low, decimals)} to {_percent(high, decimals)}"
    )
    value = element("strong", _percent(correct / count, decimals))
    return element("div", value, element("span", words), class_="score")


def learning(rows: Rows, best_step: int | None) -> Markup:
    """Loss and accuracy of both splits over the epochs.

    Args:
      rows: logged metrics, each with ``step epoch split loss accuracy``.
      best_step: where the model that is judged comes from.
    """
    epochs = {row["step"]: row["epoch"] for row in rows}
    parts = []
    for quantity in ("loss", "accuracy"):
        series = []
        for split in ("train", "validation"):
            chosen = [row for row in rows if row["split"] == split]
            values = [float(row[quantity]) for row in chosen]
            if chosen:
                strong = split == "validation"
                series.append(figures.Series(split, [row["epoch"] for row in chosen], values, strong))
        svg = figures.curves(
            series, x_label="epoch", percent=quantity == "accuracy", mark=epochs.get(best_step or -1)
        )
        ends = "; ".join(f"{one.label} ends at {_value(quantity, one.y[-1])}" for one in series)
        drawing = page.drawing(svg, f"{quantity.capitalize()} over the epochs: {ends}.")
        parts.append(element("div", element("h3", quantity.capitalize()), drawing))
    caption = (
        "Training as it went, augmentation and all; validation on the whole split. "
        "The first fifth of training may leave the frame."
    )
    if best_step is not None:
        caption += f" The dotted line is step {best_step:,}, whose model is shown below."
    return page.section("Learning curves", page.figure(element("div", *parts, class_="pair"), caption))


def confusion(labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], split: str) -> Markup:
    """Which classes are taken for which: a matrix, or for many classes the most confused pairs."""
    matrix = statistics.confusion_matrix(labels, predictions, len(class_names))
    few = len(class_names) <= MATRIX_CLASSES
    pairs = [
        (f"{class_names[c.true]} taken for {class_names[c.predicted]}", f"{c.times:,} of {c.total:,}")
        for c in statistics.most_confused(matrix, 8 if few else 20)
    ]
    caption = "The most frequent mistakes"
    if not few:
        caption += f" among {len(class_names):,} classes of the {split} split"
    parts = [_matrix(matrix, class_names, split)] if few else []
    if pairs:
        parts.append(page.table(("mistake", "times"), pairs, caption=caption, numbers=(1,)))
    return page.section(
        "Confusion matrix" if few else "Most confused classes", element("div", *parts, class_="confusion")
    )


def _matrix(matrix: np.ndarray, names: Sequence[str], split: str) -> Markup:
    tall = "tall" if max(map(len, names)) > 3 else None
    head = [element("th", element("span", name), scope="col", class_=tall, title=name) for name in names]
    rows = []
    for i, counts in enumerate(matrix):
        cells = [
            element(
                "td",
                f"{n}",
                class_="zero" if n == 0 else "hit" if i == j else "miss",
                style=f"--share:{n / max(counts.sum(), 1):.3f}" if n else None,
            )
            for j, n in enumerate(counts.tolist())
        ]
        recall = _percent(counts[i] / counts.sum()) if counts.sum() else "–"
        name = element("th", names[i], scope="row", title=names[i])
        rows.append(element("tr", name, *cells, element("td", recall, class_="recall")))
    corner = element("td")
    recall = element("th", "recall", scope="col", class_="recall")
    caption = (
        f"Examples of the {split} split: a row for each true class, a column for what the model says, "
        "and the share of the class that it finds."
    )
    table = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", corner, *head, recall)),
        element("tbody", *rows),
    )
    return element("div", page.scroll(table), class_="matrix")


def worst(
    images: Sequence[np.ndarray],
    labels: Sequence[int],
    probabilities: np.ndarray,
    class_names: Sequence[str],
    wrong: int,
) -> Markup:
    """The errors that the model was surest of.

    Args:
      images: (h, w, c) uint8 each, the worst first.
      labels: their true classes.
      probabilities: (n, classes) that the model gave.
      class_names: of all classes.
      wrong: errors in all.
    """
    title = "Worst errors"
    if not len(images):
        return page.section(title, page.note("None: every example of the split is right."))
    cards = []
    for image, label, chances in zip(images, labels, probabilities, strict=True):
        said = int(np.argmax(chances))
        shown = pictures.shrink(pictures.input_picture(image), 96)
        caption = page.join(
            element("b", class_names[said], class_="wrong"),
            " for ",
            element("b", class_names[label]),
            element("small", f"{_percent(chances[said])} sure, {_percent(chances[label])} for the truth"),
        )
        words = f"A {class_names[label]} that the model takes for {class_names[said]}"
        cards.append(page.figure(page.picture(pictures.data_uri(shown), words), caption))
    kept = (
        f"{len(cards)} of {wrong:,} errors"
        if wrong > len(cards)
        else f"{wrong} error{'s' * (wrong > 1)} in all"
    )
    lead = f"{kept}, the surest first: what the model said for what it was."
    return page.section(title, page.note(lead), page.grid(cards, class_="errors"))


def filters(name: str, kernel: np.ndarray) -> Markup:
    """The weights of the first convolution as pictures."""
    shown = pictures.filter_pictures(kernel)
    *taps, channels, features = kernel.shape
    size = "×".join(map(str, taps))
    of = f"the first {len(shown)} of {features}" if features > len(shown) else f"all {features}"
    colours = (
        "red, green and blue weights as colours, mid grey is zero"
        if channels == 3 and len(taps) == 2
        else "red is above zero, blue below, pale is zero"
    )
    side = ", input channels side by side" if channels not in (1, 3) and len(taps) == 2 else ""
    caption = page.join(
        element("code", name),
        f": {of} filters of {size} weights on {channels} channel{'s' * (channels > 1)}{side}; {colours}; ",
        "one scale for all.",
    )
    items = [page.picture(pictures.data_uri(one), "") for one in shown]
    grid = page.grid(items, class_="filters", description=f"{len(shown)} filters of {size} weights")
    return page.section("First-layer filters", page.figure(grid, caption))


def feature_maps(image: np.ndarray, label: str, maps: Mapping[str, np.ndarray]) -> Markup:
    """What each part of the network makes of one example.

    Args:
      image: (h, w, c) uint8.
      label: the example's class.
      maps: (h, w, features) for each part, by name in order.
    """
    shown = pictures.data_uri(pictures.shrink(pictures.input_picture(image), 96))
    height, width = image.shape[:2]
    rows = [_layer("input", f"{height}×{width}", [page.picture(shown, f"the example, a {label}")], "input")]
    for name, values in maps.items():
        tiles = [page.picture(pictures.data_uri(one), "") for one in pictures.map_pictures(values)]
        height, width, channels = values.shape
        kept = f"{channels}" if channels == len(tiles) else f"{len(tiles)} of {channels}"
        size = f"{height}×{width}, {kept} channels"
        rows.append(_layer(name, size, tiles, "maps", f"feature maps of {name}"))
    caption = (
        f"One example of class {label} on its way through the network; the first channels of each part, "
        "dark for the part's least value and light for its greatest."
    )
    return page.section("Feature maps", page.figure(element("div", *rows), caption))


def _layer(name: str, size: str, tiles: list[Markup], class_: str, description: str | None = None) -> Markup:
    words = element("div", element("code", name), element("small", size))
    return element("div", words, page.grid(tiles, class_=class_, description=description), class_="layer")


def again(commands: Sequence[tuple[str, str]], config: str, environment: Mapping[str, Any]) -> Markup:
    """How to get the same result: commands, every flag, and what else it depends on.

    Args:
      commands: what each does, and the command.
      config: the flagfile.
      environment: ``environment.json``.
    """
    parts: list[Markup] = []
    for does, command in commands:
        parts += [element("h3", does), page.code(command)]
    pairs = [(name, value) for name, value in environment.items() if not isinstance(value, Mapping)]
    pairs += [pair for value in environment.values() if isinstance(value, Mapping) for pair in value.items()]
    return page.section(
        "Run it again",
        *parts,
        page.details("Every flag", page.code(config.strip())),
        page.details("Environment", page.facts([(name.replace("_", " "), value) for name, value in pairs])),
    )


def _percent(value: float, decimals: int = 1) -> str:
    """A fraction in percent; never 100% or 0% for what is not.

    >>> _percent(0.9917), _percent(1.0), _percent(0.99999), _percent(0.99999, 2)
    ('99.2%', '100%', '99.9%', '99.99%')
    """
    if value in (0.0, 1.0):
        return f"{value:.0%}"
    step = 10.0**-decimals
    return f"{min(max(value * 100, step), 100 - step):.{decimals}f}%"


def _value(quantity: str, value: float) -> str:
    return _percent(value) if quantity == "accuracy" else f"{value:.3g}"
