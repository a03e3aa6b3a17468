"""Untied weights: tied again they are a convolution; tile by tile they are NumPy's sum."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import assert_agree
from tests.ops.test_conv import torch_conv

rng = np.random.default_rng(0)
normal = rng.standard_normal
CASES = [
    {"strides": (1, 1), "padding": ((1, 1), (0, 0)), "dilation": (1, 1), "groups": 1},
    {"strides": (2, 1), "padding": ((0, 1), (2, 0)), "dilation": (1, 2), "groups": 2},
]


def outputs_of(x_shape, taps, numbers):
    shapes = (
        jax.ShapeDtypeStruct(x_shape, jnp.float32),
        jax.ShapeDtypeStruct((*taps, x_shape[-1], 1), jnp.float32),
    )
    return jax.eval_shape(lambda x, k: ops.conv(x, k, **{**numbers, "groups": 1}), *shapes).shape[1:-1]


def by_hand(x, kernel, bias, *, strides, padding, dilation, groups):
    """Every output pixel as a torch sum over its window, with the kernel of its place modulo the tiles."""
    import torch

    x = torch.nn.functional.pad(x, [0, 0] + [side for pair in reversed(padding) for side in pair])
    ndim = len(strides)
    tiles, taps = kernel.shape[:ndim], kernel.shape[ndim:-2]
    sizes = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, s, d in zip(x.shape[1:-1], taps, strides, dilation, strict=True)
    ]
    rows = []
    for place in np.ndindex(*sizes):
        tile = tuple(i % t for i, t in zip(place, tiles, strict=True))
        window = tuple(
            slice(i * s, i * s + (k - 1) * d + 1, d)
            for i, s, k, d in zip(place, strides, taps, dilation, strict=True)
        )
        seen = x[(slice(None), *window)].flatten(1, -2).unflatten(-1, (groups, -1))
        weights = kernel[tile].flatten(0, ndim - 1).unflatten(-1, (groups, -1))
        rows.append(torch.einsum("nkgc,kcgf->ngf", seen, weights).flatten(1) + bias[tile])
    return torch.stack(rows, 1).reshape(x.shape[0], *sizes, -1)


@pytest.mark.parametrize("numbers", CASES)
def test_local_is_the_sum_at_every_place(numbers):
    places = outputs_of((2, 6, 5, 4), (3, 2), numbers)
    assert_agree(
        lambda x, k, b: ops.local_conv(x, k, b, **numbers),
        lambda x, k, b: by_hand(x, k, b, **numbers),
        normal((2, 6, 5, 4)),
        normal((*places, 3, 2, 4 // numbers["groups"], 6)),
        normal((*places, 6)),
    )


@pytest.mark.parametrize("numbers", CASES)
@pytest.mark.parametrize("tiles", [(1, 1), (2, 3), (4, 1), (9, 8)])
def test_tiled_is_the_sum_at_every_place(numbers, tiles):
    assert_agree(
        lambda x, k, b: ops.tiled_conv(x, k, b, **numbers),
        lambda x, k, b: by_hand(x, k, b, **numbers),
        normal((2, 6, 5, 4)),
        normal((*tiles, 3, 2, 4 // numbers["groups"], 2)),
        normal((*tiles, 2)),
    )


@pytest.mark.parametrize("numbers", CASES)
@pytest.mark.parametrize("layer", [ops.local_conv, ops.tiled_conv])
def test_tied_weights_are_torchs_convolution(layer, numbers):
    shape, taps = (2, 6, 5, 4), (3, 2)
    places = outputs_of(shape, taps, numbers) if layer is ops.local_conv else (2, 3)

    def tied(x, kernel, bias):
        kernel = jnp.broadcast_to(kernel[None, None], (*places, *kernel.shape))
        return layer(x, kernel, jnp.broadcast_to(bias[None, None], (*places, *bias.shape)), **numbers)

    assert_agree(
        tied,
        lambda x, k, b: torch_conv(x, k, b, **numbers),
        normal(shape),
        normal((*taps, 4 // numbers["groups"], 6)),
        normal(6),
    )


@pytest.mark.parametrize("spatial", [(9,), (4, 3, 2)])
def test_other_ranks(spatial):
    """A tile of its own for every output, the input continued periodically, by a sum over rolled inputs."""
    x = normal((2, *spatial, 3))
    kernel = normal((*spatial, *(2,) * len(spatial), 3, 2))
    axes = tuple(range(1, len(spatial) + 1))
    expected = 0
    for tap in np.ndindex(*(2,) * len(spatial)):
        weights = kernel[(slice(None),) * len(spatial) + tap]
        rolled = np.roll(x, [-t for t in tap], axes)
        expected = expected + np.einsum("n...c,...cf->n...f", rolled, weights)
    arrays = (jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(ops.local_conv(*arrays, padding="CIRCULAR"), expected, atol=1e-5)


def test_tiled_commutes_with_shifts_by_its_tiles_only():
    x = jnp.asarray(rng.integers(-4, 5, (1, 12, 2)), jnp.float32)
    kernel = jnp.asarray(rng.integers(-4, 5, (3, 3, 2, 2)), jnp.float32)

    def layer(x):
        return ops.tiled_conv(x, kernel, padding="CIRCULAR")

    for steps in range(1, 4):
        same = np.array_equal(layer(jnp.roll(x, steps, 1)), jnp.roll(layer(x), steps, 1))
        assert same == (steps == 3)


x4 = np.ones((1, 4, 4, 4), np.float32)


@pytest.mark.parametrize("layer", [ops.local_conv, ops.tiled_conv])
@pytest.mark.parametrize(
    ("shape", "numbers", "message"),
    [
        ((3, 3, 4, 2), {}, "kernel has shape (3, 3, 4, 2): expected 2 axes of places, 2 of taps"),
        ((4, 4, 3, 3, 3, 2), {}, "expected 4 channels before the features"),
        ((4, 4, 3, 3, 4, 2), {"groups": 3}, "groups=3: expected a divisor of the 4 channels of x"),
        ((4, 4, 5, 5, 4, 2), {"padding": "VALID"}, "spans 5 pixels and does not fit"),
        ((4, 4, 3, 3, 4, 0), {}, "each 1 or more"),
    ],
)
def test_mistakes_are_named_while_tracing(layer, shape, numbers, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(lambda: layer(x4, np.ones(shape), **numbers))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (ops.local_conv, [(4, 3, 3, 3, 4, 2)], "expected its first axes to be the output's, (4, 4)"),
        (ops.local_conv, [(4, 4, 3, 3, 4, 2), (2,)], "bias has shape (2,): expected (4, 4, 2)"),
        (ops.tiled_conv, [(2, 1, 3, 3, 4, 2), (3,)], "bias has shape (3,): expected (2, 1, 2)"),
    ],
)
def test_places_and_biases_that_do_not_fit_are_named(layer, shapes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(layer, x4, *map(np.ones, shapes))
