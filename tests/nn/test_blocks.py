"""Residual blocks: h = f(x) + shortcut(x)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import nn
from jaxcnn.nn import choices

KEY = jax.random.key(0)
BLOCKS = [nn.BasicBlock, nn.BottleneckBlock]


def out(block, features):
    return features * (4 if block is nn.BottleneckBlock else 1)


@pytest.mark.parametrize("norm", sorted(choices.NORMS))
@pytest.mark.parametrize("block", BLOCKS)
def test_f_of_zero_leaves_the_identity(block, norm):
    """With the identity for activation h = x whatever x; with a ReLU for the x that a ReLU made."""
    x = np.random.default_rng(0).normal(size=(2, 5, 6, out(block, 4))).astype(np.float32)
    inputs = {"identity": x, "relu": np.maximum(x, 0)}

    @jax.jit
    def outputs():
        modules = {
            name: block(4, norm=norm, zero_init=True, activation=name, shortcut="identity") for name in inputs
        }
        variables = modules["relu"].init(KEY, x)
        return {
            (name, train): module.apply(variables, inputs[name], train=train, mutable=["batch_stats"])[0]
            for name, module in modules.items()
            for train in (False, True)
        }

    for (name, _), y in outputs().items():
        np.testing.assert_array_equal(y, inputs[name])


@pytest.mark.parametrize("conv", sorted(choices.CONVS))
def test_f_of_zero_learns(conv):
    """In the first step the factor that is zero alone, and f with it in proportion; in the second all."""
    x = jax.random.normal(KEY, (2, 3, 4, 4))
    block = nn.BasicBlock(4, conv=conv, norm="none", zero_init=True, activation="identity", order="pre")

    @jax.jit
    def gradients(params):
        def loss(params):
            f = block.apply({"params": params}, x) - x
            return jnp.mean((f - jnp.cos(x)) ** 2), f

        return jax.grad(loss, has_aux=True)(params)

    params = block.init(KEY, x)["params"]
    first, f = gradients(params)
    assert not f.any()
    step = optax.tree.add_scale
    second, far = gradients(step(params, -0.01, first))
    _, near = gradients(step(params, -0.001, first))
    assert far.any()
    np.testing.assert_allclose(far, 10 * near, rtol=1e-2, atol=1e-4 * np.abs(far).max())
    for path, gradient in jax.tree_util.tree_leaves_with_path(second):
        assert np.isfinite(gradient).all()
        assert gradient.any(), path


@pytest.mark.parametrize("block", BLOCKS)
def test_f_of_zero_leaves_the_padded_shortcut(block):
    x = jax.random.normal(KEY, (2, 5, 6, 3))
    module = block(4, strides=2, zero_init=True, activation="identity", shortcut="pad")
    y, _ = jax.jit(module.init_with_output)(KEY, x)
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    assert not y[..., 3:].any()


@pytest.mark.parametrize("block", BLOCKS)
def test_f_of_zero_leaves_the_projection(block):
    x = jax.random.normal(KEY, (2, 5, 6, 3))
    module = block(4, strides=2, zero_init=True, activation="identity", norm="none")
    y, variables = jax.jit(module.init_with_output)(KEY, x)
    kernel = variables["params"]["shortcut"]["conv"]["kernel"][0, 0]
    np.testing.assert_allclose(y, np.asarray(x)[:, ::2, ::2] @ np.asarray(kernel), rtol=1e-5, atol=1e-6)


def test_the_bottleneck_with_projection_is_torchs():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    module = nn.BottleneckBlock(4, strides=2)
    shapes = jax.eval_shape(module.init, KEY, x)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), shapes)
    params, stats = (
        jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), variables[name])
        for name in ("params", "batch_stats")
    )

    def conv_norm(x, name, stride=1, padding=0):
        kernel, norm, at = params[name]["conv"]["kernel"], params[name]["norm"], stats[name]["norm"]
        x = F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride, padding=padding)
        return F.batch_norm(x, at["mean"], at["var"], norm["scale"], norm["bias"], eps=1e-5)

    past = torch.tensor(x).permute(0, 3, 1, 2)
    branch = F.relu(conv_norm(past, "conv1"))
    branch = F.relu(conv_norm(branch, "conv2", stride=2, padding=1))
    expected = F.relu(conv_norm(branch, "conv3") + conv_norm(past, "shortcut", stride=2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(module.apply(variables, x), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
def test_shortcuts_have_parameters_only_where_they_project(block):
    def names(channels, **options):
        x = jax.ShapeDtypeStruct((1, 8, 8, channels), jnp.float32)
        return set(jax.eval_shape(block(4, **options).init, KEY, x)["params"])

    same = out(block, 4)
    assert "shortcut" not in names(same)
    assert "shortcut" in names(same + 1)
    assert "shortcut" in names(same, strides=2)
    assert "shortcut" not in names(3, strides=2, shortcut="pad")


def test_identity_refuses_to_change_the_shape():
    with pytest.raises(
        ValueError, match=r"cannot lead from 3 to 4 channels with strides 1; use 'pad' or 'proj"
    ):
        nn.BasicBlock(4, shortcut="identity").init(KEY, jnp.ones((1, 4, 4, 3)))
    with pytest.raises(ValueError, match="with strides 2"):
        nn.BasicBlock(4, strides=2, shortcut="identity").init(KEY, jnp.ones((1, 4, 4, 4)))


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_strided_results_are_pixels_of_the_unstrided(kernel_size, size):
    """What lets a padded shortcut, every second pixel of x, be added to a strided branch."""
    x = jax.random.normal(KEY, (1, size, size, 2))
    dense = nn.ConvNorm(3, kernel_size, norm="none")
    variables = dense.init(KEY, x)
    strided = nn.ConvNorm(3, kernel_size, 2, norm="none").apply(variables, x)
    np.testing.assert_allclose(strided, dense.apply(variables, x)[:, ::2, ::2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", sorted(choices.NORMS))
def test_norms_do_what_their_names_say(norm):
    """After a norm, the values that share statistics have mean 0 and variance 1."""
    x = 3 + 2 * jax.random.normal(KEY, (4, 6, 6, 16))
    module = choices.norm(norm, 16)
    if norm == "none":
        assert module is None
        return
    y = (
        module.init_with_output(KEY, x, train=True)[0]
        if norm != "batch"
        else module.apply(module.init(KEY, x), x, train=True, mutable=["batch_stats"])[0]
    )
    grouped = y.reshape(4, 36, 2, 8)
    axes = {"batch": (0, 1), "channel": (2, 3), "instance": (1,), "group": (1, 3), "layer": (1, 2, 3)}[norm]
    np.testing.assert_allclose(grouped.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.var(axes), 1, rtol=1e-3)
    wider = {"batch": (1,), "channel": (3,), "instance": None, "group": (1,), "layer": (1, 3)}[norm]
    if wider:  # and no fewer values share them
        assert np.abs(grouped.mean(wider)).max() > 1e-2


@pytest.mark.parametrize(("features", "groups"), [(16, 2), (24, 3), (8, 1), (4, 1), (10, 5), (7, 7)])
def test_groups_divide_every_width(features, groups):
    assert choices.norm("group", features).groups == groups


def test_parts_may_be_given_themselves():
    def conv(features, kernel_size, **options):
        return nn.Conv(features, kernel_size, lowering="direct", **options)

    def norm(**options):
        return nn.BatchNorm(momentum=0.5, **options)

    x = jnp.ones((1, 4, 4, 2))
    module = nn.BasicBlock(4, conv=conv, norm=norm, activation=jnp.square)
    y, variables = module.init_with_output(KEY, x)
    assert y.min() >= 0
    assert variables["params"]["conv1"]["conv"]["kernel"].shape == (3, 3, 2, 4)


@pytest.mark.parametrize("head", [nn.PooledHead, nn.FlattenHead])
def test_heads_compute_in_float32(head):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 3, 5)), jnp.bfloat16)
    y, variables = head(4).init_with_output(KEY, x)
    assert y.dtype == jnp.float32
    kernel = np.asarray(variables["params"]["dense"]["kernel"], np.float64)
    flat = np.asarray(x, np.float64)
    flat = flat.mean((1, 2)) if head is nn.PooledHead else flat.reshape(2, -1)
    np.testing.assert_allclose(y, flat @ kernel, rtol=1e-5, atol=1e-6)


def test_the_fully_connected_head_starts_as_dense_layers_do():
    """Glorot's variance, 2/(fan-in + fan-out), with all numbers of the map in and units out."""
    head = nn.FullyConnectedHead(
        3, size=4, hidden=(200, 100), kernel_init=jax.nn.initializers.glorot_normal()
    )
    params = head.init(KEY, jnp.ones((1, 4, 4, 10)))["params"]
    for name, fans in (("hidden1", 160 + 200), ("hidden2", 200 + 100)):
        kernel = params[name]["kernel"]
        assert float(kernel.var() * fans / 2) == pytest.approx(1, abs=6 * np.sqrt(2 / kernel.size))


@pytest.mark.parametrize("size", [(4, 6), (2, 2), (1, 1)])
def test_the_fully_connected_head_reads_the_pooled_map(size):
    """Every input becomes two positions on each axis: means of blocks, the map itself, copies."""
    x = np.random.default_rng(0).normal(size=(3, *size, 5))
    head = nn.FullyConnectedHead(4, size=2, hidden=(7, 6))
    shapes = jax.eval_shape(head.init, KEY, x)["params"]
    params = jax.tree.map(lambda leaf: np.random.default_rng(leaf.size).normal(size=leaf.shape), shapes)
    pooled = x.repeat(2 // min(2, size[0]), 1).repeat(2 // min(2, size[1]), 2)
    y = pooled.reshape(3, 2, pooled.shape[1] // 2, 2, pooled.shape[2] // 2, 5).mean((2, 4)).reshape(3, -1)
    for name in ("hidden1", "hidden2"):
        y = np.maximum(y @ params[name]["kernel"].reshape(y.shape[1], -1) + params[name]["bias"], 0)
    expected = y @ params["dense"]["kernel"] + params["dense"]["bias"]
    np.testing.assert_allclose(
        head.apply({"params": params}, x.astype(np.float32)), expected, rtol=1e-4, atol=1e-4
    )
