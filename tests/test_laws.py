"""Laws that every layer of ``tests/catalogue.py`` keeps.

Compiling is what costs, so one program for each layer computes what all float32 laws look at, and one more
computes derivatives in float64.
"""

import functools
import inspect

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn, ops
from tests.catalogue import BATCH, CATALOGUE, NOT_LAYERS, Layer

LAYERS = {layer.name: layer for layer in CATALOGUE}
HALVES = {"bfloat16": 1.0, "float16": 0.125}

every_layer = pytest.mark.parametrize("layer", CATALOGUE, ids=list(LAYERS))
every_module = pytest.mark.parametrize(
    "layer", [layer for layer in CATALOGUE if layer.module], ids=[n for n, v in LAYERS.items() if v.module]
)


class _Key(linen.Module):
    """The key that a module's first draw would use."""

    @linen.compact
    def __call__(self):
        return self.make_rng("dropout")


def inputs(layer: Layer, seed: int = 0, n: int = BATCH) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal((n, *layer.inputs)), jnp.float32)


@functools.cache
def variables(name: str):
    """The module's variables, none of them at a special value."""
    layer, rng = LAYERS[name], np.random.default_rng(1)
    if layer.module is None:
        return {}
    shapes = jax.eval_shape(layer.module.init, jax.random.key(0), inputs(layer), *layer.args(BATCH))

    def draw(path, leaf):
        values = rng.standard_normal(leaf.shape)
        positive = path[-1].key == "var"
        return jnp.asarray(1 + np.abs(values) if positive else 0.5 * values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def run(layer: Layer, x, variables, key=None):
    """The function on what it asks for."""
    known = {"x": x, "p": variables.get("params"), "s": variables.get("batch_stats"), "key": key}
    asked = inspect.signature(layer.op).parameters.values()
    names = [each.name for each in asked if each.default is each.empty]
    args = iter(layer.args(x.shape[0]))
    return layer.op(*(known[name] if name in known else next(args) for name in names))


def apply(layer: Layer, x, variables, key):
    y, _ = layer.module.apply(
        variables,
        x,
        *layer.args(x.shape[0]),
        train=layer.train,
        mutable=["batch_stats"],
        rngs={"dropout": key},
    )
    return y


def draws(layer: Layer) -> bool:
    return "key" in inspect.signature(layer.op).parameters


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def roll(x, by):
    return jnp.roll(x, by, tuple(range(1, x.ndim - 1)))


@functools.cache
def seen(name: str) -> dict[str, np.ndarray]:
    """What the float32 laws compare, computed by one program."""
    layer = LAYERS[name]

    @jax.jit
    def program(x, other, variables, key, other_key):
        drawn = _Key().apply({}, rngs={"dropout": key})
        f = functools.partial(run, layer, variables=variables, key=drawn)
        lanes, keys = jnp.stack([x, other]), jnp.stack([drawn, other_key])
        y = {
            "op": f(x),
            "poisoned": f(x.at[1].set(jnp.nan)),
            "vmapped": jax.vmap(lambda x, key: run(layer, x, variables, key))(lanes, keys),
            "looped": jnp.stack([f(x), run(layer, other, variables, other_key)]),
        }
        if layer.module is not None:
            y["module"] = apply(layer, x, variables, key)
        if layer.equivariant is not None:
            y["of shifted"] = f(roll(x, layer.equivariant.by))
            y["shifted"] = roll(y["op"], layer.equivariant.moves) if layer.equivariant.moves else y["op"]
        for half in HALVES:
            y[half] = run(layer, x.astype(half), cast(variables, half), drawn)
        if draws(layer):
            y["other key"] = run(layer, x, variables, other_key)
        return y

    arguments = inputs(layer), inputs(layer, 4), variables(name), jax.random.key(2), jax.random.key(5)
    first, second = program(*arguments), program(*arguments)
    for what, value in first.items():
        assert value.tobytes() == second[what].tobytes(), f"{what}: not the same twice"
    return first


def assert_close(ours, expected, tolerance=1e-5):
    assert ours.shape == expected.shape
    expected = np.asarray(expected, np.float32)
    scale = max(np.abs(expected).max(initial=0), 1e-3)
    np.testing.assert_allclose(np.asarray(ours, np.float32), expected, rtol=0, atol=tolerance * scale)


@every_module
def test_the_module_is_the_function_with_its_parameters(layer):
    assert_close(seen(layer.name)["module"], seen(layer.name)["op"])


@every_layer
def test_compiled_is_eager(layer):
    key = _Key().apply({}, rngs={"dropout": jax.random.key(2)})
    assert_close(seen(layer.name)["op"], run(layer, inputs(layer), variables(layer.name), key))


@every_layer
def test_vmap_is_a_loop(layer):
    assert_close(seen(layer.name)["vmapped"], seen(layer.name)["looped"])


@every_layer
def test_examples_do_not_know_of_each_other(layer):
    clean, poisoned = seen(layer.name)["op"], seen(layer.name)["poisoned"]
    if layer.independent:
        assert_close(np.delete(poisoned, 1, axis=0), np.delete(clean, 1, axis=0))
    else:
        assert np.isnan(poisoned).any(axis=tuple(range(1, poisoned.ndim))).all()


@pytest.mark.parametrize(
    "layer", [v for v in CATALOGUE if v.equivariant], ids=[n for n, v in LAYERS.items() if v.equivariant]
)
def test_the_layer_commutes_with_shifts(layer):
    assert_close(seen(layer.name)["of shifted"], seen(layer.name)["shifted"])
    unmoved = seen(layer.name)["op"]
    if layer.equivariant.moves:
        assert np.abs(seen(layer.name)["shifted"] - unmoved).max() > 0.1


@pytest.mark.parametrize("half", list(HALVES))
@every_layer
def test_half_precision_is_kept_and_close(layer, half):
    ours, expected = seen(layer.name)[half], seen(layer.name)["op"]
    assert ours.dtype == half
    if not draws(layer):
        assert_close(ours, expected, layer.half * HALVES[half])


@pytest.mark.parametrize(
    "layer", [v for v in CATALOGUE if draws(v)], ids=[n for n, v in LAYERS.items() if draws(v)]
)
def test_another_key_is_another_draw(layer):
    assert (seen(layer.name)["op"] != seen(layer.name)["other key"]).any()


@every_layer
def test_gradients_are_finite_differences(layer):
    rng = np.random.default_rng(3)
    trained = {name: value for name, value in variables(layer.name).items() if name == "params"}
    rest = {name: value for name, value in variables(layer.name).items() if name != "params"}
    with jax.enable_x64(True):
        key = jax.random.key(2)
        point = cast((inputs(layer), trained), np.float64)
        direction = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), point)
        weights = jnp.asarray(rng.standard_normal(seen(layer.name)["op"].shape))

        @jax.jit
        def derivatives(point, direction, weights, rest):
            def f(point):
                x, trained = point
                return jnp.sum(weights * run(layer, x, {**trained, **rest}, key))

            def along(step):
                return f(jax.tree.map(lambda p, d: p + step * d, point, direction))

            gradient = jax.grad(f)(point)
            products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
            return {
                "finite": jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)]).all(),
                "reverse": jnp.sum(jnp.stack(jax.tree.leaves(products))),
                "forward": jax.jvp(f, (point,), (direction,))[1],
                "difference": (along(1e-6) - along(-1e-6)) / 2e-6,
            }

        found = derivatives(point, direction, weights, cast(rest, np.float64))
        assert found["reverse"].dtype == np.float64
        found = jax.tree.map(float, found)
    assert found["finite"]
    scale = max(abs(found["difference"]), 1.0)
    assert abs(found["reverse"] - found["difference"]) < 1e-6 * scale
    assert abs(found["forward"] - found["difference"]) < 1e-6 * scale


