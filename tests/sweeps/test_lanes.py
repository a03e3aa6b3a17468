"""A researcher's own training function, as lanes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn
from jaxcnn.sweeps import lanes


def train(learning_rate, seed):
    """A small convolutional classifier of noise, trained for five steps: its losses."""
    key = jax.random.key(seed)
    x = jax.random.normal(jax.random.fold_in(key, 0), (8, 6, 6, 1))
    y = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.5, (8,))
    layer = nn.Conv(2, 3)
    params = layer.init(jax.random.fold_in(key, 2), x)

    def loss(params):
        logits = layer.apply(params, x).mean(axis=(1, 2))
        return -jnp.where(y[:, None], *jnp.split(jax.nn.log_softmax(logits), 2, axis=1)).mean()

    def step(params, _):
        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient), value

    params, losses = jax.lax.scan(step, params, length=5)
    return {"losses": losses, "params": params}


ROWS = {"learning_rate": [0.1, 1.0, 0.1], "seed": [0, 0, 1]}


@pytest.mark.parametrize("most", [None, 2])
def test_lanes_are_the_function_of_each_row(most):
    together = lanes(train, ROWS, most=most)
    for i in range(3):
        alone = jax.jit(train)(*(column[i] for column in ROWS.values()))
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), together, alone
        )
    assert together["losses"].shape == (3, 5)


def test_a_lane_that_is_nan_hurts_no_neighbour():
    calm = lanes(train, {"learning_rate": [0.1, 0.1], "seed": [0, 1]})
    wild = lanes(train, {"learning_rate": [0.1, float("nan")], "seed": [0, 1]})
    assert np.isnan(wild["losses"][1, -1])
    np.testing.assert_array_equal(wild["losses"][0], calm["losses"][0])


def test_one_compilation_for_all_pieces():
    traced = 0

    def count(x):
        nonlocal traced
        traced += 1
        return x * 2

    np.testing.assert_array_equal(lanes(count, {"x": np.arange(7.0)}, most=3), 2 * np.arange(7.0))
    assert traced == 1


@pytest.mark.parametrize(
    ("rows", "most", "expected"),
    [
        ({}, None, "expected at least one column"),
        ({"a": [1, 2], "b": [1]}, None, r"\{'a': 2, 'b': 1\} rows: expected columns of equal length"),
        ({"a": 1.0}, None, r"hyperparameters\['a'\]=1.0: expected a list of numbers"),
        ({"a": ["x"]}, None, r"hyperparameters\['a'\]=\['x'\]: expected a list of numbers"),
        ({"a": []}, None, "the columns a are empty"),
        ({"a": [1]}, 0, "most=0: expected 1 or more"),
    ],
)
def test_wrong_columns_are_named(rows, most, expected):
    with pytest.raises(ValueError, match=expected):
        lanes(lambda **row: row, rows, most=most)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x > 0 else -x,
        lambda x: sum(1.0 for _ in range(x)),
        lambda x: jnp.ones(x),
        lambda x: np.sqrt(x),
        lambda x: float(x),
    ],
    ids=["branch", "count", "size", "numpy", "float"],
)
def test_what_must_be_known_to_compile_is_no_lane(function):
    with pytest.raises(ValueError, match=r"a number of its lane .*: decide by jnp.where") as caught:
        lanes(function, {"x": [1, 2]})
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_the_function_itself_is_told_as_it_is():
    with pytest.raises(TypeError, match="positional argument"):
        lanes(lambda x: jnp.sin(), {"x": [1.0]})
