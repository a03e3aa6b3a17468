"""A network layer by layer: its table without running it, its feature maps of one example."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn


class Layer(NamedTuple):
    """One module that has parameters of its own, or no modules inside.

    Attributes:
      name: its path in the network, ``stage1_block1/conv1/conv``.
      kind: its class.
      output: shape of its output for one example, without the batch axis.
      parameters: numbers it learns (running statistics are not learned).
      macs: multiply-accumulates of its kernel for one example; 0 for a module without a kernel, None where a
        kernel is there but how often it is used is unknown.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int | None


def table(model: linen.Module, image_shape: Sequence[int]) -> list[Layer]:
    """The layers of a network in the order they run, from shapes alone: nothing is allocated or computed.

    A convolution or dense layer with kernel K uses every weight once at every output position, so it costs
    positions · |K| multiply-accumulates. A module that runs twice costs twice and its parameters count once.

    Args:
      model: called ``model.apply(variables, x, train=False)``.
      image_shape: of one example, (*spatial, c).

    Returns:
      One :class:`Layer` for each.

    Example:
      >>> from jaxcnn import models
      >>> layers = table(models.create("lenet5"), (28, 28, 1))
      >>> layers[0]
      Layer(name='c1', kind='Conv', output=(28, 28, 6), parameters=156, macs=117600)
      >>> sum(layer.parameters for layer in layers)
      61706
    """
    calls: dict[tuple[str, ...], list[tuple[linen.Module, Any]]] = {}

    def record(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.method_name != "__call__":
            return run(*args, **kwargs)
        calls.setdefault(context.module.path, [])  # now, so that modules stand in the order they begin
        result = run(*args, **kwargs)
        if not (args and result is args[0]):  # what does nothing, as dropout in evaluation, is no layer
            calls[context.module.path].append((context.module, result))
        return result

    def initialize(key: jax.Array) -> Any:
        with linen.intercept_methods(record):
            return model.init(key, jnp.zeros((1, *image_shape)), train=False)

    variables = jax.eval_shape(initialize, jax.random.key(0))
    parents = {path[:i] for path in calls for i in range(len(path))}
    layers = []
    for path, made in calls.items():
        own = _own(variables.get("params", {}), path, calls)
        if made and (own or path not in parents):
            layers.append(_layer(path, made, own))
    return layers


def _own(params: Any, path: tuple[str, ...], modules: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The parameters of the module at ``path`` itself, not of modules inside."""
    for name in path:
        params = params.get(name, {})
    return {name: value for name, value in params.items() if (*path, name) not in modules}


def _layer(path: tuple[str, ...], made: list[tuple[linen.Module, Any]], own: dict[str, Any]) -> Layer:
    module, last = made[-1]
    macs: int | None = 0
    if "kernel" in own:
        uses = [result.size // result.shape[-1] for _, result in made]
        macs = sum(uses) * own["kernel"].size if type(module) in (nn.Conv, nn.Dense) else None
    leaves = jax.tree.leaves(own)
    output = tuple(jax.tree.leaves(last)[0].shape[1:])
    return Layer("/".join(path), type(module).__name__, output, sum(leaf.size for leaf in leaves), macs)


def total_macs(layers: Sequence[Layer]) -> int | None:
    """Multiply-accumulates of one example; None when those of a layer are unknown."""
    counts = [layer.macs for layer in layers]
    return None if None in counts else sum(filter(None, counts))


def first_kernel(variables: Mapping[str, Any], layers: Sequence[Layer]) -> tuple[str, np.ndarray] | None:
    """Name and weights of the first convolution; None when the network has none."""
    for layer in layers:
        params: Any = variables["params"]
        for name in layer.name.split("/"):
            params = params.get(name, {})
        if len(np.shape(params.get("kernel"))) >= 3:
            return layer.name, np.asarray(params["kernel"])
    return None


def feature_maps(
    model: linen.Module, variables: Mapping[str, Any], x: Any, most: int = 6
) -> dict[str, np.ndarray]:
    """What the parts of a network make of one example.

    Args:
      model: called ``model.apply(variables, x, train=False)``.
      variables: its variables.
      x: one example as the network takes it, (*spatial, c), without a batch axis.
      most: parts shown; of more, the first, the last, and some at equal distances between.

    Returns:
      Outputs (*spatial, features), of more than one position, of the modules at the top of the network, by
      name in the order they run.

    Example:
      >>> from jaxcnn import models
      >>> model, x = models.create("lenet5"), jnp.ones((28, 28, 1))
      >>> maps = feature_maps(model, model.init(jax.random.key(0), x[None]), x)
      >>> {name: m.shape for name, m in maps.items()}
      {'c1': (28, 28, 6), 's2': (14, 14, 6), 'c3': (10, 10, 16), 's4': (5, 5, 16)}
    """
    order: list[str] = []

    def top(module: linen.Module, method: str) -> bool:
        here = len(module.path) == 1 and method == "__call__"
        if here and module.path[0] not in order:
            order.append(module.path[0])
        return here

    @jax.jit
    def run(variables: Any, x: jax.Array) -> Any:
        _, state = model.apply(
            variables, x, train=False, capture_intermediates=top, mutable=["intermediates"]
        )
        return state["intermediates"]

    found = run(variables, jnp.asarray(x)[None])
    outputs = {name: jax.tree.leaves(found[name])[0] for name in order if name in found}
    maps = {name: np.asarray(y[0], np.float32) for name, y in outputs.items() if y.ndim == np.ndim(x) + 1}
    names = [name for name, y in maps.items() if max(y.shape[:-1]) > 1]
    if len(names) > most:
        names = [names[round(i)] for i in np.linspace(0, len(names) - 1, most)]
    return {name: maps[name] for name in names}
