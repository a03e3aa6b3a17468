"""Normalisation against torch (results and gradients), NumPy in float64, and its own laws."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn import ops
from tests.ops.parity import assert_agree, channels_first, channels_last, kernel_first

rng = np.random.default_rng(0)


@st.composite
def images(draw):
    """A batch of 1-D, 2-D or 3-D images, a number of groups that divides their channels, scale and bias."""
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 3))
    spatial = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    x = 3 + 2 * rng.standard_normal((draw(st.integers(2, 3)), *spatial, channels))
    return x, rng.standard_normal(channels), rng.standard_normal(channels), groups


@settings(max_examples=12, deadline=None, derandomize=True)
@given(images())
def test_batch_norm_is_torchs_with_every_gradient(case):
    functional = pytest.importorskip("torch").nn.functional
    x, scale, bias, _ = case

    def in_training(x, scale, bias):
        mean, var, _ = ops.batch_moments(x)
        return ops.batch_norm(x, scale, bias, mean, var, epsilon=1e-3)

    def theirs(x, scale, bias):
        y = functional.batch_norm(channels_first(x), None, None, scale, bias, training=True, eps=1e-3)
        return channels_last(y)

    assert_agree(in_training, theirs, x, scale, bias)


def test_batch_norm_in_evaluation_is_torchs_with_its_gradients():
    torch = pytest.importorskip("torch")
    mean, var = rng.standard_normal(5), rng.uniform(0.1, 2, 5)

    def theirs(x, scale, bias):
        statistics = torch.from_numpy(mean), torch.from_numpy(var)
        return channels_last(torch.nn.functional.batch_norm(channels_first(x), *statistics, scale, bias))

    assert_agree(
        lambda x, scale, bias: ops.batch_norm(x, scale, bias, jnp.asarray(mean), jnp.asarray(var)),
        theirs,
        rng.standard_normal((2, 3, 4, 5)),
        *rng.standard_normal((2, 5)),
    )


@settings(max_examples=12, deadline=None, derandomize=True)
@given(images(), st.sampled_from(["group", "instance"]))
def test_group_and_instance_norm_are_torchs_with_every_gradient(case, kind):
    functional = pytest.importorskip("torch").nn.functional
    x, scale, bias, groups = case
    groups = groups if kind == "group" else x.shape[-1]

    def ours(x, scale, bias):
        if kind == "instance":
            return ops.instance_norm(x, scale, bias)
        return ops.group_norm(x, scale, bias, groups=groups)

    def theirs(x, scale, bias):
        return channels_last(functional.group_norm(channels_first(x), groups, scale, bias))

    assert_agree(ours, theirs, x, scale, bias, tolerance=1e-8)


def test_layer_norm_is_torchs_with_every_gradient():
    functional = pytest.importorskip("torch").nn.functional
    x, scale, bias = rng.standard_normal((2, 4, 3, 5)), *rng.standard_normal((2, 5))
    assert_agree(ops.layer_norm, lambda x, s, b: functional.layer_norm(x, (5,), s, b), x, scale, bias)
    assert_agree(
        lambda x: ops.layer_norm(x, axis=(1, 2, 3), epsilon=1e-3),
        lambda x: functional.layer_norm(x, x.shape[1:], eps=1e-3),
        x,
    )


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_local_response_norm_is_torchs_with_its_gradient(size):
    functional = pytest.importorskip("torch").nn.functional
    numbers = {"alpha": 0.3, "beta": 0.6, "k": 1.5}
    assert_agree(
        lambda x: ops.local_response_norm(x, size, **numbers),
        lambda x: channels_last(functional.local_response_norm(channels_first(x), size, **numbers)),
        rng.standard_normal((2, 3, 4, 5)),
    )


def test_weight_standardization_by_its_definition():
    torch = pytest.importorskip("torch")

    def theirs(kernel, gain):
        flat = kernel.flatten(0, -2)
        centred = flat - flat.mean(0)
        return (gain * centred / torch.sqrt((centred**2).mean(0) + 1e-3)).reshape(kernel.shape)

    kernel, gain = 2 + rng.standard_normal((3, 3, 4, 5)), rng.standard_normal(5)
    assert_agree(lambda k, g: ops.weight_standardize(k, g, epsilon=1e-3), theirs, kernel, gain)


def test_weight_normalization_is_torchs():
    torch = pytest.importorskip("torch")

    def theirs(kernel, gain):
        found = torch._weight_norm(kernel_first(kernel), gain.reshape(-1, 1, 1, 1), 0)
        return found.movedim((0, 1), (-1, -2))

    assert_agree(ops.weight_normalize, theirs, rng.standard_normal((3, 3, 4, 5)), rng.standard_normal(5))
    assert not ops.weight_normalize(jnp.zeros((3, 2)), jnp.ones(2)).any()


def test_the_normal_distribution_before_scale_and_bias():
    x = jnp.asarray(5 + 3 * rng.standard_normal((8, 6, 6, 4)), jnp.float32)
    mean, var, _ = ops.batch_moments(x)
    for y, axes in [
        (ops.batch_norm(x, None, None, mean, var), (0, 1, 2)),
        (ops.layer_norm(x, axis=(1, 2, 3)), (1, 2, 3)),
        (ops.instance_norm(x), (1, 2)),
    ]:
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
        np.testing.assert_allclose(y.var(axes), 1, atol=1e-4)


def test_layer_norm_of_the_image_is_group_norm_with_one_group():
    x = jnp.asarray(rng.standard_normal((2, 4, 5, 6)), jnp.float32)
    np.testing.assert_allclose(ops.layer_norm(x, axis=(1, 2, 3)), ops.group_norm(x, groups=1), atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e5])
def test_moments_survive_a_large_mean(mean):
    x = (mean + rng.standard_normal((64, 8, 8, 2))).astype(np.float32)
    exact = x.astype(np.float64)
    ours, var, n = jax.jit(ops.batch_moments)(x)
    np.testing.assert_allclose(ours, exact.mean((0, 1, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-3)
    assert n == 64 * 8 * 8


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_normalised_in_float32(dtype):
    x = jnp.asarray(100 + rng.standard_normal((16, 9, 9, 4)), dtype)
    mean, var, _ = ops.batch_moments(x)
    assert mean.dtype == var.dtype == jnp.float32
    exact = x.astype(jnp.float32)
    for function in (
        lambda x: ops.batch_norm(x, None, None, mean, var),
        lambda x: ops.layer_norm(x, axis=(1, 2, 3)),
        lambda x: ops.group_norm(x, groups=2),
    ):
        y = function(x)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, function(exact).astype(dtype))


def test_running_statistics_in_both_conventions():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm2d(3, momentum=0.2)
    mean, var = jnp.zeros(3), jnp.ones(3)
    flax_mean, flax_var = mean, var
    expected = np.ones(3)
    for _ in range(4):
        x = rng.normal(1.0, 2.0, (2, 3, 3, 3)).astype(np.float32)
        theirs(channels_first(torch.from_numpy(x)))
        moments = ops.batch_moments(x)
        mean, var = ops.update_running(mean, var, moments, momentum=0.2, convention="torch", unbiased=True)
        flax_mean, flax_var = ops.update_running(flax_mean, flax_var, moments, momentum=0.8)
        expected = 0.8 * expected + 0.2 * x.astype(np.float64).var((0, 1, 2))
    np.testing.assert_allclose(mean, theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(var, theirs.running_var.numpy(), rtol=1e-5)
    np.testing.assert_allclose(flax_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(flax_var, expected, rtol=1e-5)


def test_a_batch_without_values_normalises_and_teaches_nothing():
    x, mean, var = jnp.ones((0, 4, 3)), jnp.full(3, 2.0), jnp.full(3, 5.0)
    moments = ops.batch_moments(x)
    assert ops.batch_norm(x, None, None, moments.mean, moments.var).shape == x.shape
    np.testing.assert_array_equal(ops.update_running(mean, var, moments), (mean, var))
    masked = ops.batch_moments(jnp.full((2, 4, 3), jnp.nan), mask=jnp.zeros(2, bool))
    np.testing.assert_array_equal(ops.update_running(mean, var, masked, unbiased=True), (mean, var))


def test_one_value_a_channel_is_normalised_to_zero():
    x = jnp.array([[3.0, -4.0]])
    mean, var, _ = ops.batch_moments(x)
    np.testing.assert_array_equal(ops.batch_norm(x, None, None, mean, var), [[0, 0]])
    gradient = jax.grad(lambda x: ops.instance_norm(x[:, None]).sum())(x)
    assert np.isfinite(gradient).all()


def test_masked_batches_of_mixed_sizes_normalise_as_if_alone():
    images = [rng.standard_normal((1, *size, 4)).astype(np.float32) for size in [(4, 6), (5, 3)]]
    batch, mask = np.full((2, 5, 6, 4), np.nan, np.float32), np.zeros((2, 5, 6), bool)
    for i, image in enumerate(images):
        _, h, w, _ = image.shape
        batch[i, :h, :w], mask[i, :h, :w] = image, True
    for i, image in enumerate(images):
        _, h, w, _ = image.shape
        y = ops.group_norm(batch, groups=2, mask=mask)[i : i + 1, :h, :w]
        np.testing.assert_allclose(y, ops.group_norm(image, groups=2), atol=1e-5)
    values = np.concatenate([image.reshape(-1, 4) for image in images])
    mean, var, n = ops.batch_moments(batch, mask=mask)
    np.testing.assert_allclose(mean, values.mean(0), atol=1e-6)
    np.testing.assert_allclose(var, values.var(0), rtol=1e-5)
    assert n == len(values)
    gradient = jax.grad(lambda x: ops.batch_moments(x, mask=mask).var.sum())(jnp.asarray(batch))
    assert not np.isnan(gradient).any()
    gradient = jax.grad(lambda x: ops.group_norm(x, groups=2, mask=mask)[mask][0, 0])(jnp.asarray(batch))
    assert not np.isnan(gradient).any()
    examples = ops.batch_moments(np.nan_to_num(batch), mask=np.array([True, False]))
    np.testing.assert_allclose(examples.mean, np.nan_to_num(batch)[0].mean((0, 1)), atol=1e-6)


def test_moments_over_a_mapped_axis_are_those_of_the_whole_batch():
    x = jnp.asarray(rng.standard_normal((4, 2, 3, 5)), jnp.float32)
    mask = jnp.asarray(rng.random((4, 2, 3)) < 0.6)
    whole = jax.tree.map(np.asarray, ops.batch_moments(x.reshape(8, 3, 5)))
    mapped = jax.vmap(lambda x: ops.batch_moments(x, axis_name="batch"), axis_name="batch")(x)
    some = ops.batch_moments(x.reshape(8, 3, 5), mask=mask.reshape(8, 3))
    some_mapped = jax.vmap(lambda x, m: ops.batch_moments(x, axis_name="batch", mask=m), axis_name="batch")(
        x, mask
    )
    for ours, expected in [(mapped, whole), (some_mapped, some)]:
        for name in ("mean", "var", "n"):
            for shard in getattr(ours, name):
                np.testing.assert_allclose(shard, getattr(expected, name), rtol=1e-5, atol=1e-6)


_ON_A_MESH = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxcnn import ops

mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 5, 3)), jnp.float32)
expected = ops.batch_moments(x)
sharded = jax.device_put(x, NamedSharding(mesh, P("data")))
whole = jax.jit(ops.batch_moments)(sharded)
named = jax.shard_map(
    lambda x: ops.batch_moments(x, axis_name="data"), mesh=mesh, in_specs=P("data"), out_specs=P()
)(sharded)
for ours in (whole, named):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, expected)
"""


