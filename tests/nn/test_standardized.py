"""A convolution that does not see the mean and scale of its kernel."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn


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
