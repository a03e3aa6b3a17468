"""Training that begins with trained weights: what stays as it is, and how fast each layer learns."""

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import optax

from jaxcnn.engine.step import TrainState
from jaxcnn.errors import UserError, nearest


def started(state: TrainState, trained: Any) -> TrainState:
    """A new state with trained numbers, except where ``trained`` holds only a shape."""

    def pick(new: Any, old: Any) -> Any:
        # a copy: the step donates the state, and what was read serves every lane
        return new if _is_shape(old) else jnp.array(old)

    params = jax.tree.map(pick, state.params, trained["params"])
    batch_stats = jax.tree.map(pick, state.batch_stats, trained["batch_stats"])
    ema = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if state.ema else {}
    return state.replace(params=params, batch_stats=batch_stats, ema=ema)


def said(source: str, trained: Any, summed: Sequence[str] = ()) -> str:
    """What a network starts from, which of its kernels were summed over colours, and what of it is new."""
    new = sorted({path.rpartition("/")[0] for path, leaf in _leaves(trained["params"]) if _is_shape(leaf)})
    changes = [f"with {' and '.join(summed)} summed over red, green and blue"] if summed else []
    changes += [f"with a new {' and '.join(new)} for other classes"] if new else []
    return ", ".join([f"starts from {source}", *changes])


def patterns(text: str) -> tuple[str, ...]:
    """The names in ``--freeze``.

    >>> patterns("stem, stage1")
    ('stem', 'stage1')
    """
    return tuple(word.strip() for word in text.split(",") if word.strip())


def belongs(path: str, names: Iterable[str]) -> bool:
    """Whether a module or parameter is in a part of the network that one of ``names`` means.

    A name means the modules that it spells, as a shell pattern of their paths, those that go on with an
    underscore, and all that is in them: ``stage1`` means ``stage1_block1`` too, but not ``stage10_block1``.

    >>> belongs("stage1_block2/conv1/kernel", ["stem", "stage1"]), belongs("stage10_block1", ["stage1"])
    (True, False)
    >>> belongs("stage2_block1/conv1/norm/scale", ["*/norm"])
    True
    """
    words = path.split("/")
    starts = ["/".join(words[:n]) for n in range(1, len(words) + 1)]
    return any(
        fnmatch.fnmatchcase(start, name + end) for name in names for end in ("", "_*") for start in starts
    )


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def check(params: Any, freeze: Sequence[str]) -> None:
    """Refuse names that mean no parameter, and a network that is left nothing to learn.

    Raises:
      UserError: see above.
    """
    all_paths = [path for path, _ in _leaves(params)]
    for name in freeze:
        if not any(belongs(path, [name]) for path in all_paths):
            parts = {path.split("/")[0] for path in all_paths}
            hint = nearest(name, parts | {path.rpartition("/")[0] for path in all_paths})
            if hint.startswith("known"):  # all that is in the parts would be a long list
                hint = nearest(name, parts)
            raise UserError(f"--freeze={','.join(freeze)}: {name} is no part of the network; {hint}")
    if freeze and all(belongs(path, freeze) for path in all_paths):
        raise UserError(f"--freeze={','.join(freeze)}: nothing is left to learn; leave the head out")


def freezing(optimizer: optax.GradientTransformation, freeze: Sequence[str]) -> optax.GradientTransformation:
    """An optimizer that leaves frozen parameters as they are, and out of the norm of the gradient."""
    if not freeze:
        return optimizer

    def labels(params: Any) -> Any:
        def label(path: Any, leaf: Any) -> str:
            frozen = belongs(jax.tree_util.keystr(path, simple=True, separator="/"), freeze)
            return "freeze" if frozen else "learn"

        return jax.tree_util.tree_map_with_path(label, params)

    return optax.multi_transform({"learn": optimizer, "freeze": optax.set_to_zero()}, labels)


@contextmanager
def evaluating(freeze: Sequence[str]) -> Iterator[None]:
    """Call frozen modules as in evaluation: running statistics stay and count, and nothing is dropped."""

    def interceptor(call: Any, args: Any, kwargs: Any, context: linen.module.InterceptorContext) -> Any:
        if kwargs.get("train") is True and belongs("/".join(context.module.path), freeze):
            kwargs = kwargs | {"train": False}
        return call(*args, **kwargs)

    with linen.intercept_methods(interceptor):
        yield


def layers(model: linen.Module, image_shape: tuple[int, ...]) -> tuple[str, ...]:
    """The modules of a network with parameters, in the order of their calls; ``x_norm`` counts with ``x``.

    Example:
      >>> from jaxcnn import models
      >>> layers(models.create("resnet8(num_filters=4)"), (8, 8, 3))
      ('stem', 'stage1_block1', 'stage2_block1', 'stage3_block1', 'head')
    """
    called: dict[str, None] = {}

    def interceptor(call: Any, args: Any, kwargs: Any, context: linen.module.InterceptorContext) -> Any:
        if context.module.path:
            called.setdefault(_layer(context.module.path[0]))
        return call(*args, **kwargs)

    with linen.intercept_methods(interceptor):
        variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image_shape)))
    owners = {_layer(name) for name in variables["params"]}
    return tuple(name for name in called if name in owners)


def _layer(name: str) -> str:
    return name.removesuffix("_norm")


def decaying(
    optimizer: optax.GradientTransformation, order: Sequence[str], decay: float
) -> optax.GradientTransformation:
    """An optimizer whose learning rate falls from layer to layer towards the input.

    The updates of layer i of n are multiplied by decay^(n − 1 − i), so the last, the head, learns at the full
    rate.

    Args:
      order: see :func:`layers`.
      decay: 1: all layers learn alike.

    Raises:
      UserError: when it is used, a parameter that belongs to no layer of ``order``.

    Reference: Clark, Luong, Le and Manning, ELECTRA, 2020, section 3.1 (layer-wise learning-rate decay).
    """
    if decay == 1:
        return optimizer
    rates = {name: decay ** (len(order) - 1 - i) for i, name in enumerate(order)}

    def scaled(path: Any, update: Any) -> Any:
        name = _layer(jax.tree_util.keystr(path[:1], simple=True))
        if name not in rates:
            raise UserError(f"--layer_decay={decay}: {name} is no layer; {nearest(name, rates)}")
        return update * rates[name]

    def scale(updates: Any, params: Any = None) -> Any:
        return jax.tree_util.tree_map_with_path(scaled, updates)

    return optax.chain(optimizer, optax.stateless(scale))
