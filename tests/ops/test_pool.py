"""Pooling against torch (results and gradients), XLA, and closed forms."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn import ops
from jaxcnn.ops import pool
from tests.ops.parity import assert_agree, channels_first, channels_last

rng = np.random.default_rng(0)


@st.composite
def poolings(draw, dilated=True):
    """Shapes and numbers that torch's pooling takes: padding at most half the window."""
    ndim = draw(st.integers(1, 3))

    def each(values):
        return draw(st.tuples(*[values] * ndim))

    window = each(st.integers(1, (5, 5, 3)[ndim - 1]))
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 4)] * ndim)))
    dilation = each(st.integers(1, 2)) if dilated else (1,) * ndim
    padding = tuple(draw(st.integers(0, k // 2)) for k in window)
    sizes = []
    for k, d, p in zip(window, dilation, padding, strict=True):
        # Where dilated taps straddle a small input torch answers −∞ and we refuse; see below.
        least = max((k - 1) * d + 1 - 2 * p, p + 1 if d > 1 else 1, d if d > 1 else 1, 1)
        least = max(least, k) if ndim == 3 else least  # torch's 3-D average asks for it
        sizes.append(draw(st.integers(least, least + 4)))
    shape = (draw(st.sampled_from([1, 2])), *sizes, draw(st.integers(1, 3)))
    numbers = {"window": window, "strides": strides, "padding": padding, "dilation": dilation}
    return shape, numbers | {"ceil_mode": draw(st.booleans())}


def torch_pool(kind, x, window, strides=None, **numbers):
    from torch.nn import functional

    function = getattr(functional, f"{kind}_pool{len(window)}d")
    return channels_last(function(channels_first(x), window, strides, **numbers))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(poolings(), st.sampled_from(["continuous", "tied"]))
def test_max_pool_is_torchs_with_its_gradient(case, values):
    shape, numbers = case
    # Ties are the rule after a ReLU: the first maximum in scan order takes the gradient.
    x = rng.integers(0, 3, shape) if values == "tied" else rng.standard_normal(shape)
    assert_agree(
        lambda x: ops.max_pool(x, **numbers), lambda x: torch_pool("max", x, **numbers), x, tolerance=0
    )


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize(("size", "window", "strides"), [(1, 2, 2), (2, 3, 3), (2, 4, 3)])
def test_the_only_window_may_hang_over_the_end(kind, size, window, strides):
    """As torch's does in ceil mode, where a map has become smaller than the window."""
    x = rng.standard_normal((1, size, 5, 2))
    numbers = {"window": (window, 2), "strides": (strides, 2), "padding": (0, 0), "ceil_mode": True}
    numbers |= {"count_include_pad": False} if kind == "avg" else {}
    ours = ops.max_pool if kind == "max" else ops.avg_pool
    assert_agree(lambda x: ours(x, **numbers), lambda x: torch_pool(kind, x, **numbers), x, tolerance=1e-12)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(poolings(dilated=False), st.sampled_from(["continuous", "tied"]))
def test_xlas_own_max_pool_is_the_same_function(case, values):
    shape, numbers = case
    x = rng.integers(0, 3, shape) if values == "tied" else rng.standard_normal(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "MOST_TAPS", 0)  # as on an accelerator
        assert "reduce_window" in str(jax.make_jaxpr(lambda x: ops.max_pool(x, **numbers))(x))
        assert_agree(
            lambda x: ops.max_pool(x, **numbers),
            lambda x: torch_pool("max", x, **numbers),
            x,
            tolerance=1e-12,
        )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(poolings(dilated=False), st.booleans())
def test_avg_pool_is_torchs_with_its_gradient(case, count_include_pad):
    shape, numbers = case
    assert_agree(
        lambda x: ops.avg_pool(x, count_include_pad=count_include_pad, **numbers),
        lambda x: torch_pool(
            "avg",
            x,
            **{k: v for k, v in numbers.items() if k != "dilation"},
            count_include_pad=count_include_pad,
        ),
        rng.standard_normal(shape),
        tolerance=1e-12,
    )


def test_dilated_average_is_a_dilated_convolution_with_equal_weights():
    x = jnp.asarray(rng.standard_normal((2, 9, 8, 3)), jnp.float32)
    kernel = jnp.full((3, 2, 1, 3), 1 / 6, jnp.float32)
    y = ops.avg_pool(x, (3, 2), strides=(1, 2), padding=1, dilation=2)
    expected = ops.conv(x, kernel, strides=(1, 2), padding=1, dilation=2, groups=3)
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CAUSAL", "CIRCULAR", "REFLECT", "REPLICATE"])
@pytest.mark.parametrize("stride", [1, 2])
def test_named_paddings_are_those_of_convolution(padding, stride):
    x = jnp.asarray(rng.standard_normal((2, 8, 7, 1)), jnp.float32)
    kernel = jnp.full((3, 3, 1, 1), 1 / 9, jnp.float32)
    expected = ops.conv(x, kernel, strides=stride, padding=padding)
    y = ops.avg_pool(x, 3, strides=stride, padding=padding)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    assert ops.max_pool(x, 3, strides=stride, padding=padding).shape == expected.shape


@pytest.mark.parametrize("window", [2, 3, 5, 6])
def test_max_pool_differentiates_forwards_and_twice(window):
    x = jnp.asarray(rng.permutation(36).reshape(1, 6, 6, 1), jnp.float32)
    v = jnp.asarray(rng.standard_normal(x.shape), jnp.float32)

    def max_pool(x):
        return ops.max_pool(x, window, strides=1)

    def loss(x):
        return (max_pool(x) ** 3).sum()

    @jax.jit
    def derivatives(x, v):
        (y, dy), pullback = jax.jvp(max_pool, (x,), (v,)), jax.vjp(max_pool, x)[1]
        # Away from ties the pool is linear, so the Hessian of Σ y³ is Σ 6 y over the windows that x wins.
        return {
            "forward": (jax.jvp(loss, (x,), (v,))[1], (jax.grad(loss)(x) * v).sum()),
            "twice": (jax.jvp(jax.grad(loss), (x,), (v,))[1], pullback(6 * y * dy)[0]),
        }

    for ours, expected in derivatives(x, v).values():
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_long_dilated_windows():
    x = rng.standard_normal((1, 300, 1))
    numbers = {"window": (140,), "strides": (3,), "padding": (0,), "dilation": (2,)}
    assert_agree(
        lambda x: ops.max_pool(x, **numbers), lambda x: torch_pool("max", x, **numbers), x, tolerance=1e-12
    )


def test_max_pool_under_vmap_scan_and_remat_has_the_same_gradient():
    x = jnp.asarray(rng.integers(0, 3, (4, 2, 7, 7, 2)), jnp.float32)

    def loss(x):
        return (ops.max_pool(x, 3, strides=2, padding=1) ** 2).sum()

    expected = jnp.stack([jax.jit(jax.grad(loss))(each) for each in x])
    np.testing.assert_array_equal(jax.jit(jax.vmap(jax.grad(loss)))(x), expected)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(jax.grad(lambda x: loss(x[None]))))(x), expected)
    _, scanned = lax.scan(lambda carry, each: (carry, jax.grad(loss)(each)), 0, x)
    np.testing.assert_array_equal(scanned, expected)
    np.testing.assert_array_equal(jax.grad(jax.checkpoint(loss))(x[0]), expected[0])


@pytest.mark.parametrize("window", [3, 5])
def test_max_pool_keeps_nan_and_infinity(window):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((1, 9, 9, 1)).astype(np.float32)
    x[0, 2, 3], x[0, 7, 7], x[0, 0, 8] = np.nan, np.inf, -np.inf
    y = ops.max_pool(jnp.asarray(x), window, strides=1, padding=1)
    expected = torch_pool("max", torch.from_numpy(x), (window, window), 1, padding=1)
    np.testing.assert_array_equal(y, expected.numpy())


def test_a_window_of_minus_infinity_sends_its_gradient_into_the_input():
    x = jnp.full((1, 3, 3, 1), -jnp.inf)
    gradient = jax.grad(lambda x: ops.max_pool(x, 3, strides=3, padding=1).sum())(x)
    assert gradient[0, 0, 0, 0] == 1
    assert gradient.sum() == 1


@pytest.mark.parametrize("window", [(3, 3), (3, 7)])
def test_padding_never_takes_the_gradient_of_the_lowest_number(window):
    torch = pytest.importorskip("torch")
    padding = [each // 2 for each in window]
    lowest = torch.full((1, 8, 8, 1), torch.finfo(torch.float32).min, requires_grad=True)
    torch_pool("max", lowest, window, 2, padding=padding).sum().backward()
    x = jnp.asarray(lowest.detach().numpy())
    gradient = jax.grad(lambda x: ops.max_pool(x, window, strides=2, padding=padding).sum())(x)
    np.testing.assert_array_equal(gradient, lowest.grad)


@pytest.mark.parametrize("dtype", [jnp.bool, jnp.int32, jnp.uint8, jnp.bfloat16, jnp.float16])
def test_max_pool_takes_other_dtypes(dtype):
    x = jnp.asarray(rng.integers(0, 100, (1, 6, 6, 2)), dtype)
    y = ops.max_pool(x, 3, strides=2, padding=1)
    expected = ops.max_pool(x.astype(jnp.float32), 3, strides=2, padding=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.astype(jnp.float32), expected)


def test_averages_of_half_precision_are_summed_in_float32():
    x = jnp.full((1, 64, 64, 1), 1.001, jnp.float16)
    assert ops.avg_pool(x, 64).ravel() == x[0, 0, 0]
    assert ops.global_avg_pool(x).ravel() == x[0, 0, 0]


def test_global_pools_are_means_and_maxima():
    x = rng.standard_normal((2, 3, 4, 5, 6))
    mean, largest = ops.global_avg_pool(jnp.asarray(x, jnp.float32)), ops.global_max_pool(x)
    np.testing.assert_allclose(mean, x.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(largest, x.max((1, 2, 3)), rtol=1e-6)
    assert ops.global_avg_pool(x, keepdims=True).shape == (2, 1, 1, 1, 6)


def test_masked_batches_of_mixed_sizes_pool_as_if_alone():
    images = [rng.standard_normal((1, *size, 3)).astype(np.float32) for size in [(4, 6), (5, 3), (1, 1)]]
    batch, mask = np.full((3, 5, 6, 3), np.nan, np.float32), np.zeros((3, 5, 6), bool)
    for i, image in enumerate(images):
        _, h, w, _ = image.shape
        batch[i, :h, :w], mask[i, :h, :w] = image, True
    for function in (ops.global_avg_pool, ops.global_max_pool):
        expected = np.concatenate([function(image) for image in images])
        np.testing.assert_allclose(function(batch, mask=mask), expected, rtol=1e-6)
        gradient = jax.grad(lambda x, f=function: f(x, mask=mask).sum())(jnp.asarray(batch))
        assert not np.isnan(gradient).any()
        assert not gradient[~mask].any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.max_pool(x[0], 2), ValueError, "x has shape (4, 3)"),
        (lambda x: ops.max_pool(x, (2, 2)), ValueError, "window=(2, 2): expected an int or 1 ints"),
        (lambda x: ops.max_pool(x, 0), ValueError, "window=0: expected 1 or more"),
        (lambda x: ops.max_pool(x, 1.5), TypeError, "window=1.5: expected an int"),
        (lambda x: ops.max_pool(x, 2, strides=0), ValueError, "strides=0: expected 1 or more"),
        (lambda x: ops.max_pool(x, 5), ValueError, "does not fit in 4"),
        (lambda x: ops.max_pool(x, 2, padding="SOME"), ValueError, "padding='SOME' is not known"),
        (lambda x: ops.max_pool(x, 2, padding=2), ValueError, "lies in padding alone on spatial axis 0"),
        (lambda x: ops.avg_pool(x, 2, padding=2), ValueError, "padding=2: a window of 2"),
        (lambda x: ops.global_avg_pool(x[:, :0]), ValueError, "expected 1 or more pixels"),
        (
            lambda x: ops.global_max_pool(x, mask=x[0] > 0),
            ValueError,
            "mask has shape (4, 3): expected (1, 4)",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(jnp.ones((1, 4, 3)))
