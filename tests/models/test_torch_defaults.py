"""Every name that torchvision and timm have: keys, shapes, epsilons, momenta and rates are theirs."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import pytest

from jaxcnn import models, nn
from jaxcnn.models.torch_names import flatten, rename
from tests.models.torch_parity import KEY, library

TORCHVISION = [
    *("alexnet", "googlenet", "inception_v3", "mobilenet_v2", "r3d_18", "fcn_resnet50", "fcn_resnet101"),
    *(f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *(f"mobilenet_v3_{size}" for size in ("large", "small")),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *(f"efficientnet_{size}" for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "v2_s")),
    *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
]
TIMM = {
    # ours: timm's
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "efficientnet_v2_s": "efficientnetv2_s",
    "xception": "legacy_xception",
    **{
        name: name
        for name in (
            *("inception_v3", "vgg11", "vgg19_bn", "densenet121", "resnet18", "resnet50", "resnext50_32x4d"),
            *(f"seresnet{depth}" for depth in (18, 34, 50, 101, 152)),
            *(f"resnet{depth}d" for depth in (18, 26, 34, 50, 101, 152)),
            *("seresnext50_32x4d", "seresnext101_32x8d", "wide_resnet50_2"),
            *(f"efficientnet_b{size}" for size in range(8)),
            *("convnext_tiny", "convnext_base"),
        )
    },
}
CASES = [
    *(("torchvision", name, name) for name in TORCHVISION),
    *(("timm", name, theirs) for name, theirs in TIMM.items()),
]
DEEP = ("101", "152", "161", "169", "201", "b4", "b5", "b6", "b7", "large", "base")


def built(layout, name):
    """Their network in full, without its numbers."""
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        if layout == "timm":
            return library("timm").create_model(name)
        tv = library("torchvision")
        if name.startswith("fcn"):
            return getattr(tv.segmentation, name)(weights=None, weights_backbone=None, aux_loss=True)
        if name == "r3d_18":
            return tv.video.r3d_18(weights=None)
        plain = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return getattr(tv, name)(weights=None, **plain)


def called(model, x):
    """The shapes of its variables, and every module that it calls."""
    modules = []

    def note(call, args, kwargs, context):
        modules.append(context.module)
        return call(*args, **kwargs)

    with linen.intercept_methods(note):
        return jax.eval_shape(model.init, KEY, x), modules


@pytest.mark.parametrize(
    ("layout", "name", "theirs"),
    [
        pytest.param(*case, marks=pytest.mark.slow if any(d in case[1] for d in DEEP) else ())
        for case in CASES
    ],
)
def test_numbers_and_defaults_are_theirs(layout, name, theirs):
    torch = pytest.importorskip("torch")

    there = built(layout, theirs)
    state = there.state_dict()
    auxiliary = any("aux" in key.lower() for key in state)
    options = models.create(name).torch_options.get(layout, {}) if layout == "timm" else {}
    model = models.create(name, **({"aux_logits": True} if auxiliary else {}), **options)
    shape = (1, 2, 40, 40, 3) if name == "r3d_18" else (1, 299, 299, 3)
    variables, modules = called(model, jax.ShapeDtypeStruct(shape, jnp.float32))
    shapes = flatten(variables)
    renamed = rename([path for _, path in shapes], model.torch_names[layout])
    ours = {}
    for (_, path), leaf in shapes.items():
        key, lies = renamed[path]
        ours[key] = lies.shape_there(tuple(leaf.shape))
    assert len(ours) == len(shapes)
    assert ours == {key: tuple(value.shape) for key, value in state.items() if "num_batches" not in key}

    expected = list(there.modules())
    assert found(modules, nn.BatchNorm, lambda m: (m.epsilon, round(1 - m.momentum, 6))) == found(
        expected, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d, lambda m: (m.eps, m.momentum)
    )
    if layout == "torchvision":  # timm's names drop nothing
        dropped = library(layout).efficientnet.StochasticDepth
        for kind, its in ((nn.Dropout, torch.nn.Dropout), (nn.DropPath, dropped)):
            ours = found(modules, kind, lambda m: round(m.rate, 9))
            those = found(expected, its, lambda m: round(m.p, 9))
            assert ours - {0.0} <= those  # which has rates of branches, too, that lead past nothing
            assert any(ours) == any(those)


def found(modules, kind, what):
    return {what(module) for module in modules if isinstance(module, kind)}
