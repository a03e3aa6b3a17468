"""Every network family: published figures, and fields of every layer against what changes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.analysis import describing, trace

# Billions of multiply-accumulates as torchvision publishes them with its weights, for 224×224×3 or SIZES.
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
    "efficientnet_b1": 0.687,
    "efficientnet_b4": 4.394,
    "efficientnet_b7": 37.746,
    "efficientnet_v2_s": 8.366,
    "fcn_resnet50(aux_logits=True)": 152.717,
    "googlenet": 1.498,
    "inception_v3": 5.713,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "r3d_18": 40.697,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnext101_32x8d": 16.414,
    "resnext50_32x4d": 4.23,
    "shufflenet_v2_x0_5": 0.04,
    "shufflenet_v2_x1_0": 0.145,
    "shufflenet_v2_x1_5": 0.296,
    "shufflenet_v2_x2_0": 0.583,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.47,
    "vgg19": 19.632,
    "wide_resnet101_2": 22.753,
    "wide_resnet50_2": 11.398,
}
SIZES = {
    "efficientnet_b1": (240, 240, 3),
    "efficientnet_b4": (380, 380, 3),
    "efficientnet_b7": (600, 600, 3),
    "efficientnet_v2_s": (384, 384, 3),
    "fcn_resnet50(aux_logits=True)": (520, 520, 3),
    "inception_v3": (299, 299, 3),
    "r3d_18": (16, 112, 112, 3),
}
QUICK = {"mobilenet_v2", "convnext_tiny", "resnet50", "resnext50_32x4d", "vgg16", "densenet121", "googlenet"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in PUBLISHED
        if name.partition("(")[0] in models.names()
    ],
)
def test_multiply_accumulates_as_published(name):
    found = describing.traced(name, SIZES.get(name, (224, 224, 3)))
    assert found.macs == sum(layer.macs for layer in found.layers)
    # torchvision counts no interpolation, which here is a product
    enlarging = sum(layer.macs for layer in found.layers if layer.name in ("resize", "aux"))
    assert round((found.macs - enlarging) / 1e9, 3) == PUBLISHED[name]
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
    "lenet5_1998": (28, 33, 1),
    "alexnet(num_filters=[2, 2, 2, 2, 2], hidden=[4, 4])": (75, 82, 2),
    "vgg(stages=[1, 2], num_filters=2, hidden=[4])": (21, 12, 3),
    "all_cnn_c(num_filters=[2, 3])": (20, 17, 3),
    "googlenet(width=0.02)": (40, 36, 2),
    "inception_v3(width=0.02)": (75, 77, 2),
    "xception(width=0.01)": (40, 36, 2),
    "densenet(stages=[2, 2], growth_rate=2, num_filters=4)": (32, 27, 3),
    "preact_resnet8(num_filters=2)": (20, 17),
    "resnet(stages=[1, 1], num_filters=8, gate='se', stem='deep', shortcut='average')": (19, 24, 2),
    "mlp(hidden=[4, 4])": (6, 5, 2),
    "resnet(stages=[1, 1, 1], num_filters=2, stem='cifar', output_stride=1)": (20, 17),
    "mobilenet_v1(width=0.1, stages=[[8, 1], [8, 2, 2]])": (19, 24, 2),
    "mobilenet_v3(width=0.5, stages=[[[3, 16, 16, False, True, 2]], [[5, 48, 16, True, False]]])": (
        19,
        24,
        2,
    ),
    "shufflenet_v2(stages=[2], num_filters=[4, 8, 8])": (24, 33, 2),
    "efficientnet(stages=[[True, 4, 3, 2, 8, 1], [False, 4, 5, 2, 8, 1]], width=0.1)": (28, 19, 2),
    "capsnet(num_filters=2, types=2, dim=2, digit_dim=2, kernel_size=3, decoder=False)": (9, 12, 1),
    "fcn(stages=[1, 1], num_filters=2, output_stride=4)": (24, 33, 2),
    "unet(num_filters=2, levels=3)": (16, 20, 1),
    "r3d(stages=[1, 1], num_filters=2)": (6, 10, 9, 1),
    "tcn(num_filters=[2, 2, 2], head='dense')": (20, 2),
    "textcnn(num_filters=2)": (12, 2),
}


def positive(variables):
    """Weights that let every dependence show: positive, so none cancels, and small, so none saturates."""

    def leaf(path, value):
        name = path[-1].key
        if name in ("mean", "bias"):
            return jnp.zeros(value.shape)
        if name.endswith("kernel") or name in ("depthwise", "pointwise"):
            fan_in = np.prod(value.shape[:-1])
            random = np.random.default_rng(value.size).uniform(0.5, 1.5, value.shape)
            return jnp.asarray(random / fan_in)
        return jnp.ones(value.shape)

    return jax.tree_util.tree_map_with_path(leaf, variables)


DEEP = {  # some ten seconds to compile
    "googlenet(width=0.02)",
    "inception_v3(width=0.02)",
    "mobilenet_v2(width=0.1)",
    "resnet50(num_filters=2)",
    "xception(width=0.01)",
}


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
        assert np.prod(values.shape[1:]) == np.prod(layer.output[1:])
        assert np.isfinite(values).all()
        values = values.reshape(-1, *layer.output[1:])  # flattening counts as part of the layer before it
        # beyond rounding, which in a product of matrices depends on the row
        changed = ~np.isclose(values[1:], values[:1], rtol=1e-13, atol=0)
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