def test_moments_over_a_mesh_are_those_of_the_whole_batch():
    command = "import jax; jax.config.update('jax_num_cpu_devices', 4)\n" + _ON_A_MESH
    subprocess.run([sys.executable, "-c", command], check=True, timeout=120)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.batch_moments(x.ravel()), "x has shape (24,)"),
        (lambda x: ops.batch_moments(x, mask=x > 0), "mask has shape (2, 3, 4): expected (2,) or (2, 3)"),
        (
            lambda x: ops.batch_norm(x, jnp.ones(3), None, *jnp.ones((2, 4))),
            "scale has shape (3,): expected (4,)",
        ),
        (lambda x: ops.batch_norm(x, None, None, *jnp.ones((2, 3))), "mean has shape (3,): expected (4,)"),
        (lambda x: ops.group_norm(x, groups=3), "groups=3: expected a divisor of the 4 channels"),
        (lambda x: ops.layer_norm(x, axis=0), "axis=0: expected"),
        (lambda x: ops.layer_norm(x, axis=(1, -2)), "axis=(1, -2): expected"),
        (lambda x: ops.layer_norm(x, bias=jnp.ones((1, 4))), "bias has shape (1, 4): expected (4,)"),
        (lambda x: ops.local_response_norm(x, 0), "size=0: expected 1 or more"),
        (lambda x: ops.weight_standardize(x[0, 0]), "kernel has shape (4,): expected (*taps, channels"),
        (lambda x: ops.weight_standardize(x, jnp.ones(3)), "gain has shape (3,): expected (4,)"),
        (
            lambda x: ops.update_running(x, x, ops.batch_moments(x), convention="keras"),
            "convention='keras': expected 'flax'",
        ),
        (lambda x: ops.update_running(x, x, ops.batch_moments(x), momentum=1.5), "momentum=1.5: expected"),
        (
            lambda x: ops.update_running(jnp.ones(1), jnp.ones(4), ops.batch_moments(x)),
            "mean has shape (1,): expected (4,)",
        ),
        (
            lambda x: ops.update_running(jnp.ones(4), jnp.ones((4, 1)), ops.batch_moments(x)),
            "var has shape (4, 1): expected (4,)",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((2, 3, 4)))
