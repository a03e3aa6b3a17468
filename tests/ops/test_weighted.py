"""Power means against torch, weighted means against SciPy and closed forms."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last

rng = np.random.default_rng(0)


@st.composite
def cases(draw):
    ndim = draw(st.integers(1, 3))
    window = draw(st.tuples(*[st.integers(1, 3)] * ndim))
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * ndim)))
    shape = (2, *(draw(st.integers(k, k + 4)) for k in window), 2)
    return shape, window, strides, draw(st.booleans()), draw(st.sampled_from([1.0, 2.0, 3.5]))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(cases())
def test_lp_pool_is_torchs_with_its_gradient(case):
    functional = pytest.importorskip("torch").nn.functional
    shape, window, strides, ceil_mode, p = case
    hanging = [(n - k) % s for n, k, s in zip(shape[1:-1], window, strides or window, strict=True)]
    assume(not (ceil_mode and any(hanging)))  # there torch multiplies a mean of fewer by the whole window
    one = len(window) == 1
    theirs = getattr(functional, f"lp_pool{len(window)}d")
    numbers = p, window[0] if one else window, strides[0] if one and strides else strides, ceil_mode
    assert_agree(
        lambda x: ops.lp_pool(x, window, p=p, strides=strides, ceil_mode=ceil_mode),
        lambda x: channels_last(theirs(channels_first(x), *numbers)),
        rng.uniform(0.1, 2, shape),  # torch takes no absolute value
        tolerance=1e-7,
    )


def test_lp_pool_takes_absolute_values_and_grows_into_the_maximum():
    x = jnp.asarray(rng.standard_normal((2, 6, 6, 3)), jnp.float32)
    windows = np.abs(x).reshape(2, 3, 2, 3, 2, 3).astype(np.float64)
    for p in (1, 2.0, 3.0):
        expected = (windows**p).sum((2, 4)) ** (1 / p)
        np.testing.assert_allclose(ops.lp_pool(x, 2, p=p), expected, rtol=1e-5)
    np.testing.assert_array_equal(ops.lp_pool(x, 2, p=np.inf), np.abs(x).reshape(windows.shape).max((2, 4)))
    np.testing.assert_allclose(ops.lp_pool(x, 2, p=40.0), ops.lp_pool(x, 2, p=np.inf), rtol=0.04)


def test_lp_pool_of_zeros_has_gradient_zero():
    gradient = jax.grad(lambda x: ops.lp_pool(x, 2).sum())(jnp.zeros((1, 4, 4, 1)))
    np.testing.assert_array_equal(gradient, jnp.zeros((1, 4, 4, 1)))


def test_the_exponent_can_be_learned():
    x = jnp.asarray(rng.uniform(0.1, 2, (1, 4, 1)), jnp.float32)
    slope = jax.jit(jax.grad(lambda p: ops.lp_pool(x, 4, p=p).sum()))(3.0)
    exact = np.asarray(x, np.float64)
    norm = lambda p: (exact**p).sum() ** (1 / p)  # noqa: E731
    np.testing.assert_allclose(slope, (norm(3.001) - norm(2.999)) / 0.002, rtol=1e-3)


@pytest.mark.parametrize("by_channel", [False, True])
def test_weighted_pool_is_a_correlation_of_each_channel(by_channel):
    x = rng.standard_normal((2, 7, 6, 3))
    weights = rng.standard_normal((3, 2, 3) if by_channel else (3, 2))
    y = ops.weighted_pool(jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32), strides=(2, 1))
    for c in range(3):
        kernel = weights[..., c] if by_channel else weights
        full = scipy.ndimage.correlate(x[..., c], kernel[None], origin=(0, 0, -1), mode="constant")
        np.testing.assert_allclose(y[..., c], full[:, 1:-1:2, : 6 - 1], atol=1e-5)


def test_equal_weights_are_average_pooling_in_every_mode():
    x = jnp.asarray(rng.standard_normal((2, 8, 7, 3)), jnp.float32)
    for numbers in ({}, {"padding": 1}, {"strides": 2, "ceil_mode": False}, {"dilation": 2, "strides": 1}):
        np.testing.assert_allclose(
            ops.weighted_pool(x, jnp.full((3, 3), 1 / 9), **numbers), ops.avg_pool(x, 3, **numbers), atol=1e-6
        )
    hanging = ops.weighted_pool(x, jnp.ones((3, 3)), strides=2, ceil_mode=True)
    assert hanging.shape == ops.avg_pool(x, 3, strides=2, ceil_mode=True).shape


def test_gaussian_pool_is_scipys_filter_at_every_stride():
    x = rng.standard_normal((2, 9, 9, 1))
    y = ops.gaussian_pool(jnp.asarray(x, jnp.float32), 5, sigma=1.1, strides=2, padding=2)
    smooth = scipy.ndimage.gaussian_filter(x, (0, 1.1, 1.1, 0), mode="constant", radius=(0, 2, 2, 0))
    np.testing.assert_allclose(y, smooth[:, ::2, ::2], atol=1e-5)


@pytest.mark.parametrize("size", [6, 7])
def test_blur_pool_is_a_binomial_filter_then_subsampling(size):
    x = rng.standard_normal((2, size, size, 3))
    smooth = x
    for axis in (1, 2):
        smooth = scipy.ndimage.correlate1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="mirror")
    np.testing.assert_allclose(ops.blur_pool(jnp.asarray(x, jnp.float32)), smooth[:, ::2, ::2], atol=1e-6)


def test_blur_pool_aliases_less_than_subsampling():
    # The fastest grating must vanish; subsampled it would look like uniform light.
    x = jnp.tile(jnp.array([1.0, -1.0]), 8).reshape(1, 16, 1)
    assert jnp.abs(ops.blur_pool(x, padding="CIRCULAR")).max() < 1e-6
    assert jnp.abs(ops.blur_pool(x, 1)).min() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.lp_pool(x, 2, p=0.5), "p=0.5: expected 1 or more"),
        (
            lambda x: ops.weighted_pool(x, jnp.ones((2, 2))),
            "weights have shape (2, 2): expected 1 axes of taps",
        ),
        (lambda x: ops.gaussian_pool(x, 3, sigma=(1.0, 2.0)), "sigma=(1.0, 2.0): expected a number or 1"),
        (lambda x: ops.blur_pool(x, padding="MIRROR"), "padding='MIRROR' is not known"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((1, 4, 3)))
