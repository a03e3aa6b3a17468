"""Networks against torchvision's and timm's with the same numbers. A family adds its lines to ``CASES``."""

import pytest

from tests.models.torch_parity import assert_parity, library


def _resnet(block, **options):
    tv = library("torchvision")
    return tv.resnet.ResNet(getattr(tv.resnet, block), [1, 2, 1, 1], num_classes=7, **options)


def _mobilenet_v2():
    setting = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
    return library("torchvision").MobileNetV2(7, width_mult=0.5, inverted_residual_setting=setting)


def _convnext():
    from functools import partial

    tv = library("torchvision").convnext
    setting = [tv.CNBlockConfig(8, 16, 1), tv.CNBlockConfig(16, 24, 2), tv.CNBlockConfig(24, None, 1)]
    return tv.ConvNeXt(setting, num_classes=7, norm_layer=partial(tv.LayerNorm2d, eps=1e-6))


def _timm(name, **options):
    return lambda: library("timm").create_model(name, num_classes=7, **options)


IMAGES = (2, 64, 48, 3)
CASES = {
    # ours: torch's, whose keys, images
    'resnet(stages=[1, 2, 1, 1], block="basic")': (lambda: _resnet("BasicBlock"), "torchvision", IMAGES),
    'resnet(stages=[1, 2, 1, 1], block="bottleneck", groups=2, width_per_group=16)': (
        lambda: _resnet("Bottleneck", groups=2, width_per_group=16),
        "torchvision",
        IMAGES,
    ),
    'resnet(stages=[1, 1, 1, 1], block="bottleneck")': (
        _timm("resnet50", layers=[1, 1, 1, 1]),
        "timm",
        IMAGES,
    ),
    "mobilenet_v2(width=0.5, setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]])": (
        _mobilenet_v2,
        "torchvision",
        IMAGES,
    ),
    "mobilenet_v2": (_timm("mobilenetv2_100"), "timm", IMAGES),
    "convnext(stages=[1, 2, 1], num_filters=[8, 16, 24])": (_convnext, "torchvision", IMAGES),
    "convnext(stages=[1, 2, 1, 1], num_filters=[8, 16, 24, 32])": (
        _timm("convnext_atto", depths=(1, 2, 1, 1), dims=(8, 16, 24, 32), conv_mlp=False),
        "timm",
        IMAGES,
    ),
}


@pytest.mark.parametrize("text", CASES)
def test_networks_are_torchs(text):
    make, layout, shape = CASES[text]
    assert_parity(text, make(), layout, shape, num_classes=7)
