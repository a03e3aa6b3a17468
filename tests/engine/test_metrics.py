"""Losses and averages against torch and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.engine import metrics


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_torchs(smoothing):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 5)).astype(np.float32) * 4
    labels = rng.integers(0, 5, 7)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), reduction="none", label_smoothing=smoothing
    )
    actual = metrics.cross_entropy(jnp.asarray(logits), jnp.asarray(labels), smoothing)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_cross_entropy_is_float32_whatever_the_logits():
    assert (
        metrics.cross_entropy(jnp.zeros((2, 3), jnp.bfloat16), jnp.zeros(2, jnp.int32)).dtype == jnp.float32
    )


def test_masked_examples_do_not_count_even_when_not_finite():
    logits = jnp.array([[9.0, 0.0], [0.0, 9.0], [jnp.nan, jnp.nan]])
    labels, mask = jnp.array([0, 0, 0]), jnp.array([1.0, 1.0, 0.0])
    found = metrics.classification(logits, labels, mask)
    assert float(found["accuracy"].value()) == 0.5
    assert float(found["accuracy"].count) == 2
    # softmax of (9, 0) and its mirror: log(1 + e^-9) and 9 + log(1 + e^-9)
    assert float(found["loss"].value()) == pytest.approx(4.5 + np.log1p(np.exp(-9.0)), rel=1e-5)


def test_sums_over_unequal_batches_are_exact():
    values = jnp.arange(10.0)
    ones = jnp.ones(10)
    parts = [metrics.Mean.of(values[a:b], ones[a:b]) for a, b in ((0, 3), (3, 4), (4, 10))]
    total = parts[0] + parts[1] + parts[2]
    assert float(total.value()) == 4.5
