"""Sizes of the gates' bottlenecks, and the batch statistics inside coordinate attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn

x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 4, 32)), jnp.float32)


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        (nn.SqueezeExcite(), 2),
        (nn.SqueezeExcite(reduction=64), 1),
        (nn.SqueezeExcite(reduced=5), 5),
        (nn.CBAM(reduction=8), 4),
    ],
    ids=["sixteenth", "at least one", "given", "eighth"],
)
def test_the_bottleneck(layer, units):
    params = layer.init(jax.random.key(0), x)["params"]
    assert params["squeeze_kernel"].shape == (32, units)
    assert params["excite_kernel"].shape == (units, 32)


def test_squeeze_excite_has_the_published_number_of_parameters():
    # 2 C² / r weights for a block of C channels, and its two biases.
    params = nn.SqueezeExcite(reduction=4).init(jax.random.key(0), x)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2 * 32**2 // 4 + 8 + 32


def test_coordinate_attention_keeps_running_statistics_of_its_profiles():
    layer = nn.CoordinateAttention()
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["reduce_kernel"].shape == (32, 8)
    _, state = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    profiles = jnp.concatenate([x.mean(2), x.mean(1)], axis=1)
    codes = profiles @ variables["params"]["reduce_kernel"]
    np.testing.assert_allclose(
        state["batch_stats"]["norm"]["mean"], 0.1 * codes.mean((0, 1)), rtol=1e-4, atol=1e-6
    )
