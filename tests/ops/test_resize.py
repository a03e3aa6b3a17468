"""Interpolation against torch, with its gradients."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("spatial", "size"),
    [((5,), (13,)), ((7,), (3,)), ((4, 6), (9, 4)), ((1, 3), (5, 3)), ((2, 3, 4), (5, 2, 8))],
)
def test_resize_is_torchs_with_its_gradient(spatial, size):
    functional = pytest.importorskip("torch").nn.functional
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]

    def theirs(x):
        return channels_last(functional.interpolate(channels_first(x), size, mode=mode, align_corners=False))

    assert_agree(lambda x: ops.resize(x, size), theirs, rng.standard_normal((2, *spatial, 3)))


def test_the_same_size_is_the_image_itself():
    x = jnp.asarray(rng.standard_normal((2, 3, 4, 2)), jnp.float32)
    assert jnp.array_equal(ops.resize(x, (3, 4)), x)
