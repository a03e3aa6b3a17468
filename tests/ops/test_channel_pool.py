"""Maxout against NumPy; complex cells against the physics of gratings."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops

rng = np.random.default_rng(0)


def test_maxout_is_the_largest_of_neighbouring_channels():
    x = rng.standard_normal((2, 3, 12)).astype(np.float32)
    np.testing.assert_array_equal(ops.maxout(x, 4), x.reshape(2, 3, 3, 4).max(-1))


def test_maxout_of_two_maps_is_the_absolute_value():
    x = jnp.linspace(-1, 1, 7)[:, None]
    np.testing.assert_allclose(ops.maxout(ops.dense(x, jnp.array([[1.0, -1.0]])), 2), jnp.abs(x))


def grating(wavelength, orientation, phase, size=25):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    u = x * np.cos(orientation) + y * np.sin(orientation)
    return jnp.asarray(np.cos(2 * np.pi * u / wavelength + phase), jnp.float32)[None, :, :, None]


def test_complex_cells_answer_alike_at_every_phase_where_simple_cells_do_not():
    bank = ops.gabor_bank(13, orientations=4, wavelengths=(5.0,))
    phases = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    images = jnp.concatenate([grating(5.0, 0.0, phase) for phase in phases])
    simple = ops.conv(images, bank, padding="VALID")
    energy = ops.complex_cell(simple)
    middle = energy.shape[1] // 2
    answers = energy[:, middle, middle]
    assert answers[:, 0].std() / answers[:, 0].mean() < 0.05
    assert simple[:, middle, middle, 0].std() > 0.5 * answers[:, 0].mean()
    # And they prefer their own orientation, of four, over all others.
    np.testing.assert_array_equal(answers.argmax(-1), np.zeros(len(phases)))
    assert answers[:, 0].min() > 3 * answers[:, 2].max()


def test_the_energy_at_zero_has_gradient_zero():
    np.testing.assert_array_equal(jax.grad(lambda x: ops.complex_cell(x).sum())(jnp.zeros(4)), jnp.zeros(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.maxout(x, 2), "pieces=2: expected a divisor of the 3 channels"),
        (lambda x: ops.complex_cell(x), "x has 3 channels: expected an even number"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((2, 3)))
