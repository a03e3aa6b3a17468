"""TextCNN and TCN: networks over time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from tests.models import family

TEXT = "textcnn(num_filters=4, dropout=0.0)"
TIME = "tcn(num_filters=[4, 4], dropout=0.0)"


@pytest.mark.parametrize(("vocabulary", "vectors"), [(None, 0), (1000, 300_000)])
def test_parameters_of_textcnn_by_arithmetic(vocabulary, vectors):
    """Widths 3, 4 and 5 with 100 features of 300 channels each, then 300 numbers to two classes."""
    expected = sum(width * 300 * 100 + 100 for width in (3, 4, 5)) + 300 * 2 + 2 + vectors
    shape, dtype = ((1, 7, 300), jnp.float32) if vocabulary is None else ((1, 7), jnp.int32)
    assert family.count(f"textcnn(vocabulary={vocabulary})", shape, dtype) == expected


def test_parameters_of_tcn_by_arithmetic():
    """Eight blocks of 25 channels and kernels of 7 on one channel, as the paper's for pixels in a row."""
    convs = [(1, 25), *[(25, 25)] * 15]
    expected = sum(7 * before * after + 2 * after for before, after in convs)  # and length and bias
    expected += 25 + 25 + 25 * 10 + 10  # past the first block, and the head
    assert family.count("tcn(kernel_size=7)", (1, 784, 1)) == expected


@pytest.mark.parametrize(
    ("text", "shape", "tokens"),
    [
        (TEXT, (6, 9, 3), None),
        ("textcnn(num_filters=4, vocabulary=11, embedding=6)", (6, 9), 11),
        (TIME, (6, 9, 2), None),
        ("tcn(num_filters=[4, 4], head='dense', conv='conv', norm='layer')", (6, 9, 2), None),
    ],
)
def test_one_step_lowers_the_loss_of_its_batch(text, shape, tokens):
    family.assert_learns(text, shape, tokens=tokens)


@pytest.mark.parametrize("text", [TEXT, TIME])
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, (2, 9, 3), exact=("head", "at_least"))


@pytest.mark.parametrize("text", [TEXT, TIME, "tcn(num_filters=[4], head='pooled')"])
def test_one_set_of_parameters_fits_every_length(text):
    family.assert_any_size(text, [(2, 9, 3), (1, 40, 3), (2, 1, 3)])


def test_the_maximum_over_time_does_not_know_when():
    """Zeros before and after a sentence, as wide as the widest convolution, change nothing between them."""
    model = models.create(TEXT, num_classes=3)
    x = jax.random.normal(family.KEY, (2, 6, 3))
    variables = family.numbers(model, x, low=-0.6)

    def padded(before, after):
        return model.apply(variables, jnp.pad(x, ((0, 0), (before, after), (0, 0))))

    np.testing.assert_allclose(padded(4, 9), padded(7, 6), rtol=1e-5)


def test_a_short_sentence_has_zeros_behind_it():
    model = models.create("textcnn(widths=[5], num_filters=4)", num_classes=3)
    x = jax.random.normal(family.KEY, (2, 2, 3))
    variables = family.numbers(model, x, low=-0.6)
    padded = jnp.pad(x, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(model.apply(variables, x), model.apply(variables, padded), rtol=1e-5)


@pytest.mark.parametrize(("kernel_size", "blocks"), [(2, 4), (3, 3), (5, 2)])
def test_a_tcn_hears_its_receptive_field_and_nothing_later(kernel_size, blocks):
    """1 + Σ (k − 1) d over both convolutions of each block, by the gradient of every output."""
    field = 1 + sum(2 * (kernel_size - 1) * 2**i for i in range(blocks))
    length = field + 6
    model = models.create(
        f"tcn(num_filters={[3] * blocks}, kernel_size={kernel_size}, head='dense', dropout=0.0)",
        num_classes=2,
    )
    x = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1, (1, length, 2)), jnp.float32)
    variables = family.numbers(model, x)
    jacobian = jax.jit(jax.jacrev(lambda x: model.apply(variables, x)[0].sum(-1)))(x)
    heard = np.asarray(jacobian[:, 0] != 0).any(-1)
    for t in range(length):
        assert np.flatnonzero(heard[t]).tolist() == list(range(max(t - field + 1, 0), t + 1))


def test_the_last_of_every_time_is_the_answer():
    x = jax.random.normal(family.KEY, (2, 9, 3))
    dense, last = (models.create(f"tcn(num_filters=[3], head={head!r})") for head in ("dense", "last"))
    variables = family.numbers(dense, x)
    np.testing.assert_array_equal(last.apply(variables, x), dense.apply(variables, x)[:, -1])


def test_tokens_need_a_vocabulary():
    model = models.create(TEXT)
    with pytest.raises(ValueError, match="vocabulary=None: expected sequences"):
        jax.eval_shape(functools.partial(model.init, family.KEY), jnp.ones((2, 9), jnp.int32))
