"""What the layers of a network are and make, for its page and for that of a run."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.analysis import listing, page
from jaxcnn.analysis.page import Markup, element
from jaxcnn.analysis.tracing import Trace

Stages = Callable[[Any, jax.Array], dict[str, jax.Array]]
"""From variables and images to maps by name."""


def layer_table(found: Trace, most: int | None = None) -> Markup:
    """Every layer with its shape, cost and field; folded away where there are more than ``most``."""
    rows = [(element("code", row[0]), *(cell or None for cell in row[1:])) for row in listing.rows(found)]
    caption = (
        "For one example. Field: pixels that one output sees along each spatial axis, padding included. "
        "Jump: pixels from one output to the next. Start: the first pixel that output 0 sees, below 0 in "
        "padding."
    )
    numbers = range(3, len(listing.HEAD))
    table = page.table(listing.HEAD, rows, caption=caption, numbers=numbers, foot=listing.total(found))
    if most is not None and len(rows) > most:
        table = page.details(f"All {len(rows)} layers", table)
    return page.section("Layers", *(page.note(line) for line in listing.remarks(found)), table)


def first_kernel(variables: Mapping[str, Any], found: Trace) -> tuple[str, np.ndarray] | None:
    """Name and weights of the first convolution; None when the network has none."""
    for layer in found.layers:
        params: Any = variables["params"]
        for name in (*layer.name.split("/"), "kernel"):
            params = params.get(name, {}) if isinstance(params, Mapping) else {}
        if np.ndim(params) >= 3:
            return layer.name, np.asarray(params)
    return None


def stages(model: linen.Module, variables: Any, x: jax.Array, most: int) -> tuple[list[str], Stages]:
    """The parts at the top of a network that keep positions.

    Args:
      model: called ``model.apply(variables, x, train=False)``.
      variables: its variables, or their shapes.
      x: examples as the network takes them, (n, *spatial, c).
      most: parts; of more, the first, the last, and some at equal distances between.

    Returns:
      Their names in the order they run, and what gives their outputs (n, *spatial, features).

    Example:
      >>> from jaxcnn import models
      >>> model, x = models.create("lenet5"), jnp.zeros((1, 28, 28, 1))
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
      >>> names, maps = stages(model, variables, x, most=5)
      >>> names, jax.eval_shape(maps, variables, x)["c3"].shape
      (['c1', 's2', 'c3', 's4'], (1, 10, 10, 16))
    """
    order: list[str] = []

    def top(module: linen.Module, method: str) -> bool:
        here = len(module.path) == 1 and method == "__call__"
        if here and module.path[0] not in order:
            order.append(module.path[0])
        return here

    def every(variables: Any, x: jax.Array) -> dict[str, jax.Array]:
        _, state = model.apply(
            variables, x, train=False, capture_intermediates=top, mutable=["intermediates"]
        )
        outputs = {name: state["intermediates"].get(name) for name in order}
        return {name: jax.tree.leaves(each)[0] for name, each in outputs.items() if each is not None}

    shapes = jax.eval_shape(every, variables, x)
    kept = [name for name in order if name in shapes and len(shapes[name].shape) == x.ndim]
    kept = [name for name in kept if max(shapes[name].shape[1:-1]) > 1]
    if len(kept) > most:
        kept = [kept[round(i)] for i in np.linspace(0, len(kept) - 1, most)]

    def chosen(variables: Any, x: jax.Array) -> dict[str, jax.Array]:
        found = every(variables, x)
        return {name: found[name] for name in kept}

    return kept, chosen


def feature_maps(
    model: linen.Module, variables: Mapping[str, Any], x: Any, most: int = 6
) -> dict[str, np.ndarray]:
    """What the :func:`stages` of a network make of one example (*spatial, c), without a batch axis.

    Example:
      >>> from jaxcnn import models
      >>> model, x = models.create("lenet5"), jnp.ones((28, 28, 1))
      >>> maps = feature_maps(model, model.init(jax.random.key(0), x[None]), x)
      >>> {name: m.shape for name, m in maps.items()}
      {'c1': (28, 28, 6), 's2': (14, 14, 6), 'c3': (10, 10, 16), 's4': (5, 5, 16)}
    """
    batch = jnp.asarray(x)[None]
    names, maps = stages(model, variables, batch, most)
    found = jax.jit(maps)(variables, batch)
    return {name: np.asarray(found[name][0], np.float32) for name in names}
