"""Adaptive pooling against torch, with its gradients."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last

rng = np.random.default_rng(0)


@st.composite
def cases(draw):
    """Fewer, as many and more outputs than pixels, on one to three axes; values that tie and that do not."""
    ndim = draw(st.integers(1, 3))
    spatial, size = (draw(st.tuples(*[st.integers(1, 7)] * ndim)) for _ in range(2))
    shape = (2, *spatial, 2)
    return (rng.integers(0, 3, shape) if draw(st.booleans()) else rng.standard_normal(shape)), size


@pytest.mark.parametrize("kind", ["avg", "max"])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(cases())
def test_adaptive_pooling_is_torchs_with_its_gradient(kind, case):
    functional = pytest.importorskip("torch").nn.functional
    x, size = case
    ours = {"avg": ops.adaptive_avg_pool, "max": ops.adaptive_max_pool}[kind]
    theirs = getattr(functional, f"adaptive_{kind}_pool{len(size)}d")
    assert_agree(
        lambda x: ours(x, size), lambda x: channels_last(theirs(channels_first(x), size)), x, tolerance=1e-12
    )


def test_maxima_of_images_of_mixed_sizes_are_those_of_each_alone():
    """Fewer, as many and more pixels than outputs; NaN outside, which must not win."""
    sizes = np.array([(7, 6), (3, 4), (1, 5)])
    x = np.full((3, 7, 6, 2), np.nan, np.float32)
    alone = [rng.standard_normal((1, *size, 2)).astype(np.float32) for size in sizes]
    for i, (image, size) in enumerate(zip(alone, sizes, strict=True)):
        x[i, : size[0], : size[1]] = image[0]
    found = ops.adaptive_max_pool(jnp.asarray(x), (3, 4), sizes=sizes)
    for i, image in enumerate(alone):
        np.testing.assert_array_equal(found[i], ops.adaptive_max_pool(image, (3, 4))[0])
    with pytest.raises(ValueError, match=re.escape("sizes has shape (2, 2): expected (3, 2)")):
        ops.adaptive_max_pool(jnp.asarray(x), (3, 4), sizes=sizes[:2])


def test_one_output_is_the_global_pool():
    x = jnp.asarray(rng.standard_normal((2, 5, 4, 3)), jnp.float32)
    np.testing.assert_allclose(ops.adaptive_avg_pool(x, 1)[:, 0, 0], ops.global_avg_pool(x), atol=1e-6)
    np.testing.assert_array_equal(ops.adaptive_max_pool(x, 1)[:, 0, 0], ops.global_max_pool(x))


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "size=0: expected 1 or more"),
        ((2, 2), ValueError, "size=(2, 2): expected an int or 1 ints"),
        (2.5, TypeError, "size=2.5: expected an int"),
    ],
)
def test_bad_sizes_are_named(size, error, message):
    for function in (ops.adaptive_avg_pool, ops.adaptive_max_pool):
        with pytest.raises(error, match=re.escape(message)):
            function(jnp.ones((1, 4, 3)), size)
