"""The page of a network: its layers, what they see of an example, how they answer when it moves."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jaxcnn.analysis import figures, listing, page, pictures
from jaxcnn.analysis.effective import effective_fields, extent
from jaxcnn.analysis.equivariance import Errors, Mirror, Move, Rotation, Shift, equivariance
from jaxcnn.analysis.layers import layer_table, stages
from jaxcnn.analysis.page import Markup, element
from jaxcnn.analysis.tracing import Output, Trace, trace

MAPS = 5  # feature maps shown
ANGLES = range(0, 361, 15)
LINES = range(0, 181, 15)  # degrees of the line that mirrors
NOISE = 8  # examples over which effective fields are averaged
SIDE = 168  # pixels of a picture on the page

Maps = Callable[[jax.Array], dict[str, jax.Array]]


def write(
    path: str | Path, title: str, found: Trace, model: linen.Module, variables: Any, image: np.ndarray
) -> None:
    """Write the page.

    Args:
      path: the file.
      title: the network's name.
      found: its trace for one example.
      model: called ``model.apply(variables, x, train=False)``.
      variables: as it starts, or trained.
      image: an example (h, w, c) uint8.

    Raises:
      UserError: the file cannot be written, or matplotlib is not installed.
    """
    figures.check_installed()
    x = jnp.asarray(image, jnp.float32)[None] / 127.5 - 1
    names, given = stages(model, variables, x, MAPS)
    maps = Partial(given, variables)
    body = []
    if names:
        outputs = dict(zip(sorted(names), trace(maps, x).outputs, strict=True))  # as JAX sorts dictionaries
        noise = np.random.default_rng(0).standard_normal((NOISE, *image.shape))
        effective = effective_fields(maps, jnp.asarray(noise, jnp.float32))
        body = [
            fields(image, {name: (outputs[name], effective[name]) for name in names}),
            answers(names, maps, x),
        ]
    page.write(path, title, header(title, found), *body, layer_table(found))


def header(title: str, found: Trace) -> Markup:
    """The network in a few numbers."""
    facts = [
        ("Input", listing.sizes(found.input[1:])),
        ("Parameters", f"{found.parameters:,}"),
        ("In fully connected layers", f"{found.dense / max(found.parameters, 1):.1%}"),
        ("Multiply-accumulates", listing.number(found.macs)),
        ("Activations", listing.memory(found.activation_bytes)),
        ("Memory at the peak", f"about {listing.memory(found.peak_bytes)}"),
    ]
    kicker = element("p", "Network, before training, one example at a time", class_="kicker")
    return element("header", kicker, element("h1", title), page.facts(facts))


def fields(image: np.ndarray, maps: Mapping[str, tuple[Output, np.ndarray]]) -> Markup:
    """What the middle pixel of each map could see of the example, and what it listens to.

    Args:
      image: the example (h, w, c) uint8.
      maps: for each map in order what it sees, and how strongly it depends on each pixel (h, w).
    """
    cards = []
    for name, (output, strength) in maps.items():
        axes = output.fields[1:3]
        seen = [field.seen(size // 2) for field, size in zip(axes, output.shape[1:3], strict=True)]
        theory = _framed(pictures.input_picture(image), seen)
        heard = pictures.colour(np.sqrt(strength / (strength.max() or 1)) * 2 - 1, pictures.SEQUENTIAL)
        size, jump, _ = listing.fields_text(axes)
        caption = page.join(
            element("code", name),
            element("small", f"sees {size} pixels" + (f", every {jump}" if jump else "")),
            element("small", f"95% within {extent(strength)}"),
        )
        shown = [
            page.picture(pictures.data_uri(_enlarged(theory)), f"What {name} can see of the example"),
            page.picture(pictures.data_uri(_enlarged(heard)), f"How strongly {name} depends on each pixel"),
        ]
        cards.append(page.figure(page.grid(shown, class_="stacked"), caption))
    lead = (
        "For the middle pixel of each map. Above, what it can see of the example, the rest darkened. Below, "
        "how strongly it depends on each pixel (root mean square of its derivatives over noise; brightness "
        "is the square root), and the side of the square that holds 95% of the energy."
    )
    return page.section(
        "Receptive fields, theoretical and effective", page.note(lead), page.grid(cards, class_="errors")
    )


def answers(names: Sequence[str], maps: Maps, x: jax.Array) -> Markup:
    """How each map answers when the example is shifted, turned and mirrored."""
    width = x.shape[2]
    steps = sorted(
        {step for step in (0, 1, 2, 3, 4, 6, 8) if step < width} | {width * i // 8 for i in range(9)}
    )
    turns, mirrors = map(Rotation, ANGLES), map(Mirror, LINES)
    moves: list[Move] = [*(Shift(0, step) for step in steps), *turns, *mirrors]
    moved = iter(equivariance(maps, x, moves))  # together, for one program
    shifted, turned, mirrored = (list(islice(moved, len(each))) for each in (steps, ANGLES, LINES))
    parts = []
    for name in names:
        drawings = [
            _curves("pixels shifted to the right, and around", steps, [one[name] for one in shifted]),
            _curves("degrees turned", ANGLES, [one[name] for one in turned]),
            _curves("mirrored, in a line at … degrees", LINES, [one[name] for one in mirrored]),
        ]
        parts += [element("h3", name), element("div", *drawings, class_="three")]
    lead = (
        "Distances relative to the map itself. Moves along: from the map moved as the image was, 0% for an "
        "equivariant layer. Stays: from the map of the image at rest, 0% for an invariant one. What is "
        "shifted out on the right comes back on the left, which padding by zeros does not follow. What moves "
        "in from beyond the edge of a map does not count, nor, of turning and mirroring, what lies outside "
        "of the circle that fits the image. A mirror at 0 degrees is level and swaps top and bottom; one at "
        "90 is upright and swaps left and right."
    )
    return page.section("Equivariance and invariance", page.note(lead), *parts)


def _curves(x_label: str, x: Sequence[int], errors: Sequence[Errors]) -> Markup:
    places = [float(place) for place in x]
    along, stays = [one.equivariance for one in errors], [one.invariance for one in errors]
    svg = figures.curves(
        [figures.Series("moves along", places, along), figures.Series("stays", places, stays, strong=False)],
        x_label=x_label,
        percent=True,
        from_zero=True,
        width=3.1,
    )
    words = f"{x_label}: at most {max(along):.0%} from moving along, {max(stays):.0%} from staying"
    return page.drawing(svg, words)


def _framed(picture: np.ndarray, seen: Sequence[tuple[int, int] | None]) -> np.ndarray:
    """A picture, dark but for what is seen."""
    shown = np.broadcast_to(picture if picture.ndim == 3 else picture[..., None], (*picture.shape[:2], 3))
    framed = (shown * 0.3).astype(np.uint8)
    rows, columns = (slice(0) if pair is None else slice(pair[0], pair[1] + 1) for pair in seen)
    framed[rows, columns] = shown[rows, columns]
    return framed


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """Several pixels of the page for each pixel, or the other way round."""
    factor = SIDE // max(picture.shape[:2])
    return picture.repeat(factor, 0).repeat(factor, 1) if factor else pictures.shrink(picture, SIDE)
