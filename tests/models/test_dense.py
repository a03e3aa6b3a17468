"""U-Net: an answer for every pixel."""

import jax
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.errors import UserError
from tests.models import family

SMALL = [
    "unet(num_filters=4, levels=3, dropout=0.0)",
    "unet(num_filters=2, levels=2, norm='batch', activation='silu', conv='separable')",
]


def unet_count(channels, classes, w=64, levels=5):
    """Figure 1 of the paper: two 3×3 convolutions a level, 2×2 up-convolutions that halve the channels."""

    def conv(taps, before, after):
        return taps * before * after + after

    widths = [w * 2**level for level in range(levels)]
    down = sum(
        conv(9, before, after) + conv(9, after, after)
        for before, after in zip([channels, *widths], widths, strict=False)
    )
    up = sum(conv(4, 2 * each, each) + conv(9, 2 * each, each) + conv(9, each, each) for each in widths[:-1])
    return down + up + conv(1, w, classes)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 21)])
def test_parameters_are_those_of_the_papers_figure(channels, classes):
    expected = unet_count(channels, classes)
    assert family.count("unet", (1, 64, 64, channels), num_classes=classes) == expected


def test_parameters_of_the_paper_itself():
    assert unet_count(1, 2) == 31_030_658 == family.count("unet", (1, 572, 572, 1))


@pytest.mark.parametrize("text", SMALL)
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, (2, 9, 10, 1))


@pytest.mark.parametrize("text", SMALL)
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, (2, 9, 10, 1))


@pytest.mark.parametrize("text", SMALL)
def test_every_size_gives_an_answer_for_every_pixel(text):
    shapes = [(2, 8, 8, 1), (2, 13, 9, 1), (1, 1, 1, 1)]
    family.assert_any_size(text, shapes, dense=True)


@pytest.mark.parametrize("spatial", [(13,), (3, 6, 5)])
def test_it_takes_one_to_three_axes(spatial):
    model = models.create(SMALL[0], num_classes=5)
    y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((2, *spatial, 2)))
    assert y.shape == (2, *spatial, 5)


def test_the_unet_is_the_papers_in_torch():
    """The same weights in a network written with torch.nn.functional give the same logits."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    model = models.create("unet(num_filters=2, levels=3)", num_classes=3)
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 1)).astype(np.float32)
    variables = family.numbers(model, x, low=-0.5)
    params = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), variables["params"])

    def conv(x, name):
        layer = params[name]["conv"]
        return F.relu(F.conv2d(x, layer["kernel"].permute(3, 2, 0, 1), layer["bias"], padding=1))

    def level(x, name):
        return conv(conv(x, f"{name}_block1"), f"{name}_block2")

    def up(x, name):
        # torch adds what a tap paints, so its kernel is ours as it is
        kernel = params[name]["kernel"].permute(2, 3, 0, 1)
        return F.conv_transpose2d(x, kernel, params[name]["bias"], stride=2)

    first = level(torch.tensor(x).permute(0, 3, 1, 2), "stage1")
    second = level(F.max_pool2d(first, 2), "stage2")
    third = level(F.max_pool2d(second, 2), "stage3")
    y = level(torch.cat([second, up(third, "up2")], 1), "up2")
    y = level(torch.cat([first, up(y, "up1")], 1), "up1").permute(0, 2, 3, 1)
    head = params["head"]["dense"]
    expected = y @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), expected.numpy(), rtol=1e-4, atol=1e-5)


FCN = "fcn(stages=[1, 1, 1], num_filters=4)"


def test_parameters_of_fcns_are_torchvisions():
    """On 21 classes: a ResNet without its last layer, and heads over a quarter of the channels."""
    image, resnet = (1, 64, 64, 3), {50: 25_557_032, 101: 44_549_160}
    head = 9 * 2048 * 512 + 2 * 512 + 512 * 21 + 21
    aux = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21
    for depth, whole in resnet.items():
        body = whole - 2048 * 1000 - 1000
        assert family.count(f"fcn_resnet{depth}(aux_logits=True)", image) == body + head + aux
    assert family.count("fcn_resnet50", image) == resnet[50] - 2_049_000 + head
    assert resnet[50] - 2_049_000 + head + aux == 35_322_218  # as torchvision says of its weights
    assert resnet[101] - 2_049_000 + head + aux == 54_314_346


@pytest.mark.parametrize("text", [FCN, FCN.replace(")", ", head='dense', aux_logits=True)")])
def test_a_step_lowers_the_loss_of_every_pixel(text):
    family.assert_learns(text, (2, 20, 17, 1))


def test_fcn_in_half_precision():
    family.assert_half_precision(FCN, (2, 20, 17, 1), exact=("head", "resize"))


def test_fcn_answers_for_every_pixel():
    family.assert_any_size(FCN, [(2, 32, 32, 1), (2, 13, 9, 1), (1, 1, 1, 1), (1, 8, 12, 1)], dense=True)


def test_auxiliary_logits_are_those_of_the_third_stage():
    """They know nothing of the fourth, and nothing that the network returns knows of them."""
    model = models.create("fcn(stages=[1, 1, 1, 1], num_filters=2, aux_logits=True)", num_classes=3)
    x = jax.random.normal(family.KEY, (1, 17, 20, 1))
    variables = family.numbers(model, x)

    def both(params):
        logits, parts = model.apply({**variables, "params": params}, x, intermediates="aux")
        return logits.sum(), parts["aux"].sum()

    def known(gradients):
        return {
            name for name, tree in gradients.items() if any((g != 0).any() for g in jax.tree.leaves(tree))
        }

    main, aux = jax.jit(jax.jacrev(both))(variables["params"])
    assert known(main) == variables["params"].keys() - {"aux_head"}
    assert known(aux) == variables["params"].keys() - {"head", "stage4_block1"}


def test_auxiliary_logits_need_a_stage_before_the_last():
    with pytest.raises(UserError, match="aux_logits=True: expected two stages or more"):
        models.create("fcn(stages=[2], num_filters=2, output_stride=4, aux_logits=True)")
