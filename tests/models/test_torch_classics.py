"""The networks before and beside the residual ones against torchvision's and timm's with the same numbers."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import models, nn
from jaxcnn.models.torch_names import flatten, rename
from tests.models.torch_parity import KEY, assert_parity, library

TORCHVISION = [
    *("alexnet", "googlenet", "inception_v3"),
    *(f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
]
TIMM = {
    # ours: timm's
    "xception": "legacy_xception",
    "densenet121": "densenet121",
    "inception_v3": "inception_v3",
    **{name: name for name in ("vgg11", "vgg19_bn")},
    **{f"seresnet{depth}": f"seresnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}d": f"resnet{depth}d" for depth in (18, 26, 34, 50, 101, 152)},
    **{name: name for name in ("seresnext50_32x4d", "seresnext101_32x8d")},
}
CASES = [
    *(("torchvision", name, name) for name in TORCHVISION),
    *(("timm", name, theirs) for name, theirs in TIMM.items()),
]


def _theirs(layout, name):
    """Their network in full, without its numbers."""
    torch = pytest.importorskip("torch")
    plain = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        if layout == "timm":
            return library("timm").create_model(name)
        return getattr(library("torchvision"), name)(weights=None, **plain)


@pytest.mark.parametrize(("layout", "name", "theirs"), CASES)
def test_every_number_has_its_name_and_shape_in_torch(layout, name, theirs):
    """And so exactly the parameters that torch counts."""
    state = _theirs(layout, theirs).state_dict()
    auxiliary = any("aux" in key.lower() for key in state)
    model = models.create(name, **({"aux_logits": True} if auxiliary else {}))
    shapes = flatten(jax.eval_shape(model.init, KEY, jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)))
    renamed = rename([path for _, path in shapes], model.torch_names[layout])
    ours = {}
    for (_, path), leaf in shapes.items():
        key, lies = renamed[path]
        ours[key] = lies.shape_there(tuple(leaf.shape))
    assert len(ours) == len(shapes)
    assert ours == {key: tuple(value.shape) for key, value in state.items() if "num_batches" not in key}


def _classifier(model, channels, places, first):
    """Smaller dense layers behind the features, at the same places."""
    from torch import nn as layers

    dense = [layers.Linear(channels * places, 10), layers.ReLU(), layers.Dropout(), layers.Linear(10, 12)]
    last = (
        [layers.ReLU(), layers.Linear(12, 7)]
        if first
        else [layers.ReLU(), layers.Dropout(), layers.Linear(12, 7)]
    )
    model.classifier = layers.Sequential(*([layers.Dropout()] if first else []), *dense, *last)
    return model


def _alexnet():
    return _classifier(library("torchvision").AlexNet(), 256, 36, first=True)


def _vgg(batch_norm):
    vgg = library("torchvision").vgg
    features = vgg.make_layers([4, "M", 8, 8, "M"], batch_norm=batch_norm)
    return _classifier(vgg.VGG(features, num_classes=1, init_weights=False), 8, 49, first=False)


def _densenet():
    return library("torchvision").DenseNet(4, (2, 3), 8, bn_size=2, num_classes=7)


def _timm(name, **options):
    return lambda: library("timm").create_model(name, num_classes=7, **options)


def _torchvision(name, **options):
    return lambda: getattr(library("torchvision"), name)(
        weights=None, init_weights=False, num_classes=7, **options
    )


IMAGES = (2, 64, 48, 3)
LESS_SURE = functools.partial(nn.BatchNorm, epsilon=1e-3, unbiased=True)


@pytest.mark.parametrize(
    ("text", "make", "layout", "shape"),
    [
        ("alexnet(hidden=[10, 12])", _alexnet, "torchvision", (2, 80, 64, 3)),
        (
            "vgg(stages=[1, 2], num_filters=4, hidden=[10, 12], norm='none')",
            lambda: _vgg(False),
            "torchvision",
            (2, 24, 36, 3),
        ),
        (
            "vgg(stages=[1, 2], num_filters=4, hidden=[10, 12])",
            lambda: _vgg(True),
            "torchvision",
            (2, 24, 36, 3),
        ),
        (
            "densenet(stages=[2, 3], growth_rate=4, num_filters=8, bottleneck=2)",
            _densenet,
            "torchvision",
            IMAGES,
        ),
        (
            "resnet(stages=[1, 2, 1, 1], gate='se')",
            _timm("seresnet18", layers=[1, 2, 1, 1]),
            "timm",
            IMAGES,
        ),
        (
            "resnet(stages=[1, 1, 1, 1], block='bottleneck', stem='deep', shortcut='average')",
            _timm("resnet50d", layers=[1, 1, 1, 1]),
            "timm",
            (2, 36, 52, 3),
        ),
    ],
)
def test_networks_are_torchs(text, make, layout, shape):
    assert_parity(text, make(), layout, shape, num_classes=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "make", "layout", "options"),
    [
        ("googlenet(aux_logits=True)", _torchvision("googlenet"), "torchvision", {"norm": LESS_SURE}),
        (
            "inception_v3",
            _torchvision("inception_v3", aux_logits=False),
            "torchvision",
            {"norm": LESS_SURE},
        ),
        ("xception", _timm("legacy_xception"), "timm", {}),
    ],
)
def test_networks_of_one_size_are_torchs(text, make, layout, options):
    # large enough that the last statistics are of more than a few numbers, which would amplify rounding
    assert_parity(text, make(), layout, (2, 150, 139, 3), num_classes=7, **options)
