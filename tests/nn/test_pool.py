"""Modules of pooling that own or draw something."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn, ops

rng = np.random.default_rng(0)
x = jnp.asarray(rng.uniform(0, 1, (2, 6, 6, 3)), jnp.float32)
SIZES = jnp.array([[6, 4], [3, 5]])


def test_learned_pooling_begins_as_average_pooling_and_learns():
    for layer, shape in [(nn.WeightedPool(2), (2, 2)), (nn.WeightedPool(2, per_channel=True), (2, 2, 3))]:
        y, variables = layer.init_with_output(jax.random.key(0), x)
        assert variables["params"]["weights"].shape == shape
        np.testing.assert_allclose(y, ops.avg_pool(x, 2), atol=1e-6)
        gradient = jax.grad(lambda v, layer=layer: layer.apply(v, x).sum())(variables)
        places = x.reshape(2, 3, 2, 3, 2, 3).sum((0, 1, 3))  # each weight multiplies what it reads
        expected = places if len(shape) == 3 else places.sum(-1)
        np.testing.assert_allclose(gradient["params"]["weights"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "function", "sizes"),
    [
        (nn.AdaptiveAvgPool(3), ops.adaptive_avg_pool, SIZES),
        (nn.AdaptiveMaxPool(3), ops.adaptive_max_pool, SIZES),
        (nn.Resize(3), ops.resize, (SIZES, SIZES // 2)),
    ],
    ids=["average", "maximum", "resize"],
)
def test_mixed_sizes_are_those_of_the_function(layer, function, sizes):
    mixed = layer.apply({}, x, sizes=sizes)
    np.testing.assert_array_equal(mixed, function(x, 3, sizes=sizes))
    assert (mixed != layer.apply({}, x)).any()


def test_stochastic_pooling_draws_in_training_alone():
    layer = nn.StochasticPool(2)
    np.testing.assert_array_equal(layer.apply({}, x), ops.stochastic_pool(None, x, 2))
    first, second = (layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(i)}) for i in range(2))
    assert (first != second).any()
    assert np.isin(first, x).all()
