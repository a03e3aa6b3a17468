"""Convolution by a table of connections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from jaxcnn import nn, ops

TABLE = ((0, 2), (1,), (2, 1, 0))


def test_every_feature_is_the_sum_of_its_own_correlations():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(7, 6, 3)), rng.normal(size=(3, 2, 6)), rng.normal(size=3)
    expected, connection = [], 0
    for row, b in zip(TABLE, bias, strict=True):
        total = np.full((5, 5), b)
        for channel in row:
            total = total + correlate2d(x[..., channel], kernel[..., connection], mode="valid")
            connection += 1
        expected.append(total)
    with jax.enable_x64(True):
        y = ops.table_conv(x[None], kernel, bias, table=TABLE, padding="VALID")
        np.testing.assert_allclose(y[0], np.stack(expected, -1), rtol=1e-12)


def test_features_with_more_connections_start_with_smaller_kernels():
    """Variance one over the taps and channels that the feature reads."""
    layer = nn.TableConv((tuple(range(2)), tuple(range(50))), 9)
    x = jax.ShapeDtypeStruct((1, 9, 9, 50), jnp.float32)
    kernel = layer.init(jax.random.key(0), jnp.zeros(x.shape))["params"]["kernel"]
    assert kernel.shape == (9, 9, 52)
    for part, fan_in in ((kernel[..., :2], 162), (kernel[..., 2:], 4050)):
        assert float(part.var() * fan_in) == pytest.approx(1, abs=6 * np.sqrt(2 / part.size))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0], []], r"table\[1\]=\[\]: expected different channels of x, from 0 to 2"),
        ([[0, 0]], r"table\[0\]=\[0, 0\]"),
        ([[3]], r"table\[0\]=\[3\]"),
        ([[-1]], r"table\[0\]=\[-1\]"),
        ([], r"table=\[\]: expected one feature or more"),
        (np.zeros((0, 2), int), r"table=.*: expected one feature or more"),
        ([[0, 1, 2]], r"kernel has shape \(3, 2\): expected 1 axes of taps and 3 connections"),
    ],
)
def test_wrong_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        ops.table_conv(jnp.ones((1, 5, 3)), jnp.ones((3, 2)), table=table)


@pytest.mark.parametrize("table", [[[0.5]], [0, 1], 3])
def test_a_table_that_is_none_is_named(table):
    with pytest.raises(TypeError, match=r"table=.*: expected for each feature the channels it reads"):
        ops.table_conv(jnp.ones((1, 5, 3)), jnp.ones((3, 2)), table=table)


def test_a_table_may_be_an_array():
    x, kernel = jnp.array([[[1.0, 10.0, 100.0]]]), jnp.array([[1.0, 2.0, 3.0, 4.0]])
    y = ops.table_conv(x, kernel, table=np.array([[0, 1], [2, 0]]))
    np.testing.assert_array_equal(y.ravel(), [1 + 20, 300 + 4])
