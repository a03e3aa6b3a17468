"""Filters against SciPy and their definitions."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.special

from jaxcnn import ops

rng = np.random.default_rng(0)


def test_gaussian_is_scipys_impulse_response():
    impulse = np.zeros((7, 9))
    impulse[3, 4] = 1
    expected = scipy.ndimage.gaussian_filter(impulse, (1.0, 2.0), radius=(3, 4))
    np.testing.assert_allclose(ops.gaussian_filter((7, 9), (1.0, 2.0))[..., 0, 0], expected, atol=1e-6)
    assert ops.gaussian_filter(8).sum() == pytest.approx(1)


def test_binomial_counts_subsets():
    for k in (1, 2, 3, 5, 8):
        expected = scipy.special.comb(k - 1, np.arange(k)) / 2 ** (k - 1)
        np.testing.assert_allclose(ops.binomial_filter(k).ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(
        ops.binomial_filter((3, 2))[..., 0, 0], np.outer([0.25, 0.5, 0.25], [0.5, 0.5]), rtol=1e-6
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_sobel_is_scipys_along_every_axis(ndim):
    x = rng.standard_normal((6,) * ndim)
    y = ops.conv(jnp.asarray(x, jnp.float32)[None, ..., None], ops.sobel_filter(ndim), padding="VALID")[0]
    inside = (slice(1, -1),) * ndim
    for axis in range(ndim):
        np.testing.assert_allclose(y[..., axis], scipy.ndimage.sobel(x, axis)[inside], atol=1e-5)


@pytest.mark.parametrize("window", [(5,), (4, 3), (2, 3, 2)])
def test_the_cosine_basis_is_scipys_transform_and_loses_nothing(window):
    patch = rng.standard_normal(window)
    basis = np.asarray(ops.dct_filter(window)[..., 0, :], np.float64).reshape(patch.size, patch.size)
    np.testing.assert_allclose(patch.ravel() @ basis, scipy.fft.dctn(patch, norm="ortho").ravel(), atol=1e-5)
    np.testing.assert_allclose(basis @ basis.T, np.eye(patch.size), atol=1e-6)


def test_gabor_by_its_definition():
    wavelength, theta, phase, sigma, aspect = 5.0, 0.4, 0.3, 2.5, 0.6
    w = ops.gabor_filter(
        (7, 9), wavelength=wavelength, orientation=theta, phase=phase, sigma=sigma, aspect=aspect
    )
    for row, column in [(0, 0), (3, 4), (6, 2)]:
        x, y = column - 4, row - 3
        u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
        expected = np.exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2)) * np.cos(
            2 * np.pi * u / wavelength + phase
        )
        np.testing.assert_allclose(w[row, column, 0, 0], expected, rtol=1e-5)


def test_gabor_parameters_broadcast_to_features_and_can_be_fitted():
    orientations = jnp.linspace(0, 1, 3)
    bank = ops.gabor_filter(9, wavelength=4.0, orientation=orientations)
    assert bank.shape == (9, 9, 1, 3)
    for i, orientation in enumerate(orientations):
        one = ops.gabor_filter(9, wavelength=4.0, orientation=orientation)
        np.testing.assert_allclose(bank[..., i : i + 1], one, atol=1e-6)
    target = ops.gabor_filter(9, wavelength=4.0, orientation=0.3)

    def misfit(orientation):
        return jnp.square(ops.gabor_filter(9, wavelength=4.0, orientation=orientation) - target).sum()

    downhill = jax.jit(lambda o: jax.lax.fori_loop(0, 200, lambda _, o: o - 0.002 * jax.grad(misfit)(o), o))
    assert downhill(0.5) == pytest.approx(0.3, abs=1e-3)


def test_the_bank_holds_quadrature_pairs_without_response_to_uniform_light():
    bank = np.asarray(ops.gabor_bank(15, orientations=3, wavelengths=(4, 7)), np.float64)[:, :, 0]
    np.testing.assert_allclose(bank.sum((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose((bank**2).sum((0, 1)), 1, atol=1e-5)
    even, odd = np.split(bank, 2, axis=-1)
    np.testing.assert_allclose(even, even[::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(odd, -odd[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.gaussian_filter(0), "window=0: expected 1 or more"),
        (lambda: ops.gaussian_filter((3, 3), (1.0,)), "sigma=(1.0,): expected a number or 2"),
        (lambda: ops.sobel_filter(0), "ndim=0: expected 1 or more"),
        (lambda: ops.gabor_bank(1), "window=(1, 1): expected more than one pixel"),
        (lambda: ops.gabor_filter((3, 3, 3), wavelength=2.0), "window=(3, 3, 3): expected an int or 2 ints"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_filters_follow_the_default_precision():
    with jax.enable_x64(True):
        filters = ops.binomial_filter(5), ops.dct_filter(5)[:, 0], ops.gabor_bank(7)[:, :, 0]
    assert all(each.dtype == jnp.float64 for each in filters)
    binomial, basis, bank = map(np.asarray, filters)
    np.testing.assert_array_equal(binomial.ravel() * 16, scipy.special.binom(4, np.arange(5)))
    np.testing.assert_allclose(basis.T, scipy.fft.dct(np.eye(5), norm="ortho").T, atol=1e-15)
    np.testing.assert_allclose((bank**2).sum((0, 1)), 1, rtol=1e-14)
    np.testing.assert_allclose(bank, ops.gabor_bank(7)[:, :, 0], atol=1e-6)
