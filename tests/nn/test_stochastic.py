"""Modules that draw: identity in evaluation, and no two share a mask."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn

LAYERS = [nn.Dropout, nn.SpatialDropout, nn.DropPath, nn.DropBlock]
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


@each
def test_evaluation_and_rate_zero_are_the_identity_and_need_no_key(layer):
    x = jnp.ones((4, 3, 3, 2))
    assert layer(0.5).apply({}, x) is x
    assert layer(0.0).apply({}, x, train=True) is x


@each
def test_a_rate_outside_the_range_is_refused(layer):
    with pytest.raises(ValueError, match=r"rate=1\.5: expected"):
        layer(1.5).apply({}, jnp.ones((4, 3, 3, 2)), train=True, rngs={"dropout": jax.random.key(0)})


@each
def test_no_two_blocks_and_no_two_calls_share_a_mask(layer):
    class Block(linen.Module):
        @linen.compact
        def __call__(self, x):
            return layer(0.5)(x, train=True)

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x):
            twice = layer(0.5)
            return [Block()(x), Block()(x), twice(x, train=True), twice(x, train=True)]

    x = jnp.ones((64, 4, 4, 8))
    masks = Model().apply({}, x, rngs={"dropout": jax.random.key(0)})
    again = Model().apply({}, x, rngs={"dropout": jax.random.key(0)})
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, again[i])
        for other in masks[:i]:
            # Independent fair coins agree half of the time; 64 examples allow four deviations of 0.0625.
            assert abs(((mask == 0) == (other == 0)).mean() - 0.5) < 0.25


def test_lanes_of_one_program_may_differ_in_their_rate():
    x = jnp.ones((1000,))[:, None]

    def kept(rate):
        y = nn.Dropout(rate).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
        return (y != 0).mean()

    np.testing.assert_allclose(jax.jit(jax.vmap(kept))(jnp.array([0.1, 0.9])), [0.9, 0.1], atol=0.05)
