"""Modules own parameters of the right shapes and scale, and compute what their function computes."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn, ops

key = jax.random.key(0)
image = jax.random.normal(key, (2, 6, 6, 4))

LAYERS = [
    # module, its function of (x, parameters), shapes of the parameters
    (
        nn.Conv(6, (3, 2), strides=2, padding=1, dilation=(1, 2), groups=2),
        lambda x, p: ops.conv(x, p["kernel"], p["bias"], strides=2, padding=1, dilation=(1, 2), groups=2),
        {"kernel": (3, 2, 2, 6), "bias": (6,)},
    ),
    (
        nn.Conv(6, (3, 2), flip=True),
        lambda x, p: ops.conv(x, p["kernel"], p["bias"], flip=True),
        {"kernel": (3, 2, 4, 6), "bias": (6,)},
    ),
    (
        nn.ConvTranspose(6, 3, strides=2, padding=1, groups=2, output_padding=1),
        lambda x, p: ops.conv_transpose(
            x, p["kernel"], p["bias"], strides=2, padding=1, groups=2, output_padding=1
        ),
        {"kernel": (3, 3, 4, 3), "bias": (6,)},
    ),
    (
        nn.DepthwiseConv(3, multiplier=2, strides=2),
        lambda x, p: ops.depthwise_conv(x, p["kernel"], p["bias"], strides=2),
        {"kernel": (3, 3, 1, 8), "bias": (8,)},
    ),
    (
        nn.DepthwiseConv(3, flip=True),
        lambda x, p: ops.depthwise_conv(x, p["kernel"], p["bias"], flip=True),
        {"kernel": (3, 3, 1, 4), "bias": (4,)},
    ),
    (
        nn.PointwiseConv(6, groups=2),
        lambda x, p: ops.pointwise_conv(x, p["kernel"], p["bias"], groups=2),
        {"kernel": (2, 6), "bias": (6,)},
    ),
    (
        nn.ShuffledConv(6, 3, groups=2, padding="CIRCULAR"),
        lambda x, p: ops.shuffled_conv(x, p["kernel"], p["bias"], groups=2, padding="CIRCULAR"),
        {"kernel": (3, 3, 2, 6), "bias": (6,)},
    ),
    (
        nn.SeparableConv(6, 3, multiplier=2, strides=2),
        lambda x, p: ops.separable_conv(x, p["depthwise"], p["pointwise"], p["bias"], strides=2),
        {"depthwise": (3, 3, 1, 8), "pointwise": (8, 6), "bias": (6,)},
    ),
    (
        nn.SeparableConv(6, 3, multiplier=2, pointwise_first=True),
        lambda x, p: ops.separable_conv(x, p["depthwise"], p["pointwise"], p["bias"], pointwise_first=True),
        {"depthwise": (3, 3, 1, 6), "pointwise": (4, 3), "bias": (6,)},
    ),
    (
        nn.SpatiallySeparableConv(6, (3, 5), rank=2, groups=2),
        lambda x, p: ops.spatially_separable_conv(x, [p["kernel_0"], p["kernel_1"]], p["bias"], groups=2),
        {"kernel_0": (3, 2, 2), "kernel_1": (5, 1, 6), "bias": (6,)},
    ),
    (
        nn.FlattenedConv(6, (3, 5), strides=2),
        lambda x, p: ops.flattened_conv(
            x, p["lateral"], [p["profile_0"], p["profile_1"]], p["bias"], strides=2
        ),
        {"lateral": (4, 6), "profile_0": (3, 6), "profile_1": (5, 6), "bias": (6,)},
    ),
    (
        nn.LocalConv(5, 3, strides=2, padding="VALID"),
        lambda x, p: ops.local_conv(x, p["kernel"], p["bias"], strides=2, padding="VALID"),
        {"kernel": (2, 2, 3, 3, 4, 5), "bias": (2, 2, 5)},
    ),
    (
        nn.TiledConv(6, 3, tiles=(2, 3), groups=2),
        lambda x, p: ops.tiled_conv(x, p["kernel"], p["bias"], groups=2),
        {"kernel": (2, 3, 3, 3, 2, 6), "bias": (2, 3, 6)},
    ),
    (
        nn.Dense(5),
        lambda x, p: ops.dense(x, p["kernel"], p["bias"]),
        {"kernel": (4, 5), "bias": (5,)},
    ),
]


@pytest.mark.parametrize(("module", "function", "shapes"), LAYERS, ids=lambda value: type(value).__name__)
def test_module_is_its_function(module, function, shapes):
    variables = jax.jit(module.init)(key, image)
    assert set(variables) == {"params"}
    assert jax.tree.map(jnp.shape, variables["params"]) == shapes
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    params = dict(variables["params"], bias=jax.random.normal(key, shapes["bias"]))
    y = jax.jit(module.apply)({"params": params}, image)
    np.testing.assert_allclose(y, jax.jit(function)(image, params), atol=1e-6)
    plain = module.clone(use_bias=False)
    assert "bias" not in jax.eval_shape(plain.init, key, image)["params"]
    half = module.clone(dtype=jnp.bfloat16)
    assert jax.eval_shape(half.apply, {"params": params}, image).dtype == jnp.bfloat16
    assert "train" in inspect.signature(module.__call__).parameters


@pytest.mark.parametrize(("module", "function", "shapes"), LAYERS, ids=lambda value: type(value).__name__)
def test_outputs_start_near_unit_variance(module, function, shapes):
    """Each kernel is drawn for the inputs its units sum over, in groups and places too."""
    wide = module.clone(features=96) if hasattr(module, "features") else module
    wide = wide.clone(rank=96) if hasattr(module, "rank") else wide
    if hasattr(module, "padding"):
        wide = wide.clone(padding="CIRCULAR", strides=1)
    if isinstance(module, nn.ConvTranspose):
        wide = wide.clone(output_padding=0)
    x = jax.random.normal(key, (4, 12, 12, 32))
    y, _ = jax.jit(wide.init_with_output)(key, x)
    assert 0.7 < y.std() < 1.3


@pytest.mark.parametrize("spatial", [(8,), (4, 4), (3, 4, 3)])
def test_one_module_serves_every_rank(spatial):
    x = jnp.ones((1, *spatial, 4))
    for module in (
        nn.Conv(6, 3),
        nn.ConvTranspose(6, 3),
        nn.DepthwiseConv(3, multiplier=2),
        nn.SeparableConv(6, 3),
    ):
        y, variables = jax.eval_shape(module.init_with_output, key, x)
        assert y.shape[:-1] == x.shape[:-1]
        assert y.shape[-1] in (6, 8)
        kernel = variables["params"].get("kernel", variables["params"].get("depthwise"))
        assert kernel.shape[:-2] == (3,) * len(spatial)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("numbers", [{}, {"strides": 2, "padding": 1, "groups": 2, "offset_groups": 4}])
def test_deformable_starts_as_a_convolution_and_learns_where_to_look(modulated, numbers):
    module = nn.DeformConv(6, 3, modulated=modulated, **numbers)
    variables = jax.jit(module.init)(key, image)
    samples = 9 * numbers.get("offset_groups", 1)
    found = variables["params"]["offset"]
    assert found["kernel"].shape == (3, 3, 4, samples * (3 if modulated else 2))
    plain = {name: value for name, value in numbers.items() if name != "offset_groups"}
    expected = ops.conv(image, variables["params"]["kernel"], **plain) * (0.5 if modulated else 1)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, image), expected, atol=1e-5)

    def loss(params):
        return jnp.square(module.apply({"params": params}, image)).sum()

    moved = jax.jit(jax.grad(loss))(variables["params"])["offset"]["kernel"]
    assert jnp.isfinite(moved).all()
    assert (jnp.abs(moved) > 0).mean() > 0.5


@pytest.mark.parametrize("modulated", [False, True])
def test_deformable_pooling_starts_as_roi_align(modulated):
    boxes, which = jnp.array([[0.5, 0.5, 5.0, 4.0], [1.0, 2.0, 6.0, 6.0]]), jnp.array([1, 0])
    module = nn.DeformRoIPool((2, 3), hidden=(8,), modulated=modulated)
    variables = jax.jit(module.init)(key, image, boxes, which)
    still = nn.RoIAlign((2, 3)).apply({}, image, boxes, which)
    np.testing.assert_array_equal(still, ops.roi_align(image, boxes, which, (2, 3)))
    apply = jax.jit(module.apply)
    y = apply(variables, image, boxes, which)
    np.testing.assert_allclose(y, still * (0.5 if modulated else 1), atol=1e-6)
    assert variables["params"]["hidden_0"]["kernel"].shape == (24, 8)
    assert variables["params"]["offset"]["kernel"].shape == (8, 6 * (3 if modulated else 2))
    params = jax.tree.map(lambda leaf: leaf + 0.1, variables["params"])
    offset = jnp.broadcast_to(
        0.1 + 0.1 * jax.nn.relu(still.reshape(2, 24) @ params["hidden_0"]["kernel"] + 0.1).sum(-1)[:, None],
        (2, 18),
    )
    mask = jax.nn.sigmoid(offset[:, 12:]).reshape(2, 2, 3) if modulated else None
    expected = ops.deform_roi_pool(image, boxes, which, offset[:, :12].reshape(2, 2, 3, 2), mask, size=(2, 3))
    np.testing.assert_allclose(apply({"params": params}, image, boxes, which), expected, atol=1e-4)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="groups=3: expected a divisor of the 4 channels of x"):
        nn.Conv(6, 3, groups=3).init(key, image)
    with pytest.raises(ValueError, match=r"kernel_size=\(3, 3, 3\): expected an int or 2 ints"):
        nn.Conv(6, (3, 3, 3)).init(key, image)
    with pytest.raises(ValueError, match="groups=2: expected a divisor of the 5 features"):
        nn.ConvTranspose(5, 3, groups=2).init(key, image)
    with pytest.raises(ValueError, match="multiplier=4: expected a divisor of the 6 features"):
        nn.SeparableConv(6, 3, multiplier=4, pointwise_first=True).init(key, image)
    with pytest.raises(ValueError, match="groups=2: expected a divisor of the 3 channels read along axis 1"):
        nn.SpatiallySeparableConv(6, 3, rank=3, groups=2).init(key, image)


def test_weights_are_as_many_as_the_arithmetic_says():
    def count(module, *shape):
        variables = jax.eval_shape(module.init, key, jax.ShapeDtypeStruct(shape, jnp.float32))
        return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

    assert count(nn.Conv(1, 5, use_bias=False), 1, 32, 32, 3) == 75
    assert count(nn.Conv(6, 5), 1, 32, 32, 1) == 6 * (25 + 1)
    assert count(nn.Dense(6 * 28 * 28), 1, 32 * 32) == 6 * 28 * 28 * (32 * 32 + 1)
    assert count(nn.Conv(128, 3, use_bias=False), 1, 8, 8, 64) == 73728
    assert count(nn.SeparableConv(128, 3, use_bias=False), 1, 8, 8, 64) == 576 + 8192
    assert count(nn.Conv(64, 3, groups=4, use_bias=False), 1, 8, 8, 64) == 9 * 64 * 64 // 4
    assert count(nn.FlattenedConv(128, 3, use_bias=False), 1, 8, 8, 64) == 128 * (64 + 3 + 3)
    assert count(nn.LocalConv(2, 3, use_bias=False), 1, 8, 8, 4) == 8 * 8 * 9 * 4 * 2
