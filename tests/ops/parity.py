"""Comparison of a function of ours with torch's: the result and every gradient, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def channels_first(x):
    """(n, *spatial, c) to (n, c, *spatial), as torch reads images."""
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def kernel_first(kernel):
    """(*taps, c, features) to (features, c, *taps), as torch reads kernels."""
    return kernel.movedim((-1, -2), (0, 1))


def assert_agree(ours, theirs, *arrays, tolerance=1e-10):
    """Both functions take and give arrays laid out as ours; torch's takes and gives tensors."""
    torch = pytest.importorskip("torch")
    arrays = [np.asarray(array, np.float64) for array in arrays]
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    expected = theirs(*tensors)
    cotangent = np.random.default_rng(0).standard_normal(expected.shape)
    expected_gradients = torch.autograd.grad(expected, tensors, torch.from_numpy(cotangent))

    @jax.jit
    def value_and_gradients(arrays, cotangent):
        y, pullback = jax.vjp(ours, *arrays)
        return y, pullback(cotangent)

    with jax.enable_x64(True):
        y = jax.eval_shape(ours, *map(jnp.asarray, arrays))
        assert y.shape == tuple(expected.shape)
        y, gradients = value_and_gradients(list(map(jnp.asarray, arrays)), jnp.asarray(cotangent))
        assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    for ours_, theirs_ in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours_, theirs_.numpy(), rtol=tolerance, atol=tolerance)
