"""Stochastic pooling: what is drawn, how often, and what the expectation is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops

rng = np.random.default_rng(0)
DRAWS = 4000


def test_values_are_drawn_in_proportion_to_their_size():
    x = jnp.array([[0.5, -3.0, 1.5], [0.0, 2.0, 0.0], [1.0, 0.25, 0.75]])[None, :, :, None]
    keys = jax.random.split(jax.random.key(0), DRAWS)
    y = jax.jit(jax.vmap(lambda key: ops.stochastic_pool(key, x, 3)))(keys).ravel()
    positive = np.asarray(x)[np.asarray(x) > 0]
    expected = positive / positive.sum()
    counts = np.array([(y == value).sum() for value in positive])
    assert counts.sum() == DRAWS
    assert np.all(np.abs(counts / DRAWS - expected) < 5 * np.sqrt(expected * (1 - expected) / DRAWS))
    np.testing.assert_allclose(
        ops.stochastic_pool(None, x, 3).ravel(), (positive * expected).sum(), rtol=1e-6
    )


@pytest.mark.parametrize("numbers", [{}, {"strides": 1, "padding": 1}, {"strides": 2, "dilation": 2}])
def test_every_draw_is_a_value_of_its_window_and_takes_its_gradient(numbers):
    x = jnp.asarray(rng.permutation(2 * 7 * 7).reshape(2, 7, 7, 1), jnp.float32) + 1

    @jax.jit
    def drawn(x, key):
        y, pullback = jax.vjp(lambda x: ops.stochastic_pool(key, x, 3, **numbers), x)
        return y, pullback(jnp.ones_like(y))[0]

    y, gradient = drawn(x, jax.random.key(0))
    assert (y <= ops.max_pool(x, 3, **numbers)).all()
    assert (y >= -ops.max_pool(-x, 3, **numbers)).all()
    values, counts = np.unique(y, return_counts=True)
    for value, count in zip(values, counts, strict=True):
        assert gradient[x == value] == count
    assert gradient.sum() == y.size


def test_windows_without_positive_values_give_zero():
    x = jnp.array([-1.0, 0.0, -2.0, -3.0, 5.0, 0.0]).reshape(1, 6, 1)
    for key in (None, jax.random.key(0)):
        y, pullback = jax.vjp(lambda x, key=key: ops.stochastic_pool(key, x, 2), x)
        np.testing.assert_array_equal(y.ravel(), [0, 0, 5])
        assert np.isfinite(pullback(jnp.ones_like(y))[0]).all()


def test_small_and_large_values_are_drawn_alike():
    # Sums are compared with a share of themselves, so that rounding can never leave a window without a draw.
    x = jnp.asarray(10.0 ** rng.uniform(-30, 30, (1, 30, 30, 50)), jnp.float32)
    y = ops.stochastic_pool(jax.random.key(0), x, 3)
    assert (y > 0).all()
