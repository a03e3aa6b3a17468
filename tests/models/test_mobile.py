"""MobileNet v1 to v3, ShuffleNet v2 and EfficientNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn
from tests.models import family


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's, and timm's mobilenetv1_100, on 1,000 classes
        ("mobilenet_v1", 4_231_976),
        ("mobilenet_v2", 3_504_872),
        ("mobilenet_v3_large", 5_483_032),
        ("mobilenet_v3_small", 2_542_856),
        ("shufflenet_v2_x0_5", 1_366_792),
        ("shufflenet_v2_x1_0", 2_278_604),
        ("shufflenet_v2_x1_5", 3_503_624),
        ("shufflenet_v2_x2_0", 7_393_996),
        ("efficientnet_b0", 5_288_548),
        ("efficientnet_b1", 7_794_184),
        ("efficientnet_b2", 9_109_994),
        ("efficientnet_b3", 12_233_232),
        ("efficientnet_b4", 19_341_616),
        ("efficientnet_b5", 30_389_784),
        ("efficientnet_b6", 43_040_704),
        ("efficientnet_b7", 66_347_960),
        ("efficientnet_v2_s", 21_458_488),
    ],
)
def test_parameters_are_those_published(name, parameters):
    assert family.count(name, (1, 224, 224, 3)) == parameters


def test_widths_are_those_of_timm():
    """timm's mobilenetv1_125 on 1,000 classes."""
    assert family.count("mobilenet_v1(width=1.25)", (1, 224, 224, 3)) == 6_270_840


SMALL = [
    "mobilenet_v1(width=0.25, stages=[[32, 1], [32, 2, 2]])",
    "mobilenet_v2(width=0.25, setting=[[1, 16, 1, 1], [3, 16, 2, 2]], dropout=0.0)",
    "mobilenet_v3(width=0.5, stages=[[[3, 16, 16, True, True, 2]], [[5, 48, 16, True, False]]], hidden=16)",
    "mobilenet_v3(stages=[[[3, 16, 16, False, True]]], head='pooled', norm='group', conv='deform_v1')",
    "shufflenet_v2(stages=[2], num_filters=[8, 16, 32])",
    "efficientnet(stages=[[True, 1, 3, 1, 8, 1], [True, 4, 3, 2, 16, 1], [False, 4, 5, 2, 16, 2]], last=32)",
]


@pytest.mark.parametrize("text", SMALL)
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, (8, 12, 10, 1))


@pytest.mark.parametrize("text", SMALL)
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, (2, 12, 10, 1))


@pytest.mark.parametrize("text", SMALL)
def test_one_set_of_parameters_fits_every_size(text):
    family.assert_any_size(text, [(2, 8, 8, 1), (2, 13, 9, 1), (2, 40, 33, 1), (1, 1, 1, 1)])


@pytest.mark.parametrize("spatial", [(16,), (4, 6, 8)])
@pytest.mark.parametrize("text", [text for text in SMALL if "deform" not in text])
def test_they_take_one_to_three_axes(text, spatial):
    model = models.create(text, num_classes=5)
    y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((2, *spatial, 2)))
    assert y.shape == (2, 5)


def test_fused_blocks_are_one_convolution_less():
    """The table of EfficientNetV2: k×k to ``inner``, 1×1 to ``features``; without expansion k×k alone."""
    x = family.spec((1, 8, 8, 4))

    def kernels(inner):
        block = nn.InvertedResidual(6, inner, 3, fused=True, norm="none")
        params = jax.eval_shape(block.init, family.KEY, x)["params"]
        return {name: layer["conv"]["kernel"].shape for name, layer in params.items()}

    assert kernels(16) == {"spatial_expand": (3, 3, 4, 16), "project": (1, 1, 16, 6)}
    assert kernels(4) == {"spatial": (3, 3, 4, 6)}


def test_inverted_residuals_add_their_input_where_the_shape_stays():
    x = jax.random.normal(family.KEY, (2, 6, 5, 4))
    for features, strides, added in [(4, 1, True), (4, 2, False), (6, 1, False)]:
        block = nn.InvertedResidual(features, 8, strides=strides, norm="none")
        variables = jax.tree.map(jnp.zeros_like, jax.eval_shape(block.init, family.KEY, x))
        y = block.apply(variables, x)
        np.testing.assert_array_equal(y, x if added else jnp.zeros(y.shape))


def test_a_shuffle_block_lets_half_of_the_channels_pass():
    """The left half of x, unchanged, on every second channel of the output."""
    model = models.create("shufflenet_v2(stages=[2], num_filters=[4, 8, 8])", num_classes=3)
    x = jax.random.normal(family.KEY, (2, 16, 12, 3))
    _, state = jax.jit(
        lambda variables, x: model.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])
    )(family.numbers(model, x), x)
    before, after = (state["intermediates"][f"stage1_block{i}"]["__call__"][0] for i in (1, 2))
    np.testing.assert_array_equal(after[..., ::2], before[..., :4])
    assert (after[..., 1::2] != before[..., 4:]).any()


@pytest.mark.parametrize(("width", "dropout"), [(1.0, 0.2), (1.1, 0.3), (1.2, 0.3), (1.6, 0.4), (2.0, 0.5)])
def test_wider_efficientnets_drop_more(width, dropout):
    assert models.create(f"efficientnet(width={width})").dropout == dropout
    assert models.create(f"efficientnet(width={width}, dropout=0.1)").dropout == 0.1


def test_depth_multiplies_blocks_rounded_up():
    model = models.create("efficientnet(width=0.25, depth=1.1, stages=[[False, 1, 3, 1, 8, 2]])")
    params = jax.eval_shape(model.init, family.KEY, family.spec((1, 8, 8, 3)))["params"]
    assert [name for name in params if name.startswith("stage")] == [f"stage1_block{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("efficientnet(stages=[[1, 2]])", "stages[0]=(1, 2): expected (fused, expansion, kernel_size"),
        ("efficientnet(stages=[[1, 2, 3, 4, 5, 6]])", "stages[0] fused=1: expected True or False"),
        ("mobilenet_v3(stages=[[[3, 16, 16, True, True, 0]]])", "stages[0][0] strides=0: expected 1 or more"),
        (
            "shufflenet_v2(num_filters=[8, 16, 32])",
            "expected 5 numbers: of the stem, of each of the 3 stages",
        ),
        ("shufflenet_v2(num_filters=[8, 16, 31, 32, 9])", "expected even numbers for the stages"),
        ("mobilenet_v2(setting=3)", "setting=3: expected a list"),
        ("mobilenet_v3(stages=3)", "stages=3: expected a list"),
        ("mobilenet_v1(width=0)", "width=0: expected a number above 0"),
    ],
)
def test_wrong_arguments_are_named(text, message):
    family.assert_refused(text, message)
