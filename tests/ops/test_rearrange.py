"""Rearrangement against torch, and TensorFlow's order against its definition."""

import re
from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import channels_first, channels_last

rng = np.random.default_rng(0)
BLOCKS = [(2,), (3, 2), (2, 1, 3)]


def deep(block, batch=2, channels=3):
    spatial = (3, 2, 4)[: len(block)]
    return rng.standard_normal((batch, *spatial, channels * int(np.prod(block)))).astype(np.float32)


def test_pixel_shuffle_is_torchs():
    torch = pytest.importorskip("torch")
    x = deep((3, 3))
    theirs = channels_last(torch.nn.functional.pixel_shuffle(channels_first(torch.from_numpy(x)), 3)).numpy()
    np.testing.assert_array_equal(ops.pixel_shuffle(x, 3), theirs)
    back = channels_last(torch.nn.functional.pixel_unshuffle(channels_first(torch.from_numpy(theirs)), 3))
    np.testing.assert_array_equal(ops.pixel_unshuffle(theirs, 3), back.numpy())


@pytest.mark.parametrize("block", BLOCKS)
def test_space_to_depth_by_its_definition(block):
    x = ops.depth_to_space(deep(block), block)
    y = ops.space_to_depth(x, block)
    for number, place in enumerate(product(*map(range, block))):
        read = x[(slice(None), *(slice(p, None, b) for p, b in zip(place, block, strict=True)))]
        np.testing.assert_array_equal(y[..., number * 3 : number * 3 + 3], read)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_pair_undoes_itself(block):
    x = deep(block)
    np.testing.assert_array_equal(ops.space_to_depth(ops.depth_to_space(x, block), block), x)
    np.testing.assert_array_equal(ops.pixel_unshuffle(ops.pixel_shuffle(x, block), block), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.space_to_depth(x, 2), "block=2: expected a divisor of the 5 pixels of spatial axis 1"),
        (lambda x: ops.pixel_unshuffle(x, (2, 2, 2)), "block=(2, 2, 2): expected an int or 2 ints"),
        (lambda x: ops.depth_to_space(x, 2), "block=2: expected its 4 pixels to divide the 3 channels"),
        (
            lambda x: ops.pixel_shuffle(x, (1, 2)),
            "block=(1, 2): expected its 2 pixels to divide the 3 channels",
        ),
        (lambda x: ops.pixel_shuffle(x, 0), "block=0: expected 1 or more"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((1, 4, 5, 3)))
