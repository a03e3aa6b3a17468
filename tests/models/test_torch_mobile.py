"""Mobile, dense and video networks against torchvision's and timm's with the same numbers."""

import functools

import pytest

from jaxcnn import nn
from jaxcnn.models import efficientnet
from tests.models import family
from tests.models.torch_parity import assert_parity, library

SLOW = functools.partial(nn.BatchNorm, unbiased=True, epsilon=1e-3, momentum=0.99)
"""Batch normalization as torchvision has it in MobileNet v3 and the later EfficientNets."""


def _mobilenet_v1():
    return library("timm").models.efficientnet._gen_mobilenet_v1("mobilenetv1_100", 0.25, num_classes=7)


def _mobilenet_v3():
    tv = library("torchvision").mobilenetv3
    rows = [
        (16, 3, 16, 16, True, "RE", 2),
        (16, 5, 72, 24, False, "HS", 1),
        (24, 3, 96, 24, True, "HS", 1),
    ]
    setting = [tv.InvertedResidualConfig(*row, 1, 1.0) for row in rows]
    return tv.MobileNetV3(setting, 32, num_classes=7)


def _mobilenet_v3_of_timm():
    return library("timm").models.mobilenetv3._gen_mobilenet_v3("mobilenetv3_small_100", num_classes=7)


def _shufflenet():
    tv = library("torchvision").shufflenetv2
    return tv.ShuffleNetV2([2, 1, 1], [8, 16, 24, 32, 48], num_classes=7)


def _efficientnet():
    tv = library("torchvision").efficientnet
    setting = [tv.MBConvConfig(1, 3, 1, 32, 16, 1), tv.MBConvConfig(6, 5, 2, 16, 24, 2)]
    return tv.EfficientNet(setting, 0.2, stochastic_depth_prob=0.0, num_classes=7)


def _efficientnet_v2():
    tv = library("torchvision").efficientnet
    torch = pytest.importorskip("torch")

    setting = [
        tv.FusedMBConvConfig(1, 3, 1, 24, 24, 1),
        tv.FusedMBConvConfig(4, 3, 2, 24, 32, 2),
        tv.MBConvConfig(4, 3, 2, 32, 40, 2),
    ]
    norm = functools.partial(torch.nn.BatchNorm2d, eps=1e-3)
    return tv.EfficientNet(setting, 0.2, 0.0, num_classes=7, norm_layer=norm, last_channel=64)


def _efficientnet_of_timm():
    make = library("timm").models.efficientnet._gen_efficientnet
    return make("efficientnet_b0", channel_multiplier=0.5, depth_multiplier=0.5, num_classes=7)


def _efficientnet_v2_of_timm():
    make = library("timm").models.efficientnet._gen_efficientnetv2_s
    return make("efficientnetv2_s", channel_multiplier=0.5, depth_multiplier=0.2, num_classes=7)


def _r3d():
    tv = library("torchvision").video.resnet
    makers = [tv.Conv3DSimple] * 4
    return tv.VideoResNet(tv.BasicBlock, makers, [1, 2, 1, 1], tv.BasicStem, num_classes=7)


def _fcn():
    tv = library("torchvision")
    dilated = {"replace_stride_with_dilation": [False, True, True]}
    backbone = tv.resnet.ResNet(tv.resnet.Bottleneck, [1, 1, 2, 2], **dilated)
    network = tv.segmentation.fcn._fcn_resnet(backbone, 7, aux=True)
    forward = network.forward
    network.forward = lambda x: forward(x)["out"].movedim(1, -1)
    return network


IMAGES = (2, 64, 48, 3)
V3 = "[[[3, 16, 16, True, True, 2]], [[5, 72, 24, False, False], [3, 96, 24, True, False]]]"
V2_S = [list(stage) for stage in efficientnet.V2_S]
V2 = "[[True, 1, 3, 1, 24, 1], [True, 4, 3, 2, 32, 2], [False, 4, 3, 2, 40, 2]]"
CASES = {
    # ours: torch's, whose keys, images, further options
    "mobilenet_v1(width=0.25)": (_mobilenet_v1, "timm", IMAGES, {}),
    f"mobilenet_v3(stages={V3}, hidden=32)": (_mobilenet_v3, "torchvision", IMAGES, {"norm": SLOW}),
    "mobilenet_v3_small": (_mobilenet_v3_of_timm, "timm", IMAGES, {}),
    "shufflenet_v2(stages=[2, 1, 1], num_filters=[8, 16, 24, 32, 48])": (
        _shufflenet,
        "torchvision",
        IMAGES,
        {},
    ),
    "efficientnet(stages=[[False, 1, 3, 1, 16, 1], [False, 6, 5, 2, 24, 2]], drop_path=0.0)": (
        _efficientnet,
        "torchvision",
        IMAGES,
        {},
    ),
    f"efficientnet(stages={V2}, stem_features=24, last=64, drop_path=0.0)": (
        _efficientnet_v2,
        "torchvision",
        IMAGES,
        {"norm": functools.partial(nn.BatchNorm, unbiased=True, epsilon=1e-3)},
    ),
    "efficientnet(width=0.5, depth=0.5, drop_path=0.0)": (_efficientnet_of_timm, "timm", IMAGES, {}),
    f"efficientnet(stages={V2_S}, width=0.5, depth=0.2, stem_features=24, last=1280, drop_path=0.0)": (
        _efficientnet_v2_of_timm,
        "timm",
        IMAGES,
        {},
    ),
    "r3d(stages=[1, 2, 1, 1])": (_r3d, "torchvision", (2, 8, 20, 16, 3), {}),
    "fcn(stages=[1, 1, 2, 2], block='bottleneck', aux_logits=True)": (
        _fcn,
        "torchvision",
        (2, 33, 26, 3),
        {},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "make", "layout"),
    [
        (f"mobilenet_v3_small(stages={V3}, hidden=32)", _mobilenet_v3, "torchvision"),
        ("mobilenet_v3_small(epsilon=1e-5, momentum=0.9)", _mobilenet_v3_of_timm, "timm"),
        (f"efficientnet_v2_s(stages={V2}, last=64)", _efficientnet_v2, "torchvision"),
        (
            "efficientnet_v2_s(width=0.5, depth=0.2, epsilon=1e-5)",
            _efficientnet_v2_of_timm,
            "timm",
        ),
    ],
)
def test_arguments_alone_make_either_library(text, make, layout):
    assert_parity(text, make(), layout, IMAGES, training=False, num_classes=7)


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("width", [0.5, 0.75, 1.25])
def test_every_number_of_channels_is_as_wide_as_torchvisions(size, width):
    torch = pytest.importorskip("torch")

    tv = library("torchvision").mobilenetv3
    with torch.device("meta"):
        theirs = tv.MobileNetV3(*tv._mobilenet_v3_conf(f"mobilenet_v3_{size}", width_mult=width))
    expected = sum(value.numel() for value in theirs.parameters())
    assert family.count(f"mobilenet_v3_{size}(width={width})", (1, 32, 32, 3)) == expected


@pytest.mark.parametrize("text", CASES)
def test_networks_are_torchs(text):
    make, layout, shape, options = CASES[text]
    assert_parity(text, make(), layout, shape, num_classes=7, **options)
