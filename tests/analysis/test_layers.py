"""The layer table and the feature maps against sizes worked out by hand."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn
from jaxcnn.analysis import layers

KEY = jax.random.key(0)


def test_lenet_on_32_pixels_as_in_the_paper():
    """Connections of C1, C3 (all maps), C5, F6 and the output, without their biases."""
    table = layers.table(models.create("lenet5"), (32, 32, 1))
    macs = {layer.name: layer.macs for layer in table if layer.macs}
    assert macs == {
        "c1": 28 * 28 * 6 * 25,
        "c3": 10 * 10 * 16 * 6 * 25,
        "c5": 120 * 16 * 25,
        "f6": 120 * 84,
        "head/dense": 84 * 10,
    }
    shapes = {layer.name: layer.output for layer in table}
    assert shapes["s2"] == (14, 14, 6)
    assert shapes["s4"] == (5, 5, 16)
    assert layers.total_macs(table) == 416_520
    assert sum(layer.parameters for layer in table) == 61_706


def test_resnet20_costs_what_is_published():
    """40.55 M multiply-accumulates of kernels (He et al. count the same network as 0.27 M parameters)."""
    table = layers.table(models.create("resnet20"), (32, 32, 3))
    stage = [32 * 32 * 9 * 16 * 16, 16 * 16 * 9 * 32 * 32, 8 * 8 * 9 * 64 * 64]
    expected = 32 * 32 * 27 * 16 + 6 * stage[0] + 5.5 * stage[1] + 5.5 * stage[2] + 640
    assert layers.total_macs(table) == expected
    assert sum(layer.parameters for layer in table) == 269_722


@pytest.mark.parametrize("text", ["mlp", "lenet5", "resnet8(shortcut='projection')", "resnet14(norm='none')"])
def test_every_parameter_is_counted_once(text):
    model = models.create(text)
    table = layers.table(model, (16, 16, 3))
    variables = jax.eval_shape(model.init, KEY, jnp.ones((1, 16, 16, 3)))
    assert sum(layer.parameters for layer in table) == sum(
        x.size for x in jax.tree.leaves(variables["params"])
    )
    assert len({layer.name for layer in table}) == len(table)


def test_grouped_dilated_and_strided_convolutions_count_what_they_multiply():
    model = linen.Sequential(
        [
            nn.Conv(8, 3, groups=4, name="grouped"),
            nn.Conv(6, (3, 5), strides=2, dilation=2, padding="VALID", name="b"),
        ]
    )
    table = {layer.name: layer for layer in layers.table(_Called(model), (20, 21, 8))}
    grouped, strided = table["model/layers_0"], table["model/layers_1"]
    assert grouped.macs == 20 * 21 * 8 * 9 * 2
    assert strided.output == (8, 7, 6)
    assert strided.macs == 8 * 7 * 6 * 15 * 8


class _Called(linen.Module):
    """A network around what takes no ``train``."""

    model: linen.Module

    @linen.compact
    def __call__(self, x, train=False):
        return self.model(x)


class _Twice(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        conv = nn.Conv(4, 3, use_bias=False, name="conv")
        return conv(conv(x)[:, ::2, ::2])


def test_a_module_that_runs_twice_costs_twice_and_has_its_parameters_once():
    (layer,) = layers.table(_Twice(), (8, 8, 4))
    assert layer.parameters == 9 * 16
    assert layer.macs == (64 + 16) * 9 * 16


class _Unknown(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        return x @ self.param("kernel", linen.initializers.ones, (x.shape[-1], 2))


def test_an_unknown_kernel_is_unknown_and_not_free():
    (layer,) = layers.table(_Called(_Unknown()), (4, 4, 3))
    assert layer.parameters == 6
    assert layer.macs is None
    assert layers.total_macs([layer, layer._replace(macs=5)]) is None


def test_what_does_nothing_in_evaluation_is_no_layer():
    names = {layer.kind for layer in layers.table(models.create("mlp(dropout=0.5)"), (4, 4, 1))}
    assert names == {"Dense"}


def numbers(model, shape):
    """Variables of a model: random, and positive so that variances are."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, KEY, jnp.ones((1, *shape)))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), shapes)


def test_the_first_kernel_is_the_first_convolutions():
    model, flat = models.create("resnet8(num_filters=4)"), models.create("mlp(hidden=[2])")
    variables = numbers(model, (8, 8, 3))
    name, kernel = layers.first_kernel(variables, layers.table(model, (8, 8, 3)))
    assert name == "stem/conv"
    np.testing.assert_array_equal(kernel, variables["params"]["stem"]["conv"]["kernel"])
    assert layers.first_kernel(numbers(flat, (8, 8, 3)), layers.table(flat, (8, 8, 3))) is None


def test_feature_maps_are_the_outputs_of_the_parts_in_order():
    model, x = models.create("resnet8(num_filters=4)"), jax.random.normal(KEY, (8, 8, 1))
    variables = numbers(model, x.shape)
    maps = layers.feature_maps(model, variables, x)
    assert {name: y.shape for name, y in maps.items()} == {
        "stem": (8, 8, 4),
        "stage1_block1": (8, 8, 4),
        "stage2_block1": (4, 4, 8),
        "stage3_block1": (2, 2, 16),
    }
    assert list(maps) == ["stem", "stage1_block1", "stage2_block1", "stage3_block1"]
    mine = {name: variables[name]["stem"] for name in ("params", "batch_stats")}
    stem = jax.jit(nn.ConvNorm(4).apply)(mine, x[None])
    np.testing.assert_allclose(maps["stem"], stem[0], rtol=1e-5, atol=1e-6)


def test_of_many_parts_the_first_the_last_and_some_between_are_shown():
    model, x = models.create("lenet5"), jnp.ones((40, 40, 1))
    assert list(layers.feature_maps(model, numbers(model, x.shape), x, most=3)) == ["c1", "c3", "f6"]


def test_a_network_without_maps_has_none():
    model, x = models.create("mlp(hidden=[2])"), jnp.ones((8, 8, 1))
    assert layers.feature_maps(model, numbers(model, x.shape), x) == {}
