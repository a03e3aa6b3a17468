"""Effective fields against closed forms and the theoretical ones."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxcnn import ops
from jaxcnn.analysis import trace
from jaxcnn.analysis.effective import effective_fields, extent
from jaxcnn.analysis.equivariance import Shift, equivariance


def blurs(count):
    def network(x):
        for _ in range(count):
            x = ops.conv(x, jnp.ones((3, 3, 1, 1)) / 9)
        return {"end": x}

    return network


def test_equal_kernels_listen_like_a_binomial():
    """n box blurs of 3 pixels: the trinomial coefficients, close to a Gaussian of variance 2n/3."""
    x = jnp.zeros((1, 21, 21, 1))
    field = effective_fields(blurs(6), x)["end"]
    row = np.array([1.0])
    for _ in range(6):
        row = np.convolve(row, [1, 1, 1])
    expected = np.zeros(21)
    expected[4:17] = row
    np.testing.assert_allclose(
        field / field.max(), np.outer(expected, expected) / expected.max() ** 2, atol=1e-5
    )


def test_it_lies_within_the_theoretical_field():
    x = jnp.zeros((2, 31, 31, 1))
    field = effective_fields(blurs(4), x)["end"]
    theory = trace(lambda x: blurs(4)(x)["end"], x).layers[-1].fields[1]
    first, last = theory.seen(15)
    assert not field[:first].any()
    assert not field[last + 1 :].any()
    assert field[first].any()
    assert field[last].any()
    assert extent(field) < theory.size


def test_channels_and_examples_add_in_squares():
    """Two channels of weights 3 and 4 listen as strongly as one of weight 5, for directions of length √2."""
    kernel = jnp.array([3.0, 4.0]).reshape(1, 1, 1, 2)
    x = jnp.zeros((4000, 1, 1, 1))
    strength = effective_fields(lambda x: {"y": ops.conv(x, kernel)}, x)["y"]
    np.testing.assert_allclose(strength, 5, rtol=0.05)


def test_extent_of_a_gaussian():
    """95% of the energy of exp(-r²/2σ²) lies within |x|, |y| ≤ a where erf(a/σ)² = 0.95."""
    sigma = 8.0
    places = np.arange(101) - 50
    field = np.exp(-(places[:, None] ** 2 + places**2) / (2 * sigma**2))
    a = next(a for a in np.arange(1, 40, 0.01) if math.erf(a / sigma) ** 2 >= 0.95)
    assert abs(extent(field) - 2 * a) <= 2


@pytest.mark.parametrize("measure", [effective_fields, lambda fn, x: equivariance(fn, x, [Shift(0, 1)])])
def test_weights_in_a_partial_are_arguments_of_the_program(measure):
    """As constants of it those of a large network would be folded for a minute."""
    traced = []

    def maps(kernel, x):
        traced.append(isinstance(kernel, jax.core.Tracer))
        return {"y": ops.conv(x, kernel)}

    measure(Partial(maps, jnp.ones((3, 3, 1, 2))), jnp.ones((1, 6, 6, 1)))
    assert any(traced)
