"""Convolutions with a kernel that is normalised as it is used."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn, ops


def test_the_result_does_not_depend_on_the_kernels_mean_and_scale():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 5, 3)), jnp.float32)
    layer = nn.StandardizedConv(4, 3, epsilon=0.0)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    other = {"params": {**variables["params"], "kernel": 5 * kernel + 3}}
    np.testing.assert_allclose(layer.apply(other, x), y, atol=1e-4)
    assert set(nn.StandardizedConv(4, 3, use_gain=True).init(jax.random.key(0), x)["params"]) == {
        "kernel",
        "gain",
        "bias",
    }


def test_weight_normalization_changes_nothing_at_the_start():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 3)), jnp.float32)
    y, variables = nn.WeightNormConv(4, 3).init_with_output(jax.random.key(0), x)
    params = variables["params"]
    np.testing.assert_allclose(y, ops.conv(x, params["kernel"], params["bias"]), rtol=1e-5, atol=1e-6)
