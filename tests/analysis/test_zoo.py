"""Every network family: published figures, and fields of every layer against what changes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.analysis import describing, trace

# Billions of multiply-accumulates for 224×224×3, as torchvision publishes them with its weights.
PUBLISHED = {
    "alexnet": 0.714,
    "convnext_base": 15.355,
    "convnext_large": 34.361,
    "convnext_small": 8.684,
    "convnext_tiny": 4.456,
    "densenet121": 2.834,
    "densenet169": 3.36,
    "densenet201": 4.291,
    "efficientnet_b0": 0.386,
    "googlenet": 1.498,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnext101_32x8d": 16.414,
    "resnext50_32x4d": 4.23,
    "shufflenet_v2_x1_0": 0.145,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.47,
    "vgg19": 19.632,
    "wide_resnet101_2": 22.753,
    "wide_resnet50_2": 11.398,
}
QUICK = {"mobilenet_v2", "convnext_tiny", "resnet50", "resnext50_32x4d", "vgg16", "densenet121", "googlenet"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in PUBLISHED
        if name in models.names()
    ],
)
def test_multiply_accumulates_as_published(name):
    found = describing.traced(name, (224, 224, 3))
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert round(found.macs / 1e9, 3) == PUBLISHED[name]
    assert not found.unused
    assert not any(layer.unknown for layer in found.layers)
    assert found.parameters == sum(layer.parameters for layer in found.layers)


SMALL = {
    "resnet8(num_filters=2)": (24, 20, 3),
    "resnet8(num_filters=2, norm='group')": (16, 12, 3),
    "resnet8(num_filters=2, shortcut='projection')": (19, 17),
    "resnet18(num_filters=2)": (48, 40, 3),
    "resnet50(num_filters=2)": (48, 40, 3),
    "resnet(num_filters=2, block='bottleneck', stages=[1, 1], groups=2, stem='cifar')": (20, 17, 3),
    "mobilenet_v2(width=0.1)": (40, 48, 3),
    "convnext(stages=[1, 1, 2], num_filters=[8, 8, 8])": (40, 48, 3),
    "lenet5": (28, 32, 1),
    "mlp(hidden=[4, 4])": (6, 5, 2),
}


def positive(variables):
    """Weights that let every dependence show: positive, so none cancels, and small, so none saturates."""

    def leaf(path, value):
        name = path[-1].key
        if name in ("mean", "bias"):
            return jnp.zeros(value.shape)
        if name == "kernel":
            fan_in = np.prod(value.shape[:-1])
            random = np.random.default_rng(value.size).uniform(0.5, 1.5, value.shape)
            return jnp.asarray(random / fan_in)
        return jnp.ones(value.shape)

    return jax.tree_util.tree_map_with_path(leaf, variables)


DEEP = {"resnet50(num_filters=2)", "mobilenet_v2(width=0.1)"}  # some ten seconds to compile


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in SMALL]
)
def test_every_layer_sees_what_changes_it(name):
    """Each row and column of the image is changed in turn; all modules tell which of their outputs change."""
    sizes = SMALL[name]
    spatial = sizes[:-1]
    with jax.enable_x64(True):
        module = models.create(name)
        start = np.random.default_rng(0).uniform(0.5e-3, 1e-3, sizes)
        images = [start]
        for axis, size in enumerate(spatial):
            for place in range(size):
                changed = start.copy()
                np.moveaxis(changed, axis, 0)[place] *= 1e3  # so that it wins every maximum
                images.append(changed)
        variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), jnp.asarray(start[None]))

        @jax.jit
        def run(variables, x):
            return module.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])[1]

        outputs = run(positive(variables), jnp.stack(images))["intermediates"]

    found = trace(module.apply, variables, jax.ShapeDtypeStruct((1, *sizes), jnp.float32), clip=True)
    compared = 0
    names = [layer.name for layer in found.layers]
    for i, layer in enumerate(found.layers):
        if any(name == layer.name or name.startswith(f"{layer.name}/") for name in names[i + 1 :]):
            continue  # not the last of its module
        node = outputs
        for word in layer.name.split("/"):
            node = node.get(word, {})
        if "__call__" not in node:
            continue
        (values,) = node["__call__"]
        assert values.shape[1:] == layer.output[1:]
        changed = np.asarray(values[1:] != values[:1])
        for axis, size in enumerate(spatial):
            first = sum(spatial[:axis])
            field = layer.fields[1 + axis]
            mine = changed[first : first + size]
            mine = np.moveaxis(mine, field.axis, 1) if field.axis else mine[:, None]
            mine = mine.reshape(size, mine.shape[1], -1).any(-1)
            for output in range(mine.shape[1]):
                places = np.flatnonzero(mine[:, output])
                said = None if not len(places) else (places[0], places[-1])
                assert field.seen(output) == said, (layer.name, axis, output)
        compared += 1
    assert compared >= len(names) - 4
