"""Interpolation against torch, with its gradients."""

import jax
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


@pytest.mark.parametrize("op", [ops.resize, ops.adaptive_avg_pool])
def test_images_of_mixed_sizes_are_each_as_alone(op):
    before, after = np.array([[5, 7], [3, 7], [1, 2]]), np.array([[9, 4], [6, 7], [4, 1]])
    if op is ops.adaptive_avg_pool:
        after = np.full_like(after, [4, 3])
    x = np.full((3, 5, 7, 2), np.nan, np.float32)
    for i, (h, w) in enumerate(before):
        x[i, :h, :w] = rng.standard_normal((h, w, 2))
    largest = tuple(after.max(0).tolist())
    sizes = (before, after) if op is ops.resize else before
    y = jax.jit(lambda x, sizes: op(x, largest, sizes=sizes))(x, sizes)
    for i, ((h, w), (rows, columns)) in enumerate(zip(before, after, strict=True)):
        alone = op(jnp.asarray(x[i : i + 1, :h, :w]), (int(rows), int(columns)))
        np.testing.assert_allclose(y[i : i + 1, :rows, :columns], alone, rtol=1e-6, atol=1e-6)


def test_sizes_are_one_for_each_image_and_axis():
    with pytest.raises(ValueError, match=r"sizes has shape \(3,\): expected \(3, 1\)"):
        ops.resize(jnp.ones((3, 4, 2)), 2, sizes=(jnp.ones(3), jnp.ones(3)))


def test_the_same_size_is_the_image_itself():
    x = jnp.asarray(rng.standard_normal((2, 3, 4, 2)), jnp.float32)
    assert jnp.array_equal(ops.resize(x, (3, 4)), x)
