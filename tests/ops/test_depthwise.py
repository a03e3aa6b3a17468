"""Every factored form equals the dense convolution with the kernel it stands for, gradients included."""

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
NUMBERS = [
    {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)},
    {"strides": (2, 1), "padding": ((0, 2), (3, 0)), "dilation": (1, 3)},
]


def dense_blocks(kernel, groups):
    """A grouped kernel as a dense one, zero outside its blocks."""
    import torch

    *taps, width, features = kernel.shape
    share = features // groups
    blocks = [kernel[..., g * share : (g + 1) * share].reshape(-1, width, share) for g in range(groups)]
    dense = torch.stack([torch.block_diag(*(b[t] for b in blocks)) for t in range(blocks[0].shape[0])])
    return dense.reshape(*taps, width * groups, features)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_depthwise_is_dense_with_a_diagonal_kernel(multiplier, numbers):
    assert_agree(
        lambda x, k, b: ops.depthwise_conv(x, k, b, **numbers),
        lambda x, k, b: torch_conv(x, dense_blocks(k, 3), b, groups=1, **numbers),
        normal((2, 6, 7, 3)),
        normal((3, 2, 1, 3 * multiplier)),
        normal(3 * multiplier),
    )


@pytest.mark.parametrize("numbers", NUMBERS)
def test_separable_is_dense_with_the_product_kernel(numbers):
    import_torch = pytest.importorskip("torch")

    def theirs(x, depthwise, pointwise, b):
        kernel = import_torch.einsum("hwcm,mf->hwcf", dense_blocks(depthwise, 3), pointwise)
        return torch_conv(x, kernel, b, groups=1, **numbers)

    assert_agree(
        lambda x, d, p, b: ops.separable_conv(x, d, p, b, **numbers),
        theirs,
        normal((2, 6, 7, 3)),
        normal((3, 2, 1, 6)),
        normal((6, 4)),
        normal(4),
    )


@pytest.mark.parametrize("numbers", NUMBERS)
def test_pointwise_first_is_dense_with_the_product_kernel(numbers):
    torch = pytest.importorskip("torch")
    assert_agree(
        lambda x, d, p, b: ops.separable_conv(x, d, p, b, pointwise_first=True, **numbers),
        lambda x, d, p, b: torch_conv(x, torch.einsum("hwf,cf->hwcf", d[:, :, 0], p), b, groups=1, **numbers),
        normal((2, 6, 7, 3)),
        normal((3, 2, 1, 4)),
        normal((3, 4)),
        normal(4),
    )


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 3, 4, 6), (1, 2, 3, 2, 6)])
def test_pointwise_is_a_product_for_each_group(shape):
    kernel, bias = normal((3, 4)), normal(4)
    x = normal(shape)
    y = ops.pointwise_conv(*(jnp.asarray(a, jnp.float32) for a in (x, kernel, bias)), groups=2)
    expected = np.concatenate([x[..., :3] @ kernel[:, :2], x[..., 3:] @ kernel[:, 2:]], axis=-1) + bias
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (6, 3), (12, 4), (5, 1), (5, 5)])
def test_shuffle_is_torchs_and_undone_by_its_complement(channels, groups):
    torch = pytest.importorskip("torch")
    x = np.arange(2 * 3 * channels, dtype=np.float32).reshape(2, 3, 1, channels)
    expected = torch.channel_shuffle(torch.from_numpy(x).movedim(-1, 1), groups).movedim(1, -1)
    shuffled = ops.channel_shuffle(x, groups)
    np.testing.assert_array_equal(shuffled, expected)
    np.testing.assert_array_equal(ops.channel_shuffle(shuffled, channels // groups), x)


def test_after_a_shuffle_every_group_reads_every_group():
    first, second = jnp.ones((1, 2, 4)), jnp.ones((1, 2, 4))

    def plain(x):
        return ops.conv(ops.conv(x, first, groups=2), second, groups=2).ravel()

    def shuffled(x):
        return ops.conv(ops.shuffled_conv(x, first, groups=2), second, groups=2).ravel()

    x = jnp.ones((1, 1, 4))
    assert (jax.jacobian(plain)(x) == 0).any()
    assert (jax.jacobian(shuffled)(x) > 0).all()


def test_shuffled_conv_is_torchs():
    torch = pytest.importorskip("torch")

    def theirs(x, k, b):
        y = torch_conv(x, k, b, groups=2, **NUMBERS[0])
        return torch.channel_shuffle(y.movedim(-1, 1), 2).movedim(1, -1)

    assert_agree(
        lambda x, k, b: ops.shuffled_conv(x, k, b, groups=2, padding=1),
        theirs,
        normal((2, 4, 4, 4)),
        normal((3, 3, 2, 6)),
        normal(6),
    )


def test_separable_has_fewer_weights_than_dense():
    depthwise, pointwise = 3 * 3 * 64, 64 * 128
    assert (depthwise + pointwise, 3 * 3 * 64 * 128) == (8768, 73728)
    shapes = (jax.ShapeDtypeStruct(s, jnp.float32) for s in [(1, 8, 8, 64), (3, 3, 1, 64), (64, 128)])
    assert jax.eval_shape(ops.separable_conv, *shapes).shape == (1, 8, 8, 128)


x4 = np.ones((1, 4, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.depthwise_conv(x4, np.ones((3, 3, 2, 4))),
            ValueError,
            "expected 1 channels before the features",
        ),
        (
            lambda: ops.depthwise_conv(x4, np.ones((3, 3, 1, 6))),
            ValueError,
            "groups=4: expected a divisor of the 6",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 3, 1, 4)), np.ones((1, 4, 4))),
            ValueError,
            "pointwise has shape (1, 4, 4): expected (channels, features)",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 3, 1, 4)), np.ones((3, 4))),
            ValueError,
            "pointwise has shape (3, 4): expected (4, features)",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 3, 1, 8)), np.ones((4, 2))),
            ValueError,
            "pointwise has shape (4, 2): expected (8, features)",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 3, 1, 4)), np.ones((3, 2)), pointwise_first=True),
            ValueError,
            "pointwise has shape (3, 2): expected (4, features)",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 3, 1, 6)), np.ones((6, 2))),
            ValueError,
            "depthwise has shape (3, 3, 1, 6): expected 2 spatial axes, then (1, features), a",
        ),
        (
            lambda: ops.separable_conv(x4, np.ones((3, 1, 4)), np.ones((4, 2))),
            ValueError,
            "depthwise has shape (3, 1, 4): expected 2 spatial axes",
        ),
        (
            lambda: ops.pointwise_conv(x4, np.ones((1, 1, 4, 4))),
            ValueError,
            "expected (channels / groups, features)",
        ),
        (
            lambda: ops.channel_shuffle(x4, 3),
            ValueError,
            "groups=3: expected a divisor of the 4 channels of x",
        ),
        (lambda: ops.channel_shuffle(x4, 2.0), TypeError, "groups=2.0: expected an int"),
        (lambda: ops.channel_shuffle(np.float32(1), 1), ValueError, "x is a scalar"),
        (
            lambda: ops.shuffled_conv(x4, np.ones((3, 3, 1, 4)), groups=3),
            ValueError,
            "groups=3: expected a divisor",
        ),
    ],
)
def test_mistakes_are_named_while_tracing(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jax.eval_shape(call)
