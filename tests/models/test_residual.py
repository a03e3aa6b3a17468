"""The options of residual networks: order, gate, stem, shortcut, and a block of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn
from tests.models import family


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # timm's, on 1,000 classes
        ("resnet18d", 11_708_744),
        ("resnet26d", 16_014_408),
        ("resnet34d", 21_816_904),
        ("resnet50d", 25_576_264),
        ("resnet101d", 44_568_392),
        ("resnet152d", 60_212_040),
        ("seresnet18", 11_779_624),
        ("seresnet34", 21_960_416),
        ("seresnet50", 28_088_024),
        ("seresnet101", 49_326_872),
        ("seresnet152", 66_821_848),
        ("seresnext50_32x4d", 27_559_896),
        ("seresnext101_32x8d", 93_569_048),
    ],
)
def test_parameters_are_those_published(name, parameters):
    assert family.count(name, (1, 224, 224, 3)) == parameters


@pytest.mark.parametrize("depth", [20, 110])
def test_before_or_behind_there_are_as_many_norms(depth):
    """A norm in front of the head and of each convolution, but none behind the last of a block."""
    pre, post = (family.count(f"{name}{depth}", (1, 32, 32, 3)) for name in ("preact_resnet", "resnet"))
    assert pre == post


def test_the_164_layers_of_the_paper():
    """Convolutions, norms in front of each, projections without norm, dense layer, written out."""
    n, total, channels = 18, 27 * 16 + 2 * 16, 16
    for stage, w in enumerate((16, 32, 64)):
        for block in range(n):
            first = stage == block == 0
            total += channels * w + 9 * w * w + w * 4 * w  # convolutions
            total += 2 * (0 if first else channels) + 2 * 2 * w  # norms
            total += channels * 4 * w if block == 0 else 0  # projection
            channels = 4 * w
    total += 2 * 256 + 256 * 10 + 10
    assert family.count("preact_resnet164", (1, 32, 32, 3)) == total


@pytest.mark.parametrize(
    ("name", "parameters"), [("16_4", 2_748_890), ("28_10", 36_479_194), ("40_2", 2_243_546)]
)
def test_wide_networks_are_as_wide_as_published(name, parameters):
    """With ten classes, as the paper's 2.7, 36.5 and 2.2 million."""
    assert family.count(f"wide_resnet{name}", (1, 32, 32, 3)) == parameters


def silent(block, features):
    """Its variables, with f = 0: all numbers of its last convolution are zero."""
    x = jax.random.normal(family.KEY, (2, 5, 6, features))
    variables = block.init(family.KEY, x)
    assert not variables["params"]["conv2"]["conv"]["kernel"].any()
    return x, variables


def test_the_sum_passes_on_what_it_was_given():
    """With f = 0 a pre-activation block is the identity of every number, negative ones too."""
    for order in ("pre", "first"):
        x, variables = silent(nn.BasicBlock(4, order=order, zero_init=True), 4)
        np.testing.assert_array_equal(nn.BasicBlock(4, order=order, zero_init=True).apply(variables, x), x)


def test_a_projection_reads_the_activated_map():
    """As in the authors' code: h = W·relu(norm(x)) where f = 0, and W·x in the first block."""
    for order in ("pre", "first"):
        block = nn.BasicBlock(3, order=order, zero_init=True, norm="layer")
        x, variables = silent(block, 4)
        kernel = variables["params"]["shortcut"]["conv"]["kernel"][0, 0]
        mean, var = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
        read = x if order == "first" else np.maximum((x - mean) / np.sqrt(var + 1e-5), 0)
        assert set(variables["params"]["shortcut"]) == {"conv"}
        assert ("norm" in variables["params"]) == (order == "pre")
        np.testing.assert_allclose(block.apply(variables, x), read @ kernel, rtol=1e-4, atol=1e-5)


