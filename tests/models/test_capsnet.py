"""CapsNet, with its reconstruction."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, ops
from tests.models import family

SMALL = "capsnet(num_filters=4, types=2, dim=3, digit_dim=4, kernel_size=3, hidden=[6, 7])"
X = jax.random.uniform(family.KEY, (4, 8, 9, 1))


def test_parameters_are_the_papers():
    """Section 4: 9×9 convolutions to 256 and 32·8 channels, 6·6·32 capsules to 10, and the decoder."""
    encoder = (81 * 256 + 256) + (81 * 256 * 256 + 256) + 1152 * 10 * 8 * 16
    decoder = (160 * 512 + 512) + (512 * 1024 + 1024) + (1024 * 784 + 784)
    assert (encoder, decoder) == (6_804_224, 1_411_344)  # "6.8M", and 8.2M together
    assert family.count("capsnet", (1, 28, 28, 1)) == encoder + decoder
    assert family.count("capsnet(decoder=False)", (1, 28, 28, 1)) == encoder


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_step_lowers_the_margin_loss(iterations):
    text = SMALL.replace("(", f"(iterations={iterations}, ")
    family.assert_learns(text, (4, 8, 8, 1), loss_of=ops.margin_loss, rate=0.1)


def test_half_precision_computes_in_it_and_keeps_parameters_and_logits():
    family.assert_half_precision(SMALL, (2, 8, 8, 1), exact=("decoder",))


def test_logits_are_lengths_and_the_longest_capsule_is_decoded():
    model = models.create(SMALL, num_classes=3)
    variables = family.numbers(model, X, low=-0.6)
    apply = functools.partial(model.apply, intermediates=["digit", "decoder"])
    logits, parts = jax.jit(apply)(variables, X)
    np.testing.assert_allclose(logits, np.linalg.norm(parts["digit"], axis=-1), rtol=1e-5)
    images = model.reconstruct(variables, parts["digit"], logits.argmax(-1), X.shape[1:])
    assert images.shape == X.shape
    np.testing.assert_allclose(parts["decoder"], images, rtol=1e-5)


def test_a_reconstruction_knows_only_its_capsule():
    model = models.create(SMALL, num_classes=3)
    variables = family.numbers(model, X, low=-0.6)
    capsules = jax.random.normal(family.KEY, (4, 3, 4))
    labels = jnp.array([0, 2, 1, 2])

    @jax.jit
    def gradient(capsules):
        return jax.grad(lambda c: model.reconstruct(variables, c, labels, X.shape[1:]).sum())(capsules)

    known = np.asarray(gradient(capsules) != 0).any(-1)
    np.testing.assert_array_equal(known, jax.nn.one_hot(labels, 3, dtype=bool))


def test_wrong_images_and_networks_are_refused():
    model = models.create("capsnet")
    with pytest.raises(ValueError, match=r"kernel_size=9: expected images of 17 or more pixels"):
        model.init(family.KEY, jnp.ones((1, 16, 16, 1)))
    with pytest.raises(ValueError, match="decoder=False"):
        models.create("capsnet(decoder=False)").reconstruct({}, X, X, (8, 8, 1))
