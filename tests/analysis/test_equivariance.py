"""Moves against NumPy's, and layers whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, ops
from jaxcnn.analysis.equivariance import Flip, Mirror, Rotation, Shift, equivariance

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12, 12, 3)), jnp.float32)


def kernel(*shape):
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape), jnp.float32)


def moved(move):
    """The image itself, as a move leaves it."""
    seen = []
    equivariance(lambda x: jax.debug.callback(lambda v: seen.append(np.asarray(v)), x) or x, X, [move])
    return seen[-1]


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (Shift(2, -3), lambda x: np.roll(x, (2, -3), (1, 2))),
        (Flip(0), lambda x: x[:, ::-1]),
        (Flip(1), lambda x: x[:, :, ::-1]),
        (Rotation(90), lambda x: np.rot90(x, -1, (1, 2))),
        (Rotation(180), lambda x: np.rot90(x, 2, (1, 2))),
        (Mirror(0), lambda x: x[:, ::-1]),
        (Mirror(90), lambda x: x[:, :, ::-1]),
        (Mirror(45), lambda x: x.swapaxes(1, 2)),  # rows become columns: the line falls from the left
        (Mirror(135), lambda x: x[:, ::-1, ::-1].swapaxes(1, 2)),
        (Rotation(-90), lambda x: np.rot90(x, 1, (1, 2))),
    ],
)
def test_moves_of_the_image(move, expected):
    np.testing.assert_allclose(moved(move), expected(np.asarray(X)), atol=1e-6)


def test_a_circular_convolution_commutes_with_every_shift():
    def conv(x):
        return ops.conv(x, kernel(3, 3, 3, 4), padding="CIRCULAR")

    for errors in equivariance(conv, X, [Shift(1, 0), Shift(5, 7), Shift(-3, 2)]):
        assert errors[""].equivariance < 1e-6
        assert errors[""].invariance > 0.5


def test_a_strided_one_commutes_with_multiples_of_the_stride():
    def conv(x):
        return ops.conv(x, kernel(4, 4, 3, 4), strides=3, padding="CIRCULAR")

    results = equivariance(conv, X, [Shift(0, by) for by in range(7)])
    errors = [result[""].equivariance for result in results]
    assert max(errors[0], errors[3], errors[6]) < 1e-6
    assert min(errors[1], errors[2], errors[4], errors[5]) > 0.3


def test_after_global_pooling_nothing_notices_a_shift():
    def pooled(x):
        return ops.global_avg_pool(ops.conv(x, kernel(3, 3, 3, 4), padding="CIRCULAR"))

    (errors,) = equivariance(pooled, X, [Shift(2, 5)])
    assert errors[""].equivariance == errors[""].invariance < 1e-5


def test_symmetric_kernels_turn_and_flip_with_the_image():
    def conv(symmetric):
        weights = kernel(3, 3, 3, 2)
        if symmetric:
            weights = sum(jnp.rot90(weights, k) for k in range(4))
            weights = weights + weights[::-1]
        return lambda x: ops.conv(x, weights)

    moves = [Rotation(90), Rotation(180), Rotation(270), Flip(0), Flip(1), Mirror(45), Mirror(90)]
    for even, odd in zip(
        equivariance(conv(True), X, moves), equivariance(conv(False), X, moves), strict=True
    ):
        assert even[""].equivariance < 1e-5
        assert odd[""].equivariance > 0.3


def test_even_windows_are_compared_where_they_are():
    """2×2 pooling of a flipped image is the flipped pooling, though no window sits on a pixel."""
    for errors in equivariance(
        lambda x: ops.avg_pool(x, 2), X, [Flip(0), Flip(1), Rotation(90), Shift(0, 4)]
    ):
        assert errors[""].equivariance < 1e-5


def test_what_comes_from_beyond_a_smaller_map_does_not_count():
    """Without padding nothing but places is lost: a convolution commutes with every shift, and with turns."""
    weights = sum(jnp.rot90(kernel(5, 5, 3, 2), k) for k in range(4))
    moves = [Shift(0, by) for by in (1, 3, 11, 12)] + [Shift(-4, 2), Rotation(90), Rotation(180)]
    for errors in equivariance(lambda x: ops.conv(x, weights, padding="VALID"), X, moves):
        assert errors[""].equivariance < 1e-5
    # three places, three pixels apart
    for errors in equivariance(
        lambda x: ops.conv(x, weights, strides=3, padding="VALID"), X, [Shift(0, 3), Shift(0, 12)]
    ):
        assert errors[""].equivariance < 1e-5


def test_a_map_of_one_place_cannot_show_a_shift():
    (errors,) = equivariance(lambda x: ops.conv(x, kernel(12, 12, 3, 2), padding="VALID"), X, [Shift(0, 3)])
    assert errors[""].equivariance == errors[""].invariance > 0.5


def test_maps_by_name():
    module = models.create("resnet8(num_filters=4)")
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)
    variables = jax.tree.map(lambda leaf: jnp.abs(kernel(*leaf.shape)), shapes)  # compiling init takes longer

    def maps(x):
        _, state = module.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])
        found = state["intermediates"]
        return {name: found[name]["__call__"][0] for name in ("stem", "stage2_block1", "head")}

    (errors,) = equivariance(maps, X, [Shift(0, 4)])
    assert set(errors) == {"stem", "stage2_block1", "head"}
    assert (
        0 < errors["stem"].equivariance < errors["stem"].invariance
    )  # zeros at the border do not move along
    assert errors["head"].equivariance == errors["head"].invariance
