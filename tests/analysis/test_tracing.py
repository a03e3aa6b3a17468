"""Layers, parameters, arithmetic and memory of functions, read from their jaxprs."""

import dataclasses
import math
import re

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import models, nn, ops
from jaxcnn.analysis import listing, trace


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def traced(module, *sizes, **options):
    x = shape(*sizes)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    return trace(lambda variables, x: module.apply(variables, x, **options), variables, x)


class AlexNet(linen.Module):
    """The single-tower form, in the layers of another library."""

    @linen.compact
    def __call__(self, x):
        for features, taps, stride, padding, pooled in (
            (64, 11, 4, 2, True),
            (192, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ):
            x = linen.relu(linen.Conv(features, (taps, taps), stride, padding)(x))
            x = linen.max_pool(x, (3, 3), (2, 2)) if pooled else x
        x = x.reshape(len(x), -1)
        for features in (4096, 4096):
            x = linen.relu(linen.Dense(features)(x))
        return linen.Dense(1000)(x)


class ResNet18(linen.Module):
    """The usual one, in the layers of another library."""

    @linen.compact
    def __call__(self, x):
        def normed(x, features, taps, stride):
            x = linen.Conv(features, (taps, taps), stride, taps // 2, use_bias=False)(x)
            return linen.BatchNorm(use_running_average=True)(x)

        x = linen.relu(normed(x, 64, 7, 2))
        x = linen.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for features in (64, 128, 256, 512):
            for block in range(2):
                stride = 2 if features > 64 and block == 0 else 1
                y = normed(linen.relu(normed(x, features, 3, stride)), features, 3, 1)
                x = linen.relu(y + (normed(x, features, 1, stride) if stride == 2 else x))
        return linen.Dense(1000)(x.mean((1, 2)))


@pytest.mark.parametrize(
    ("module", "parameters", "gigamacs"), [(AlexNet, 61_100_840, 0.714), (ResNet18, 11_689_512, 1.814)]
)
def test_published_figures_of_another_librarys_modules(module, parameters, gigamacs):
    """Parameters and multiply-accumulates as torchvision publishes them with its weights."""
    found = traced(module(), 1, 224, 224, 3)
    assert found.parameters == parameters == sum(layer.parameters for layer in found.layers)
    assert round(found.macs / 1e9, 3) == gigamacs
    assert found.macs == sum(layer.macs for layer in found.layers)


def test_the_units_of_alexnet():
    """Activations of its convolutions, by arithmetic, and what its last one sees."""
    found = traced(AlexNet(), 1, 224, 224, 3)
    convs = [layer for layer in found.layers if layer.operation.startswith("conv")]
    assert [math.prod(layer.output) for layer in convs] == [193600, 139968, 64896, 43264, 43264]
    assert (convs[-1].fields[1].size, convs[-1].fields[1].jump) == (
        163,
        16,
    )  # published, Araujo et al. 2019: 195 pooled
    pooled = found.layers[found.layers.index(convs[-1]) + 1]
    assert (pooled.operation, pooled.fields[1].size, pooled.fields[1].jump) == ("max pool 3×3 /2", 195, 32)


def test_layers_are_named_after_modules():
    found = traced(models.create("resnet8(num_filters=4)"), 2, 16, 16, 3)
    names = [layer.name for layer in found.layers]
    assert names[:3] == ["stem/conv", "stem/norm", "stage1_block1/conv1/conv"]
    assert names[-2:] == ["head/pool", "head/dense"]
    assert [layer.operation for layer in found.layers if layer.name == "stage2_block1"] == ["slice /2", "add"]
    assert found["stem/conv"].parameters == 3 * 3 * 3 * 4
    assert found["stem/norm"].parameters == 2 * 4
    assert found.state == sum(layer.parameters for layer in found.layers if layer.name.endswith("norm"))
    assert found["head/dense"].dense
    with pytest.raises(KeyError, match="'stem' is no layer; there are stem/conv"):
        found["stem"]


def test_layers_without_modules_are_named_after_their_parameters():
    def network(weights, x):
        x = jax.nn.relu(ops.conv(x, weights["first"]["kernel"], weights["first"]["bias"]))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return x.reshape(len(x), -1) @ weights["last"]

    weights = {"first": {"kernel": shape(3, 3, 1, 8), "bias": shape(8)}, "last": shape(128, 10)}
    found = trace(network, weights, shape(2, 8, 8, 1))
    assert [(layer.name, layer.operation, layer.parameters, layer.output) for layer in found.layers] == [
        ("first", "conv 3×3", 80, (2, 8, 8, 8)),
        ("max pool 2×2 /2", "max pool 2×2 /2", 0, (2, 4, 4, 8)),
        ("last", "dense", 1280, (2, 10)),
    ]


def test_a_module_that_is_a_pytree():
    """As in Equinox: the function is a tree whose arrays are parameters, and holds what is no array."""

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        weight: jax.Array
        activation: object = dataclasses.field(metadata={"static": True})

        def __call__(self, x):
            return self.activation(ops.conv(x, self.weight))

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Network:
        layers: list
        extra: object

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    network = Network(
        [Layer(jnp.ones((3, 3, 2, 2)), jnp.tanh), Layer(jnp.ones((1, 1, 2, 4)), jax.nn.relu)], jnp.tanh
    )
    for found in (
        trace(network, shape(1, 8, 8, 2)),
        trace(lambda network, x: network(x), network, shape(1, 8, 8, 2)),
    ):
        assert [(layer.name, layer.parameters) for layer in found.layers] == [
            ("layers/0", 36),
            ("layers/1", 8),
        ]


def test_scopes_that_name_classes_give_way_to_paths():
    """As Equinox has them: every convolution runs in a scope of the same name."""

    def network(weights, x):
        for kernel in weights["layers"]:
            with jax.named_scope("library.Conv"):
                x = ops.conv(x, kernel["kernel"])
        with jax.named_scope("library.Pool"):
            return ops.max_pool(x, 2)

    weights = {"layers": [{"kernel": shape(3, 3, 2, 2)}, {"kernel": shape(3, 3, 2, 2)}]}
    found = trace(network, weights, shape(1, 8, 8, 2))
    assert [layer.name for layer in found.layers] == ["layers/0", "layers/1", "library.Pool"]


def test_an_input_that_is_not_there_is_refused():
    x = shape(1, 8, 8, 1)
    for call, error, message in (
        (lambda: trace(lambda: 1), TypeError, "input=-1: there are 0 arguments"),
        (lambda: trace(lambda x: x, x, input=3), TypeError, "input=3: there are 1 arguments"),
        (lambda: trace(lambda x: x, {"a": x, "b": x}), TypeError, "argument 0 holds 2 arrays"),
        (lambda: trace(lambda x: x, x, spatial=(7,)), ValueError, "spatial=(7,): expected axes of the input"),
        (lambda: trace(lambda x: x, x, spatial=(-1,)), ValueError, "which has 4, from 0"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()


def test_channels_first():
    def network(kernel, x):
        return lax.conv_general_dilated(x, kernel, (2, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))

    found = trace(network, shape(8, 3, 3, 5), shape(1, 3, 9, 9), spatial=(2, 3))
    assert found.spatial == (2, 3)
    assert [found.layers[0].fields[axis].jump for axis in found.spatial] == [2, 1]
    assert listing.table(found).splitlines()[2].split()[-3:] == ["3×5", "2×1", "-1×-2"]


def test_weights_in_a_closure_are_parameters():
    kernel = jnp.ones((3, 3, 1, 4))
    found = trace(lambda x: ops.conv(x, kernel), shape(1, 8, 8, 1))
    assert (found.parameters, found.layers[0].name) == (36, "closed over")


def test_constants_beside_parameters_are_none():
    """Pooling holds the counts of its windows, resizing a matrix, whose zeros do not see."""

    def network(kernel, x):
        x = ops.avg_pool(ops.conv(x, kernel), 3, strides=1, padding=1, count_include_pad=False)
        return ops.adaptive_avg_pool(x, 3)

    found = trace(network, shape(3, 3, 1, 4), shape(1, 16, 16, 1))
    assert found.parameters == 36
    # windows of 6 pixels, from 0, 5 and 10; one pixel further by pooling and one by the convolution
    assert [found.outputs[0].fields[1].seen(i) for i in range(3)] == [(0, 7), (3, 12), (8, 15)]


def test_the_input_may_be_any_argument():
    found = trace(lambda x, kernel: ops.conv(x, kernel), shape(1, 8, 8, 1), shape(3, 3, 1, 4), input=0)
    assert (found.parameters, found.input) == (36, (1, 8, 8, 1))
    with pytest.raises(TypeError, match="argument 1 holds 2 arrays: expected the input, a single array"):
        trace(lambda p, x: x["a"], 1.0, {"a": shape(2), "b": shape(2)})


def test_shared_modules_cost_twice_and_count_once():
    class Twice(linen.Module):
        @linen.compact
        def __call__(self, x):
            layer = nn.Conv(4, 3, name="layer")
            return layer(layer(x))

    found = traced(Twice(), 1, 8, 8, 4)
    assert [(layer.name, layer.parameters, layer.macs) for layer in found.layers] == [
        ("layer", 148, 8 * 8 * 4 * 36),
        ("layer", 0, 8 * 8 * 4 * 36),
    ]


def test_unused_parameters_are_named():
    found = trace(lambda w, x: x * w["used"], {"used": shape(), "idle": {"w": shape(3)}}, shape(2, 2))
    assert found.unused == ("idle/w",)
    assert found.parameters == 4


def test_loops_cost_as_often_as_they_run():
    found = trace(lambda w, x: lax.scan(lambda x, w: (x @ w, None), x, w)[0], shape(5, 4, 4), shape(2, 4))
    assert found.macs == 5 * 2 * 4 * 4
    assert found.parameters == 80


def test_what_is_not_known_is_not_zero():
    found = trace(lambda w, x: lax.linalg.cholesky(x @ w), shape(4, 4), shape(4, 4))
    assert found.macs is None
    assert [(layer.macs, layer.unknown) for layer in found.layers] == [(64, ()), (None, ("cholesky",))]
    found = trace(
        lambda w, x: lax.while_loop(lambda x: x.sum() < 1, lambda x: x @ w, x), shape(4, 4), shape(4, 4)
    )
    assert found.macs is None
    found = trace(
        lambda w, x: lax.cond(x.sum() < 1, lambda x: x @ w, lambda x: x, x), shape(4, 4), shape(4, 4)
    )
    assert found.macs is None


def test_random_numbers_cost_nothing():
    def noisy(key, x):
        return x + jax.random.normal(key, x.shape)

    found = trace(noisy, jax.eval_shape(jax.random.key, 0), shape(2, 4))
    assert found.macs == 0
    assert [layer.unknown for layer in found.layers] == [()] * len(found.layers)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (lambda x, k: ops.conv(x, k, padding="VALID"), 2 * 6 * 5 * 8 * 9 * 4),
        (lambda x, k: ops.conv(x, k, strides=2, padding=1), 2 * 4 * 4 * 8 * 9 * 4),
        (lambda x, k: ops.conv(x, k[:, :, :2], groups=2), 2 * 8 * 7 * 8 * 9 * 2),
        (lambda x, k: ops.conv(x, k, dilation=2), 2 * 8 * 7 * 8 * 9 * 4),
        (
            lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME"),
            2 * 8 * 7 * 8 * 9 * 4,
        ),  # each tap, each input
        (lambda x, k: x @ k[0, 0], 2 * 8 * 7 * 4 * 8),
        (lambda x, k: jnp.einsum("bhwc,bhwd->bcd", x, x @ k[0, 0]), 2 * 8 * 7 * 4 * 8 * 2),
        (lambda x, k: jax.nn.gelu(x).mean((1, 2)), 0),
    ],
)
def test_multiply_accumulates_by_hand(layer, macs):
    assert trace(lambda k, x: layer(x, k), shape(3, 3, 4, 8), shape(2, 8, 7, 4)).macs == macs


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "VALID"}, {"groups": 2}, {"dilation": 2}])
def test_a_training_step_costs_three_forward_passes(options):
    """The gradient by the weights and that by the activations cost as much as the forward pass each."""

    def loss(kernels, x):
        for kernel in kernels:
            x = ops.conv(x, kernel, **options)
        return (x**2).sum()

    kernels = [shape(3, 3, 8 // options.get("groups", 1), 8)] * 3
    forward = trace(loss, kernels, shape(4, 16, 16, 8))
    both = trace(jax.value_and_grad(loss), kernels, shape(4, 16, 16, 8)).macs
    # nobody asks for the gradient by the image
    assert both == 3 * forward.macs - forward.layers[0].macs


@pytest.mark.parametrize("name", ["auto", "direct", "winograd", "tiles"])
def test_convolutions_count_in_their_direct_form(name):
    found = trace(lambda k, x: ops.conv(x, k, lowering=name), shape(3, 3, 16, 16), shape(2, 16, 16, 16))
    assert [layer.operation for layer in found.layers] == ["conv 3×3"]
    assert found.macs == 2 * 16 * 16 * 16 * 9 * 16


@pytest.mark.parametrize(
    ("layer", "unread"),
    [
        (lambda x: ops.conv(x, jnp.ones((3, 3, 1, 1)), strides=3, padding=0), 7 * 7 - 6 * 6),
        (lambda x: ops.conv(x, jnp.ones((3, 3, 1, 1)), strides=2, padding=0), 0),
        (lambda x: ops.conv(x, jnp.ones((1, 1, 1, 1)), strides=2, padding=0), 7 * 7 - 4 * 4),
        (lambda x: x[:, ::2, ::2], 7 * 7 - 4 * 4),
        (lambda x: ops.max_pool(x, 2), 7 * 7 - 6 * 6),
        (lambda x: ops.avg_pool(x, 2, padding=((1, 0), (1, 0))), 0),
        (lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), 7 * 7 - 6 * 6),
    ],
)
def test_pixels_that_strides_never_read(layer, unread):
    found = trace(layer, shape(1, 7, 7, 1))
    assert sum(each.unread for each in found.layers) == unread


def test_pooling_by_slices_is_one_layer():
    found = trace(
        lambda x: ops.max_pool(jnp.tanh(ops.max_pool(x, 3, strides=2, padding=1)), 2), shape(1, 32, 32, 4)
    )
    assert [layer.operation for layer in found.layers] == ["max pool 3×3 /2", "max pool 2×2 /2"]
    assert [layer.output for layer in found.layers] == [(1, 16, 16, 4), (1, 8, 8, 4)]
    assert [layer.fields[1].size for layer in found.layers] == [3, 5]


@pytest.mark.parametrize("module", [ResNet18(), models.create("mlp"), linen.Conv(64, (3, 3))], ids=type)
def test_peak_memory_is_about_what_xla_allots(module):
    x = shape(64, 128, 128, 3)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    found = trace(module.apply, variables, x)
    memory = jax.jit(module.apply).lower(variables, x).compile().memory_analysis()
    allotted = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    assert 0.7 < found.peak_bytes / allotted < 1.4


def test_memory_of_a_chain_is_its_widest_step():
    def chain(x):
        wide = jnp.sort(x)  # sorts are never fused
        return jnp.sort(jnp.tanh(wide)[:10])

    found = trace(chain, shape(1000))
    assert found.peak_bytes == 4 * (1000 + 1000 + 10)
    assert found.activation_bytes == 4 * (1000 + 10)


def test_nothing_is_allocated():
    """A thousand-gigabyte layer is read like any other."""
    found = trace(lambda w, x: x @ w, shape(1 << 19, 1 << 19), shape(1, 1 << 19))
    assert found.parameters == 1 << 38
    assert found.layers[0].fields[1].whole


def test_bfloat16_takes_half():
    found = trace(lambda x: jnp.sort(x), shape(8, dtype=jnp.bfloat16))
    assert found.layers[0].bytes == 16
    np.testing.assert_equal(found.layers[0].output, (8,))
