"""The networks before and beside the residual ones against torchvision's and timm's with the same numbers."""

import functools

import pytest

from jaxcnn import nn
from tests.models.torch_parity import assert_parity, library


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
