"""Modules of normalisation: what they own and remember."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn

rng = np.random.default_rng(0)


def test_batch_norm_keeps_torchs_running_statistics():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm2d(3)
    ours = nn.BatchNorm(momentum=0.1, convention="torch", unbiased=True)
    variables = ours.init(jax.random.key(0), jnp.ones((1, 2, 2, 3)))
    for _ in range(3):
        x = rng.normal(1, 2, (2, 4, 4, 3)).astype(np.float32)
        y, variables = apply_and_update(ours, variables, x)
        expected = theirs(torch.from_numpy(x).movedim(-1, 1)).movedim(1, -1)
        np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(variables["batch_stats"]["mean"], theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(variables["batch_stats"]["var"], theirs.running_var.numpy(), rtol=1e-5)
    theirs.eval()
    expected = theirs(torch.from_numpy(x).movedim(-1, 1)).movedim(1, -1).detach().numpy()
    np.testing.assert_allclose(ours.apply(variables, x), expected, atol=1e-5)


def test_batch_norm_is_flaxs_by_default():
    theirs, ours = linen.BatchNorm(momentum=0.9), nn.BatchNorm()
    x = rng.normal(1, 2, (4, 3, 3, 5)).astype(np.float32)
    variables = ours.init(jax.random.key(0), x)
    expected_variables = theirs.init(jax.random.key(0), x, use_running_average=True)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, expected_variables)
    for _ in range(2):
        y, variables = apply_and_update(ours, variables, x)
        # Flax's x − mean broadcasts without its axes, which the suite's strictness refuses.
        with jax.numpy_rank_promotion("allow"):
            expected, state = theirs.apply(
                expected_variables, x, use_running_average=False, mutable=["batch_stats"]
            )
        expected_variables = {**expected_variables, **state}
        np.testing.assert_allclose(y, expected, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), dict(variables), dict(expected_variables)
    )


def test_initialisation_leaves_the_running_statistics_alone():
    x = jnp.full((2, 3, 4), 7.0)
    for axis_name in (None, "data"):
        variables = nn.BatchNorm(axis_name=axis_name).init(jax.random.key(0), x, train=True)
        np.testing.assert_array_equal(variables["batch_stats"]["mean"], jnp.zeros(4))
        np.testing.assert_array_equal(variables["batch_stats"]["var"], jnp.ones(4))


def test_a_named_axis_counts_as_one_batch():
    x = jnp.asarray(rng.standard_normal((4, 2, 3, 5)), jnp.float32)
    layer, named = nn.BatchNorm(), nn.BatchNorm(axis_name="data")
    variables = layer.init(jax.random.key(0), x[0])
    whole, state = apply_and_update(layer, variables, x.reshape(8, 3, 5))
    mapped, states = jax.vmap(lambda x: apply_and_update(named, variables, x), axis_name="data")(x)
    np.testing.assert_allclose(mapped.reshape(whole.shape), whole, atol=1e-5)
    for shard in range(4):
        np.testing.assert_allclose(
            states["batch_stats"]["var"][shard], state["batch_stats"]["var"], rtol=1e-5
        )


def test_masked_values_do_not_count():
    x = jnp.asarray(rng.standard_normal((4, 3, 5)), jnp.float32)
    mask = jnp.array([True, True, True, False])
    layer = nn.BatchNorm()
    variables = layer.init(jax.random.key(0), x)
    y, _ = layer.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])
    expected, _ = layer.apply(variables, x[:3], train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y[:3], expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(axis=(1, 2)), nn.GroupNorm(2), nn.InstanceNorm()], ids=lambda m: type(m).__name__
)
def test_layers_without_memory_are_the_same_in_training_and_evaluation(layer):
    x = jnp.asarray(rng.standard_normal((2, 3, 4)), jnp.float32)
    variables = layer.init(jax.random.key(0), x)
    assert set(variables) == {"params"}
    np.testing.assert_array_equal(layer.apply(variables, x, train=True), layer.apply(variables, x))


def test_parameters_can_be_left_out():
    x = jnp.ones((2, 3, 4))
    assert nn.LayerNorm(use_scale=False, use_bias=False).init(jax.random.key(0), x) == {}
    assert set(nn.GroupNorm(groups=2, use_bias=False).init(jax.random.key(0), x)["params"]) == {"scale"}


def apply_and_update(layer, variables, x):
    y, state = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, {**variables, **state}
