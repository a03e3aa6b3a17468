"""Transposed convolution against torch, XLA, and the convolution whose transpose it is."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last

rng = np.random.default_rng(0)


@st.composite
def transposed(draw):
    """Shapes and numbers that leave at least one output."""
    ndim = draw(st.sampled_from([1, 1, 2, 2, 3]))
    kernel = draw(st.tuples(*[st.integers(1, (5, 4, 3)[ndim - 1])] * ndim))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * ndim))
    strides = draw(st.tuples(*[st.integers(1, (4, 3, 2)[ndim - 1])] * ndim))
    sizes = draw(st.tuples(*[st.integers(1, 4)] * ndim))
    padding, extra = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilation, strict=True):
        padding.append(draw(st.integers(0, min(3, ((n - 1) * s + (k - 1) * d) // 2))))
        extra.append(draw(st.integers(0, max(s, d) - 1)))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, features = groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    numbers = {"strides": strides, "padding": tuple(padding), "dilation": dilation, "groups": groups}
    return (
        (draw(st.sampled_from([1, 2, 0])), *sizes, channels),
        (*kernel, channels, features),
        numbers,
        tuple(extra),
    )


def test_outputs_beyond_the_last_tap_are_the_bias():
    """As in torch: one pixel and one tap, cropped by one, and three more outputs."""
    one = jnp.ones((1, 1, 1))
    y = ops.conv_transpose(one, one, 0.5 * jnp.ones(1), strides=4, padding=1, output_padding=3)
    np.testing.assert_array_equal(y, np.full((1, 2, 1), 0.5))
    assert (
        jax.grad(lambda x: ops.conv_transpose(x, one, strides=4, padding=1, output_padding=3).sum())(one) == 0
    )


def torch_transposed(x, kernel, bias, *, strides, padding, dilation, groups, output_padding):
    from torch.nn import functional

    ndim = len(strides)
    compute = getattr(functional, f"conv_transpose{ndim}d")
    kernel = kernel.movedim((-2, -1), (0, 1)).contiguous()  # torch's gradient asks for it
    y = compute(channels_first(x), kernel, bias, strides, padding, output_padding, groups, dilation)
    return channels_last(y)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(transposed())
def test_transposed_is_torchs_with_every_gradient(case):
    shape, kernel_shape, numbers, extra = case
    assert_agree(
        lambda x, k, b: ops.conv_transpose(x, k, b, output_padding=extra, **numbers),
        lambda x, k, b: torch_transposed(x, k, b, output_padding=extra, **numbers),
        rng.standard_normal(shape),
        rng.standard_normal(kernel_shape),
        rng.standard_normal(kernel_shape[-1] * numbers["groups"]),
    )


@pytest.mark.parametrize(
    ("taps", "stride", "dilation", "groups"),
    [
        ((3,), 1, 1, 1),
        ((3,), 2, 1, 2),
        ((4,), 2, 1, 1),
        ((2,), 3, 1, 2),
        ((3,), 2, 2, 1),
        ((5,), 3, 2, 1),
        ((3, 4), 2, 1, 2),
    ],
)
def test_it_is_the_gradient_of_the_convolution(taps, stride, dilation, groups):
    """For every padding the matrix is the transpose of the convolution's, by XLA's own transposition."""
    kernel = jnp.asarray(rng.integers(-4, 5, (*taps, 4, 2 // groups)), jnp.float32)
    forward = jnp.swapaxes(kernel, -1, -2)  # (features / groups of the transpose, its channels)
    v = jnp.asarray(rng.integers(-4, 5, (2, *(7,) * len(taps), 4)), jnp.float32)
    entries = ["SAME", "VALID", "FULL", "CIRCULAR", (2, 1)]
    paddings = [(entry,) * len(taps) for entry in entries] + [("CIRCULAR", (0, 2))] * (len(taps) == 2)

    @jax.jit
    def both(v):
        pairs = []
        for padding in paddings:
            numbers = {"strides": stride, "padding": padding, "dilation": dilation, "groups": groups}
            y = ops.conv_transpose(v, kernel, **numbers)
            image = jax.ShapeDtypeStruct(y.shape, y.dtype)
            convolve = partial(ops.conv, kernel=forward, lowering="direct", **numbers)
            assert jax.eval_shape(convolve, image).shape == v.shape
            (expected,) = jax.linear_transpose(convolve, image)(v)
            pairs.append((y, expected))
        return pairs

    for y, expected in both(v):
        np.testing.assert_array_equal(y, expected)  # whole numbers: sums are exact in any order


@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (4, 2), (5, 2), (2, 2), (5, 3), (1, 2)])
def test_same_and_valid_are_xlas(taps, stride):
    x, kernel = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in [(2, 5, 5, 3), (taps, taps, 3, 4)]
    )
    for name in ["SAME"] + ["VALID"] * (taps >= stride):
        ours = jax.jit(partial(ops.conv_transpose, strides=stride, padding=name))
        expected = lax.conv_transpose(
            x, jnp.swapaxes(kernel, -1, -2), (stride, stride), name,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True,
        )  # fmt: skip
        np.testing.assert_allclose(ours(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize(("taps", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (3, 2, 2), (2, 3, 1)])
def test_causal_reads_nothing_later(taps, stride, dilation):
    kernel = jnp.ones((taps, 1, 1))

    @jax.jit
    def enlarge(x):
        return ops.conv_transpose(x, kernel, strides=stride, dilation=dilation, padding="CAUSAL")[0, :, 0]

    reads = jax.jacobian(enlarge)(jnp.ones((1, 5, 1)))[:, 0, :, 0]
    assert reads.shape == (5 * stride, 5)
    for t, row in enumerate(reads):
        reached = [j for j in range(5) if t - j * stride in [tap * dilation for tap in range(taps)]]
        assert np.flatnonzero(row).tolist() == reached
        assert all(j * stride <= t for j in reached)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_circular_commutes_with_shifts(stride):
    x = jnp.asarray(rng.integers(-4, 5, (1, 4, 5, 2)), jnp.float32)
    kernel = jnp.asarray(rng.integers(-4, 5, (5, 3, 2, 3)), jnp.float32)

    @jax.jit
    def enlarge(x):
        return ops.conv_transpose(x, kernel, strides=stride, padding="CIRCULAR")

    shifted = enlarge(jnp.roll(x, (1, -2), (1, 2)))
    np.testing.assert_array_equal(shifted, jnp.roll(enlarge(x), (stride, -2 * stride), (1, 2)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_kept(dtype):
    x, kernel = jnp.ones((1, 4, 2), dtype), jnp.ones((3, 2, 2), dtype)
    y = ops.conv_transpose(x, kernel, strides=2, padding=0)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y[0, :, 0].astype(jnp.float32), [2, 2, 4, 2, 4, 2, 4, 2, 2])


x4, k4 = np.ones((1, 3, 3, 4), np.float32), np.ones((3, 3, 4, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.conv_transpose(x4, k4[:, :, :3]),
            ValueError,
            "kernel has shape (3, 3, 3, 2): expected 2 spatial",
        ),
        (
            lambda: ops.conv_transpose(x4, k4[0]),
            ValueError,
            "kernel has shape (3, 4, 2): expected 2 spatial axes",
        ),
        (
            lambda: ops.conv_transpose(x4, k4, groups=3),
            ValueError,
            "groups=3: expected a divisor of the 4 channels",
        ),
        (lambda: ops.conv_transpose(x4, k4, np.ones(3)), ValueError, "bias has shape (3,): expected (2,)"),
        (
            lambda: ops.conv_transpose(x4, k4, padding="REFLECT"),
            ValueError,
            "padding='REFLECT' has no transposed form",
        ),
        (lambda: ops.conv_transpose(x4, k4, padding="SOME"), ValueError, "did you mean SAME"),
        (lambda: ops.conv_transpose(x4, k4, padding=3), ValueError, "leaves -1 after cropping 3 + 3"),
        (
            lambda: ops.conv_transpose(x4, k4, output_padding=1),
            ValueError,
            "padding='SAME' already settles the size",
        ),
        (
            lambda: ops.conv_transpose(x4, k4, strides=2, padding=0, output_padding=2),
            ValueError,
            "output_padding=2: expected less than the stride 2 or dilation 1",
        ),
        (
            lambda: ops.conv_transpose(x4, k4, padding=0, output_padding=-1),
            ValueError,
            "output_padding=-1: expected 0",
        ),
        (lambda: ops.conv_transpose(x4, k4, strides=0), ValueError, "strides=0: expected 1 or more"),
        (lambda: ops.conv_transpose(x4, k4, lowering="dirct"), ValueError, "did you mean direct"),
    ],
)
def test_mistakes_are_named_while_tracing(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jax.eval_shape(call)