def test_the_average_shortcut_counts_every_pixel():
    """Means of 2×2 pixels, and of fewer at an odd edge, then a 1×1 convolution."""
    block = nn.BasicBlock(
        3, strides=2, shortcut="average", norm="none", zero_init=True, activation="identity"
    )
    x = jax.random.normal(family.KEY, (1, 5, 4, 2))
    variables = block.init(family.KEY, x)
    rows = [x[:, 0:2], x[:, 2:4], x[:, 4:5]]
    means = jnp.stack([jnp.stack([r[:, :, j : j + 2].mean((1, 2)) for j in (0, 2)], 1) for r in rows], 1)
    kernel = variables["params"]["average_shortcut"]["conv"]["kernel"][0, 0]
    np.testing.assert_allclose(block.apply(variables, x), means @ kernel, rtol=1e-5, atol=1e-6)


def test_a_gate_scales_the_branch_alone():
    """With a closed gate, h is the shortcut; half open as it starts, h is half of f and the shortcut."""
    x = jax.random.normal(family.KEY, (2, 5, 4, 16))
    parts = {"norm": "none", "activation": "identity"}
    open_, gated = nn.BasicBlock(16, **parts), nn.BasicBlock(16, gate="se", **parts)
    variables = gated.init(family.KEY, x)["params"]
    plain = {name: tree for name, tree in variables.items() if name != "gate"}
    f = open_.apply({"params": plain}, x) - x
    for bias, g in ((-1e9, 0.0), (0.0, 0.5), (1e9, 1.0)):
        gate = jax.tree.map(jnp.zeros_like, variables["gate"]) | {"excite_bias": jnp.full(16, bias)}
        h = gated.apply({"params": plain | {"gate": gate}}, x)
        np.testing.assert_allclose(h, x + g * f, rtol=1e-4, atol=1e-5)


class Scaled(nn.ResidualBlock):
    """One convolution."""

    def branch(self, x, train):
        return self.last(self.features, 3, self.strides, name="conv")(x, train=train)


def test_a_network_is_a_number_of_blocks_and_a_block():
    model = models.ResNet(3, Scaled, num_filters=4, num_classes=5, stem="cifar")
    params = jax.eval_shape(model.init, family.KEY, family.spec((1, 8, 8, 3)))["params"]
    assert list(params) == ["head", *(f"stage1_block{i}" for i in (1, 2, 3)), "stem"]
    assert params["stage1_block2"]["conv"]["conv"]["kernel"].shape == (3, 3, 4, 4)
    named = models.create("resnet(stages=3, num_filters=4, stem='cifar')", num_classes=5)
    assert named == models.ResNet(3, "basic", num_filters=4, num_classes=5, stem="cifar")


SMALL = {
    "preact_resnet8(num_filters=4)": (8, 8, 8, 1),
    "resnet_cifar(depth=11, block='bottleneck', order='pre', shortcut='projection', num_filters=2)": (
        8,
        8,
        8,
        1,
    ),
    "resnet(stages=[1, 1], num_filters=8, gate='se', stem='deep', shortcut='average')": (8, 12, 10, 1),
    "resnet(stages=[1, 1], num_filters=4, gate='cbam', order='pre', norm='none', stem='cifar')": (
        8,
        12,
        10,
        1,
    ),
}
every_small = pytest.mark.parametrize("text", SMALL)


@every_small
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, SMALL[text])


@every_small
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, SMALL[text])


@every_small
def test_one_set_of_parameters_fits_every_size(text):
    family.assert_any_size(text, [SMALL[text], (2, 13, 9, 1), (1, 1, 1, 1)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18(order='first')", "order='first' is unknown"),
        ("resnet18(gate='squeeze')", "gate='squeeze' is unknown"),
        ("resnet18(stem='photo')", "stem='photo' is unknown"),
        ("resnet(stages=0)", "stages[0]=0: expected 1 or more"),
        ("resnet(block='basic', groups=2)", "groups=2, width_per_group=64: basic blocks have neither"),
        ("resnet18(epsilon='a')", "epsilon='a': expected a number above 0, e.g. 1e-5"),
        ("resnet18(epsilon=-1)", "epsilon=-1: expected a number above 0, e.g. 1e-5"),
        ("resnet18(momentum=7)", "momentum=7: expected a number from 0 to 1"),
        ("fcn_resnet50(head='pooled')", "head='pooled' is unknown; known: dense, fcn"),
        ("resnet_cifar(depth=22, block='bottleneck')", "depth=22: expected 9n + 2, e.g. 11, 29, 164"),
    ],
)
def test_wrong_arguments_are_named(text, message):
    family.assert_refused(text, message)
