"""What every operation takes: integers and lists as well as floating arrays; what it refuses as no number."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops

X = np.random.default_rng(0).integers(0, 200, (2, 4, 4, 4)).astype(np.uint8)
KEY = jax.random.key(0)
SCALE, BIAS = [1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 0.0, -1.0]
BOXES, IMAGE = [[0.0, 0.5, 3.0, 2.5], [1.0, 1.0, 2.0, 4.0]], [0, 1]
SQUEEZE, EXCITE = (np.eye(4)[:, :2] / 100, BIAS[:2]), (np.eye(4)[:2], BIAS)

REAL = {
    "avg_pool": lambda x: ops.avg_pool(x, 2),
    "global_avg_pool": lambda x: ops.global_avg_pool(x),
    "adaptive_avg_pool": lambda x: ops.adaptive_avg_pool(x, 3),
    "resize": lambda x: ops.resize(x, 3),
    "lp_pool": lambda x: ops.lp_pool(x, 2),
    "lp_pool_inf": lambda x: ops.lp_pool(x, 2, p=np.inf),
    "weighted_pool": lambda x: ops.weighted_pool(x, [[0.5, 0.25]]),
    "gaussian_pool": lambda x: ops.gaussian_pool(x, 3),
    "blur_pool": lambda x: ops.blur_pool(x),
    "stochastic_pool": lambda x: ops.stochastic_pool(None, x, 2),
    "stochastic_pool_drawn": lambda x: ops.stochastic_pool(KEY, x, 2),
    "layer_norm": lambda x: ops.layer_norm(x, SCALE, BIAS),
    "group_norm": lambda x: ops.group_norm(x, SCALE, BIAS, groups=2),
    "instance_norm": lambda x: ops.instance_norm(x, SCALE, BIAS),
    "batch_norm": lambda x: ops.batch_norm(x, SCALE, BIAS, BIAS, SCALE),
    "batch_moments": lambda x: ops.batch_moments(x).var,
    "local_response_norm": lambda x: ops.local_response_norm(x),
    "weight_standardize": lambda x: ops.weight_standardize(x, SCALE),
    "weight_normalize": lambda x: ops.weight_normalize(x, SCALE),
    "squash": lambda x: ops.squash(x),
    "capsule_lengths": lambda x: ops.capsule_lengths(x),
    "primary_capsules": lambda x: ops.primary_capsules(x, 2),
    "dynamic_routing": lambda x: ops.dynamic_routing(x).capsules,
    "em_routing": lambda x: ops.em_routing(x, np.ones((2, 4)), BIAS, BIAS).poses,
    "complex_cell": lambda x: ops.complex_cell(x),
    "roi_align": lambda x: ops.roi_align(x, BOXES, IMAGE, 2),
    "deform_roi_pool": lambda x: ops.deform_roi_pool(x, BOXES, IMAGE, np.full((2, 2, 2, 2), 0.5), size=2),
    "deform_conv": lambda x: ops.deform_conv(x, np.ones((1, 1, 4, 2)), np.full((2, 4, 4, 2), 0.5)),
    "dropout": lambda x: ops.dropout(KEY, x, 0.3),
    "spatial_dropout": lambda x: ops.spatial_dropout(KEY, x, 0.3),
    "drop_path": lambda x: ops.drop_path(KEY, x, 0.3),
    "drop_block": lambda x: ops.drop_block(KEY, x, 0.3, 2),
    "squeeze_excite": lambda x: ops.squeeze_excite(x, SQUEEZE, EXCITE),
    "cbam": lambda x: ops.cbam(x, SQUEEZE, EXCITE, np.ones((3, 3, 2, 1)) / 1000),
    "coordinate_attention": lambda x: ops.coordinate_attention(x, SQUEEZE, [EXCITE] * 2),
}
each = pytest.mark.parametrize("name", sorted(REAL))


@each
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_integers_give_what_the_same_numbers_as_floats_give(name, dtype):
    x = X > 100 if dtype is bool else X.astype(dtype)
    y, expected = REAL[name](jnp.asarray(x)), REAL[name](jnp.asarray(x, jnp.float32))
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, expected)


@each
@pytest.mark.filterwarnings("error")
def test_lists_and_numpy_arrays_are_arrays(name):
    expected = REAL[name](jnp.asarray(X, jnp.float32))
    for x in (X.tolist(), X.astype(float)):
        np.testing.assert_array_equal(REAL[name](x), expected)


@each
def test_half_precision_stays_and_integers_follow_the_default(name):
    half = jax.eval_shape(REAL[name], jax.ShapeDtypeStruct(X.shape, jnp.bfloat16))
    exempt = (
        "batch_moments",
        "deform_conv",
        "weighted_pool",
        "squeeze_excite",
        "cbam",
        "coordinate_attention",
    )
    assert half.dtype == (jnp.float32 if name in exempt else jnp.bfloat16)
    with jax.enable_x64(True):
        assert jax.eval_shape(REAL[name], jax.ShapeDtypeStruct(X.shape, jnp.int32)).dtype == jnp.float64


def test_means_of_integers_are_means():
    blocks = X.reshape(2, 2, 2, 2, 2, 4)
    np.testing.assert_allclose(ops.avg_pool(X, 2), blocks.mean((2, 4)), rtol=1e-6)
    np.testing.assert_allclose(ops.global_avg_pool(X), X.mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(ops.capsule_lengths([[3, 4], [1, 1]]), [5, np.sqrt(2)], rtol=1e-6)
    assert set(np.unique(ops.dropout(KEY, np.ones(50, int), 0.2))) == {
        0,
        np.float32(1 / (1 - np.float32(0.2))),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, bool, jnp.bfloat16, np.float32])
def test_maxima_keep_their_dtype(dtype):
    x = jnp.asarray(X.astype(np.int32) % 100 - 50 if dtype != np.uint8 else X).astype(dtype)
    mask = np.zeros((2, 4, 4), bool)
    mask[:, :2, :3] = True
    y = ops.global_max_pool(x, mask=mask.tolist())
    assert y.dtype == ops.adaptive_max_pool(x, 3).dtype == dtype
    np.testing.assert_array_equal(y, np.asarray(x)[:, :2, :3].max((1, 2)))


def test_masks_may_be_lists():
    mask = np.ones((2, 4, 4), bool)
    mask[1, 2:] = False
    x = X.astype(np.float32)
    mean = np.stack([x[0].mean((0, 1)), x[1, :2].mean((0, 1))])
    np.testing.assert_allclose(ops.global_avg_pool(x, mask=mask.tolist()), mean, rtol=1e-6)
    np.testing.assert_allclose(ops.batch_moments(x, mask=mask.tolist()).mean, x[mask].mean(0), rtol=1e-6)
    for gate in (REAL["squeeze_excite"], REAL["coordinate_attention"]):
        assert gate(x).shape == x.shape
    kernel = np.ones((3, 3, 2, 1))
    y = ops.cbam(x, SQUEEZE, EXCITE, kernel, mask=mask.tolist())
    np.testing.assert_array_equal(y, ops.cbam(x, SQUEEZE, EXCITE, kernel, mask=jnp.asarray(mask)))
    y = ops.coordinate_attention(x, SQUEEZE, [EXCITE] * 2, mask=mask.tolist())
    np.testing.assert_array_equal(y[1, 2:], 0)


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_numbers_of_any_kind_are_checked(kind):
    x = jnp.asarray(X, jnp.float32)
    np.testing.assert_array_equal(ops.lp_pool(-x, 2, p=kind(np.inf)), ops.max_pool(x, 2))
    moments = ops.batch_moments(x)
    for call, message in (
        (lambda: ops.lp_pool(x, 2, p=kind(0.5)), "p=0.5: expected 1 or more"),
        (lambda: ops.dropout(KEY, x, kind(2)), "rate=2.0: expected a probability"),
        (lambda: ops.drop_block(KEY, x, kind(-1)), "rate=-1.0: expected a probability"),
        (lambda: ops.update_running(SCALE, BIAS, moments, momentum=kind(2)), "momentum=2.0: expected 0 to 1"),
        (lambda: ops.gaussian_pool(x, 3, sigma=kind(0)), "sigma=0.0: expected a positive number"),
        (lambda: ops.gaussian_filter((3, 3), (1.0, kind(-1))), "sigma=-1.0: expected a positive number"),
        (lambda: ops.gabor_filter(3, wavelength=kind(0)), "wavelength=0.0: expected a positive number"),
        (lambda: ops.gabor_filter(3, wavelength=3, sigma=kind(0)), "sigma=0.0: expected a positive number"),
        (lambda: ops.gabor_bank(3, wavelengths=(3, kind(0))), "wavelengths=0.0: expected a positive number"),
        (lambda: ops.layer_norm(x, epsilon=kind(-1)), "epsilon=-1.0: expected 0 or more"),
        (lambda: ops.group_norm(x, groups=2, epsilon=kind(-1)), "epsilon=-1.0: expected 0 or more"),
        (lambda: ops.batch_norm(x, None, None, BIAS, SCALE, epsilon=kind(-1)), "epsilon=-1.0: expected 0"),
        (lambda: ops.weight_standardize(x, epsilon=kind(-1)), "epsilon=-1.0: expected 0 or more"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


def test_traced_numbers_pass():
    x = jnp.asarray(X, jnp.float32)

    @jax.jit
    def all_of_them(number):
        return (
            ops.lp_pool(x, 2, p=number),
            ops.dropout(KEY, x, number / 4),
            ops.gaussian_pool(x, 3, sigma=number),
            ops.gabor_filter(3, wavelength=number, sigma=number),
            ops.layer_norm(x, epsilon=number),
        )

    assert all(jnp.isfinite(y).all() for y in all_of_them(2.0))


@pytest.mark.parametrize("name", ["dropout", "spatial_dropout", "drop_path", "drop_block", "stochastic_pool"])
def test_what_is_no_key_is_refused(name):
    x, draw = jnp.ones((2, 4, 4, 3)), getattr(ops, name)
    number = 2 if name == "stochastic_pool" else 0.5
    with pytest.raises(TypeError, match="key is float32: expected a PRNG key"):
        draw(x, x, number)
    with pytest.raises(TypeError, match="key is 0: expected a PRNG key"):
        draw(0, x, number)
    if name != "stochastic_pool":
        with pytest.raises(TypeError, match="key is None: expected a PRNG key"):
            draw(None, x, number)
        with pytest.raises(TypeError, match="key is float32: expected a PRNG key"):
            draw(x, KEY, number)
    assert draw(jax.random.PRNGKey(0), x, number).shape[0] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.gaussian_pool(np.ones((4, 3)), 3), "x has shape (4, 3): expected (batch"),
        (lambda: ops.gaussian_pool(1.0, 3), "x has shape (): expected (batch"),
        (lambda: ops.blur_pool(np.ones((4, 3))), "x has shape (4, 3): expected (batch"),
        (lambda: ops.weighted_pool(np.ones((4, 3)), [1.0]), "x has shape (4, 3): expected (batch"),
        (lambda: ops.squeeze_excite(np.ones((4, 4)), SQUEEZE, EXCITE), "x has shape (4, 4): expected (batch"),
        (lambda: ops.maxout(1.0, 2), "x is a scalar: expected an axis of channels"),
        (lambda: ops.complex_cell(1.0), "x is a scalar: expected an axis of channels"),
        (lambda: ops.dense(1.0, np.ones((1, 1))), "x is a scalar: expected an axis of channels"),
        (lambda: ops.margin_loss(1.0, 0), "x is a scalar: expected an axis of channels"),
        (
            lambda: ops.capsule_votes([1.0], np.ones((1, 1, 1, 1))),
            "capsules have shape (1,): expected (*batch",
        ),
        (lambda: ops.adaptive_avg_pool(np.ones((1, 0, 3)), 2), "expected 1 or more pixels on every spatial"),
        (
            lambda: ops.adaptive_max_pool(np.ones((1, 4, 0, 3)), 2),
            "expected 1 or more pixels on every spatial",
        ),
        (lambda: ops.resize(np.ones((1, 0, 3)), 2), "expected 1 or more pixels on every spatial axis"),
    ],
)
def test_ranks_and_empty_axes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("op", [ops.adaptive_avg_pool, ops.adaptive_max_pool, ops.resize])
def test_no_images_give_no_images(op):
    assert op(np.ones((0, 4, 3)), 2).shape == (0, 2, 3)


def test_votes_of_lists_are_products():
    votes = ops.capsule_votes([[1.0, 2.0], [3.0, 4.0]], np.arange(8.0).reshape(2, 1, 2, 2).tolist())
    np.testing.assert_array_equal(
        votes[:, 0], [[1 * 0 + 2 * 2, 1 * 1 + 2 * 3], [3 * 4 + 4 * 6, 3 * 5 + 4 * 7]]
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda n: ops.local_response_norm(X, n), "size"),
        (lambda n: ops.dynamic_routing(X, n), "iterations"),
        (lambda n: ops.factor_kernel(X, n), "rank"),
        (lambda n: ops.drop_block(KEY, X, 0.5, n), "block"),
    ],
)
def test_counts_that_are_of_no_axis_are_not_said_to_be(call, name):
    with pytest.raises(ValueError, match=f"^{name}=0: expected 1 or more$"):
        call(0)
    with pytest.raises(TypeError, match=f"^{name}=1.5: expected an int$"):
        call(1.5)
