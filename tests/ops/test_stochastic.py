"""What is dropped, how often, and that the expectation is kept."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops

RATE = 0.3
DROPS = {
    "dropout": ops.dropout,
    "spatial_dropout": ops.spatial_dropout,
    "drop_path": ops.drop_path,
    "drop_block": lambda key, x, rate: ops.drop_block(key, x, rate, block=3),
}
# The axes along which values are dropped together.
SHARED = {"dropout": (), "spatial_dropout": (1, 2), "drop_path": (1, 2, 3), "drop_block": ()}
each = pytest.mark.parametrize("name", list(DROPS))


@each
def test_every_position_is_dropped_at_the_rate_and_the_expectation_kept(name):
    x = np.arange(1.0, 1 + 3 * 5 * 6 * 2, dtype=np.float32).reshape(3, 5, 6, 2)
    draws = 4000
    keys = jax.random.split(jax.random.key(0), draws)
    y = np.asarray(jax.jit(jax.vmap(lambda key: DROPS[name](key, x, RATE)))(keys))
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.broadcast_to(x / (1 - RATE), y.shape)[kept], rtol=1e-5)
    # Five standard deviations of a mean of Bernoulli draws, at each of the 180 positions, border included.
    bound = 5 * np.sqrt(RATE * (1 - RATE) / draws)
    assert np.abs(kept.mean(0) - (1 - RATE)).max() < bound
    assert np.abs((y / x).mean(0) - 1).max() < bound / (1 - RATE)


@each
def test_what_is_shared_and_what_is_independent(name):
    y = DROPS[name](jax.random.key(0), jnp.ones((40, 4, 5, 30)), 0.5)
    kept = np.asarray(y != 0)
    first = kept[tuple(slice(0, 1) if axis in SHARED[name] else slice(None) for axis in range(4))]
    np.testing.assert_array_equal(kept, np.broadcast_to(first, kept.shape))
    half, other = np.split(first.reshape(40, -1), 2)
    assert abs((half == other).mean() - 0.5) < 5 / np.sqrt(half.size)  # examples do not know of each other


def test_what_drop_block_drops_is_a_union_of_blocks():
    y = np.asarray(ops.drop_block(jax.random.key(1), jnp.ones((2, 12, 12, 3)), 0.4, block=3))
    dropped = np.pad(y == 0, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=True)
    windows = np.lib.stride_tricks.sliding_window_view(dropped, (3, 3), axis=(1, 2))
    whole = windows.all((-1, -2))
    covered = np.zeros_like(dropped)
    for i in range(3):
        for j in range(3):
            covered[:, i : i + whole.shape[1], j : j + whole.shape[2]] |= whole
    np.testing.assert_array_equal(covered[:, 2:-2, 2:-2], y == 0)
    assert 0 < (y == 0).mean() < 1


def test_a_block_of_one_pixel_is_dropout():
    x = jnp.ones((64, 8, 8, 4))
    y = ops.drop_block(jax.random.key(0), x, 0.25, block=1)
    assert abs((y == 0).mean() - 0.25) < 0.02


@each
def test_rates_of_zero_and_one(name):
    x, key = jnp.ones((3, 4, 4, 2)), jax.random.key(0)
    np.testing.assert_array_equal(DROPS[name](key, x, 0.0), x)
    np.testing.assert_array_equal(DROPS[name](key, x, 1), jnp.zeros_like(x))
    gradient = jax.grad(lambda x, rate: DROPS[name](key, x, rate).sum())(x, 1.0)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


@each
def test_the_rate_may_be_traced_and_mapped(name):
    x, key = jnp.ones((3, 4, 4, 2)), jax.random.key(0)
    rates = jnp.array([0.0, 0.5, 1.0])
    lanes = jax.jit(jax.vmap(lambda rate: DROPS[name](key, x, rate)))(rates)
    for lane, rate in zip(lanes, rates, strict=True):
        np.testing.assert_allclose(lane, DROPS[name](key, x, float(rate)), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda key, x: ops.dropout(key, x, 1.5), "rate=1.5: expected a probability"),
        (lambda key, x: ops.drop_path(key, x, -0.1), "rate=-0.1: expected a probability"),
        (lambda key, x: ops.drop_block(key, x, 0.1, block=0), "block=0: expected 1 or more"),
        (lambda key, x: ops.drop_block(key, x[0], 0.1), "x has shape (3, 4): expected (batch"),
        (lambda key, x: ops.spatial_dropout(key, x.ravel(), 0.1), "x has shape (24,): expected a batch axis"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jax.random.key(0), jnp.ones((2, 3, 4)))