@every_layer
def test_no_tracer_leaks(layer):
    def f(x, variables):
        return run(layer, x, variables, jax.random.key(0)).sum()

    with jax.checking_leaks():
        jax.make_jaxpr(jax.vmap(jax.grad(f), in_axes=(0, None)))(inputs(layer)[None], variables(layer.name))


@every_layer
def test_an_empty_batch_gives_an_empty_batch_or_a_value_error(layer):
    empty = inputs(layer, n=0), variables(layer.name), jax.random.key(0)
    try:
        y = jax.jit(functools.partial(run, layer))(*empty)
    except ValueError:
        return
    assert y.shape == (0, *seen(layer.name)["op"].shape[1:])


@every_module
def test_modules_own_float32_and_compute_in_their_dtype(layer):
    if not hasattr(layer.module, "dtype"):
        assert not jax.tree.leaves(variables(layer.name)), "a module with parameters has a dtype"
        return
    module = layer.module.clone(dtype=jnp.bfloat16)
    y, owned = jax.eval_shape(
        lambda x: module.init_with_output(
            {"params": jax.random.key(0), "dropout": jax.random.key(1)},
            x,
            *layer.args(BATCH),
            train=layer.train,
        ),
        inputs(layer),
    )
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(owned)} == {np.dtype(np.float32)}


def test_ranks_are_never_promoted():
    assert jax.config.jax_numpy_rank_promotion == "raise"  # so every law above ran without


def test_every_public_function_is_in_the_catalogue():
    functions = {name for name in ops.__all__ if inspect.isroutine(getattr(ops, name))}
    layers = {layer.function for layer in CATALOGUE}
    assert functions - layers == NOT_LAYERS.keys(), "add a line to tests/catalogue.py"
    assert layers <= functions


BUILT_OF_LAYERS = {
    "BasicBlock",
    "BottleneckBlock",
    "ConvNorm",
    "DenseHead",
    "FCNHead",
    "FlattenHead",
    "FullyConnectedHead",
    "InvertedResidual",
    "LastHead",
    "PooledHead",
    "ResidualBlock",
}


def test_every_module_is_in_the_catalogue():
    modules = {name for name in nn.__all__ if issubclass(getattr(nn, name), linen.Module)}
    twins = {type(layer.module).__name__ for layer in CATALOGUE if layer.module}
    assert modules - twins == BUILT_OF_LAYERS, "add a line to tests/catalogue.py"
