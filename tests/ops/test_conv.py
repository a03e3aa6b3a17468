"""Convolution against torch, NumPy, SciPy, XLA, and the laws it must keep."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last, kernel_first

rng = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return jnp.asarray(rng.standard_normal(shape), dtype)


@st.composite
def convolutions(draw):
    """Shapes and numbers of a convolution whose kernel fits."""
    ndim = draw(st.integers(1, 3))
    axes = st.tuples
    kernel = draw(axes(*[st.integers(1, (4, 4, 3)[ndim - 1])] * ndim))
    dilation = draw(axes(*[st.integers(1, 3)] * ndim))
    strides = draw(axes(*[st.integers(1, 4)] * ndim))
    padding = draw(axes(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * ndim))
    least = [
        max((k - 1) * d + 1 - low - high, 1)
        for k, d, (low, high) in zip(kernel, dilation, padding, strict=True)
    ]
    sizes = tuple(draw(st.integers(size, size + 3)) for size in least)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, features = (groups * draw(st.integers(1, 3)) for _ in range(2))
    batch = draw(st.sampled_from([1, 2, 0]))
    numbers = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return (batch, *sizes, channels), (*kernel, channels // groups, features), numbers


def torch_conv(x, kernel, bias, *, strides, padding, dilation, groups):
    from torch.nn import functional

    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(strides) - 1]
    x = functional.pad(channels_first(x), [side for pair in reversed(padding) for side in pair])
    y = convolve(x, kernel_first(kernel), bias, stride=strides, dilation=dilation, groups=groups)
    return channels_last(y)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(convolutions())
def test_conv_is_torchs_with_every_gradient(case):
    shape, kernel_shape, numbers = case
    assert_agree(
        lambda x, k, b: ops.conv(x, k, b, **numbers),
        lambda x, k, b: torch_conv(x, k, b, **numbers),
        rng.standard_normal(shape),
        rng.standard_normal(kernel_shape),
        rng.standard_normal(kernel_shape[-1]),
    )


@pytest.mark.parametrize("name", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "taps", "stride"), [(7, 3, 2), (8, 3, 2), (8, 4, 3), (5, 2, 1), (9, 2, 4)])
def test_same_and_valid_are_xlas(name, size, taps, stride):
    x, kernel = normal(2, size, size, 3), normal(taps, taps, 3, 4)
    expected = lax.conv_general_dilated(
        x, kernel, (stride, stride), name, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(ops.conv(x, kernel, strides=stride, padding=name), expected, atol=1e-5)


def test_product_of_polynomials():
    x, kernel = jnp.array([1.0, 2, 3]).reshape(1, 3, 1), jnp.array([4.0, 5, 6]).reshape(3, 1, 1)
    y = ops.conv(x, kernel, padding="FULL", flip=True).ravel()
    np.testing.assert_array_equal(y, [4, 13, 28, 27, 18])
    np.testing.assert_array_equal(y, np.polynomial.polynomial.polymul([1, 2, 3], [4, 5, 6]))


@pytest.mark.parametrize(("size", "taps"), [(9, 4), (5, 5), (3, 6), (1, 1), (4, 1)])
def test_flipped_is_numpys_convolution_and_sliding_is_scipys_correlation(size, taps):
    x, kernel = rng.standard_normal(size), rng.standard_normal(taps)
    shaped = [jnp.asarray(array, jnp.float32).reshape(-1, 1) for array in (x, kernel)]
    x_, kernel_ = shaped[0][None], shaped[1][..., None]
    full = ops.conv(x_, kernel_, padding="FULL", flip=True).ravel()
    np.testing.assert_allclose(full, np.convolve(x, kernel), atol=1e-5)
    full = ops.conv(x_, kernel_, padding="FULL").ravel()
    np.testing.assert_allclose(full, scipy.signal.correlate(x, kernel), atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_in_two_dimensions_against_scipy(flip):
    x, kernel = rng.standard_normal((7, 9)), rng.standard_normal((3, 4))
    compute = scipy.signal.convolve2d if flip else scipy.signal.correlate2d
    y = ops.conv(
        jnp.asarray(x, jnp.float32)[None, ..., None],
        jnp.asarray(kernel, jnp.float32)[..., None, None],
        padding="FULL",
        flip=flip,
    )
    np.testing.assert_allclose(y[0, ..., 0], compute(x, kernel), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "mode"), [("CIRCULAR", "wrap"), ("REFLECT", "reflect"), ("REPLICATE", "edge")]
)
@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (4, 1), (3, 2), (2, 3), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_boundaries_continue_the_input(name, mode, taps, dilation, stride):
    """Every stride-th pixel of the unstrided result on the input continued far beyond its ends."""
    x, kernel = normal(2, 8, 3), normal(taps, 3, 2)
    y = ops.conv(x, kernel, padding=name, dilation=dilation, strides=stride)
    low = (taps - 1) * dilation // 2
    far = np.pad(np.asarray(x), ((0, 0), (7, 7), (0, 0)), mode=mode)
    dense = ops.conv(jnp.asarray(far), kernel, padding="VALID", dilation=dilation)[:, 7 - low : 15 - low]
    np.testing.assert_allclose(y, dense[:, ::stride], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "mode"), [("CIRCULAR", "circular"), ("REFLECT", "reflect"), ("REPLICATE", "replicate")]
)
def test_boundaries_are_torchs(name, mode):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Conv2d(
        3, 4, (3, 4), padding="same", dilation=(2, 1), padding_mode=mode, bias=False
    ).double()

    def theirs(x, kernel):
        names = {"weight": kernel_first(kernel)}
        return channels_last(torch.func.functional_call(layer, names, channels_first(x)))

    assert_agree(
        lambda x, kernel: ops.conv(x, kernel, padding=name, dilation=(2, 1)),
        theirs,
        rng.standard_normal((2, 6, 7, 3)),
        rng.standard_normal((3, 4, 3, 4)),
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 8, 2), (1, 6, 4, 2), (1, 4, 6, 4, 2)])
def test_circular_convolution_commutes_with_shifts_by_the_stride(stride, shape):
    ndim = len(shape) - 2
    # whole numbers: sums are exact in any order
    x, kernel = (
        np.rint(4 * rng.standard_normal(s)).astype(np.float32) for s in (shape, (*(3,) * ndim, 2, 3))
    )

    @jax.jit
    def convolve(x):
        return ops.conv(x, kernel, strides=stride, padding="CIRCULAR")

    for axis in range(1, ndim + 1):
        for steps in range(3):
            shifted = convolve(np.roll(x, steps * stride, axis))
            np.testing.assert_array_equal(shifted, np.roll(convolve(x), steps, axis))
    if stride > 1:
        assert not np.array_equal(convolve(np.roll(x, 1, 1)), convolve(x))
        assert not np.array_equal(convolve(np.roll(x, 1, 1)), np.roll(convolve(x), 1, 1))


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_causal_reads_nothing_later(stride, dilation):
    x, kernel = normal(1, 11, 1), jnp.ones((3, 1, 1))

    def convolve(x):
        return ops.conv(x, kernel, strides=stride, dilation=dilation, padding="CAUSAL")[0, :, 0]

    reads = jax.jacobian(convolve)(x)[:, 0, :, 0]
    for t, row in enumerate(reads):
        now = t * stride
        expected = sorted(now - tap * dilation for tap in range(3) if now - tap * dilation >= 0)
        assert np.flatnonzero(row).tolist() == expected


def test_three_small_kernels_see_as_far_as_a_large_one_with_fewer_weights():
    x = normal(1, 15, 15, 1)
    small = [jnp.ones((3, 3, 1, 1))] * 3

    def stack(x):
        for kernel in small:
            x = ops.conv(x, kernel)
        return x[0, 7, 7, 0]

    def single(x):
        return ops.conv(x, jnp.ones((7, 7, 1, 1)))[0, 7, 7, 0]

    np.testing.assert_array_equal(jax.grad(stack)(x) != 0, jax.grad(single)(x) != 0)
    assert (sum(kernel.size for kernel in small), 7 * 7) == (27, 49)


def test_groups_are_a_block_structured_kernel():
    x, kernel = normal(2, 5, 5, 6), normal(3, 3, 2, 9)
    dense = np.zeros((3, 3, 6, 9), np.float32)
    for group in range(3):
        dense[:, :, 2 * group : 2 * group + 2, 3 * group : 3 * group + 3] = kernel[
            ..., 3 * group : 3 * group + 3
        ]
    np.testing.assert_allclose(ops.conv(x, kernel, groups=3), ops.conv(x, jnp.asarray(dense)), atol=1e-5)


def test_pointwise_compresses_channels():
    x, kernel = normal(1, 56, 56, 64), normal(1, 1, 64, 32)
    y = ops.conv(x, kernel)
    assert y.shape == (1, 56, 56, 32)
    np.testing.assert_allclose(y, np.einsum("nhwc,cf->nhwf", x, kernel[0, 0]), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "kernel_shape", "numbers", "expected"),
    [
        ((1, 1, 1, 1), (3, 3, 1, 2), {}, (1, 1, 1, 2)),
        ((0, 4, 4, 3), (3, 3, 3, 2), {}, (0, 4, 4, 2)),
        ((2, 3, 1), (7, 1, 1), {}, (2, 3, 1)),
        ((2, 9, 1), (2, 1, 1), {"strides": 4, "padding": "VALID"}, (2, 2, 1)),
        ((1, 2, 1), (5, 1, 1), {"padding": "CIRCULAR"}, (1, 2, 1)),
        ((1, 1, 2), (5, 2, 1), {"padding": "REPLICATE", "strides": 3}, (1, 1, 1)),
    ],
)
def test_degenerate_sizes_work(shape, kernel_shape, numbers, expected):
    assert_agree(
        lambda x, k: ops.conv(x, k, **numbers),
        lambda x, k: degenerate_by_hand(x, k, numbers),
        rng.standard_normal(shape),
        rng.standard_normal(kernel_shape),
    )
    assert ops.conv(jnp.ones(shape), jnp.ones(kernel_shape), **numbers).shape == expected


def degenerate_by_hand(x, kernel, numbers):
    """A convolution by indexing: every output a sum over taps, continued as the padding says."""
    import torch

    padding, stride = numbers.get("padding", "SAME"), numbers.get("strides", 1)
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    rows = []
    for size, tap in zip(sizes, taps, strict=True):
        outputs = (size - tap) // stride + 1 if padding == "VALID" else -(-size // stride)
        low = 0 if padding == "VALID" else (tap - 1) // 2
        rows.append([[i * stride - low + t for t in range(tap)] for i in range(outputs)])
    y = torch.zeros((x.shape[0], *map(len, rows), kernel.shape[-1]), dtype=x.dtype)
    for place in np.ndindex(y.shape[1:-1]):
        total = 0
        for tap in np.ndindex(taps):
            at = [rows[axis][place[axis]][tap[axis]] for axis in range(len(sizes))]
            inside = all(0 <= a < size for a, size in zip(at, sizes, strict=True))
            if padding == "CIRCULAR":
                at, inside = [a % size for a, size in zip(at, sizes, strict=True)], True
            if padding == "REPLICATE":
                at, inside = [min(max(a, 0), size - 1) for a, size in zip(at, sizes, strict=True)], True
            if inside:
                total = total + x[(slice(None), *at)] @ kernel[tap]
        y[(slice(None), *place)] = total
    return y


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float16, 1e-3), (jnp.bfloat16, 8e-3)])
def test_half_precision_accumulates_in_float32_and_rounds_once(dtype, tolerance):
    x, kernel = normal(1, 6, 6, 256, dtype=dtype), normal(3, 3, 256, 4, dtype=dtype) / 48
    y = ops.conv(x, kernel)
    assert y.dtype == dtype
    exact = ops.conv(x.astype(jnp.float32), kernel.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=tolerance, atol=tolerance / 10)
    gradients = jax.grad(lambda x, k: ops.conv(x, k).astype(jnp.float32).sum(), (0, 1))(x, kernel)
    assert [gradient.dtype for gradient in gradients] == [dtype, dtype]


def test_numbers_of_numpy_are_numbers():
    x, kernel = jnp.ones((1, 4, 2)), jnp.ones((3, 1, 2))
    y = ops.conv(
        x, kernel, strides=np.int64(2), dilation=[np.int32(1)], groups=np.int64(2), padding=np.int64(1)
    )
    assert y.shape == (1, 2, 2)


def test_dtypes_promote_as_in_numpy():
    assert ops.conv(jnp.ones((1, 4, 2), jnp.bfloat16), jnp.ones((3, 2, 2))).dtype == jnp.float32
    assert ops.conv(np.ones((1, 4, 2), np.float32), np.ones((3, 2, 2), np.float32)).dtype == jnp.float32


x4, k4 = np.ones((1, 8, 8, 4), np.float32), np.ones((3, 3, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.conv(x4[0, 0], k4),
            ValueError,
            "x has shape (8, 4): expected (batch, *spatial, channels)",
        ),
        (lambda: ops.conv(x4[0], k4), ValueError, "kernel has shape (3, 3, 4, 6): expected 1 spatial axes"),
        (
            lambda: ops.conv(x4, k4[:, :, :3]),
            ValueError,
            "kernel has shape (3, 3, 3, 6): expected 4 channels",
        ),
        (lambda: ops.conv(x4, k4, groups=2), ValueError, "expected 2 channels before the features"),
        (
            lambda: ops.conv(x4, k4, groups=3),
            ValueError,
            "groups=3: expected a divisor of the 4 channels of x",
        ),
        (
            lambda: ops.conv(x4, k4[:, :, :1], groups=4),
            ValueError,
            "groups=4: expected a divisor of the 6 features",
        ),
        (lambda: ops.conv(x4, k4, groups=0), ValueError, "groups=0: expected a divisor"),
        (lambda: ops.conv(x4, k4, groups=2.0), TypeError, "groups=2.0: expected an int"),
        (lambda: ops.conv(x4, k4[..., :0]), ValueError, "expected 1 or more on every axis"),
        (lambda: ops.conv(x4, k4, np.ones(4)), ValueError, "bias has shape (4,): expected (6,)"),
        (lambda: ops.conv(x4, k4, strides=0), ValueError, "strides=0: expected 1 or more"),
        (lambda: ops.conv(x4, k4, strides=(1, -1)), ValueError, "strides=(1, -1): expected 1 or more"),
        (
            lambda: ops.conv(x4, k4, dilation=(1, 1, 1)),
            ValueError,
            "dilation=(1, 1, 1): expected an int or 2",
        ),
        (lambda: ops.conv(x4, k4, padding="WRAP"), ValueError, "padding='WRAP' is not known"),
        (lambda: ops.conv(x4, k4, padding=(1, 2, 3)), ValueError, "padding=(1, 2, 3): expected 2 entries"),
        (lambda: ops.conv(x4, k4, padding=-1), ValueError, "padding=-1: expected 0 or more"),
        (
            lambda: ops.conv(x4, k4, padding="VALID", dilation=4),
            ValueError,
            "spans 9 pixels and does not fit",
        ),
        (lambda: ops.conv(x4[:, :0], k4), ValueError, "does not fit in 0"),
        (lambda: ops.conv(x4, k4, lowering="dirct"), ValueError, "did you mean direct"),
    ],
)
def test_mistakes_are_named_while_tracing(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jax.eval_shape(call)


def test_dense_is_numpys_product():
    x, kernel, bias = normal(2, 3, 4), normal(4, 5), normal(5)
    np.testing.assert_allclose(
        ops.dense(x, kernel, bias), np.asarray(x) @ np.asarray(kernel) + np.asarray(bias), atol=1e-5
    )
    with pytest.raises(ValueError, match=re.escape("kernel has shape (4, 5): expected (channels, features)")):
        ops.dense(x[..., :3], kernel)
