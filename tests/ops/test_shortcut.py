"""The zero-padded shortcut against NumPy, and the shape of the convolution it stands beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops


def test_pixels_are_kept_and_channels_of_zeros_follow():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4, 3)), jnp.float32)
    y = ops.zero_pad_shortcut(x, 7, strides=(2, 3))
    expected = np.zeros((2, 3, 2, 7), np.float32)
    expected[..., :3] = np.asarray(x)[:, ::2, ::3]
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("spatial", [(7,), (8, 5), (1, 2, 3)])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_the_shape_is_that_of_the_strided_convolution(spatial, strides):
    x = jax.ShapeDtypeStruct((2, *spatial, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((*(3,) * len(spatial), 3, 6), jnp.float32)
    past = jax.eval_shape(lambda x: ops.zero_pad_shortcut(x, 6, strides=strides), x)
    branch = jax.eval_shape(lambda x, k: ops.conv(x, k, strides=strides, padding=1), x, kernel)
    assert past == branch


def test_the_gradient_reaches_the_pixels_kept_and_no_others():
    x = jnp.ones((1, 5, 4, 2))
    gradient = jax.grad(lambda x: ops.zero_pad_shortcut(x, 3, strides=2).sum())(x)
    expected = np.zeros(x.shape)
    expected[:, ::2, ::2] = 1
    np.testing.assert_array_equal(gradient, expected)


def test_what_cannot_be_is_refused():
    x = jnp.ones((1, 4, 4, 3))
    with pytest.raises(ValueError, match="features=2: expected 3 or more"):
        ops.zero_pad_shortcut(x, 2)
    with pytest.raises(TypeError, match=r"features=2\.5: expected an int"):
        ops.zero_pad_shortcut(x, 2.5)
    with pytest.raises(ValueError, match="strides"):
        ops.zero_pad_shortcut(x, 3, strides=0)
    with pytest.raises(ValueError, match="shape"):
        ops.zero_pad_shortcut(jnp.ones((4, 3)), 3)
