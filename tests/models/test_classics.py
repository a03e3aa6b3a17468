"""LeNet-5 as it was, AlexNet, VGG, All-CNN-C and the perceptron that matches a network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.engine import finetune
from jaxcnn.models.lenet import TABLE
from tests.models import family


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's, on 1,000 classes; the two towers by the layers of the paper
        ("alexnet", 61_100_840),
        (
            "alexnet_two_towers",
            34_944 + 307_456 + 885_120 + 663_936 + 442_624 + 37_752_832 + 16_781_312 + 4_097_000,
        ),
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("vgg11_bn", 132_868_840),
        ("vgg13_bn", 133_053_736),
        ("vgg16_bn", 138_365_992),
        ("vgg19_bn", 143_678_248),
    ],
)
def test_parameters_are_those_published(name, parameters):
    assert family.count(name, (1, 224, 224, 3)) == parameters


def test_all_cnn_c_has_the_parameters_of_its_layers():
    """Taps · channels · features + features of the nine convolutions of the paper's table."""
    widths = [3, 96, 96, 96, 192, 192, 192, 192, 192, 10]
    taps = [9] * 7 + [1, 1]
    expected = sum(k * a * b + b for k, a, b in zip(taps, widths[:-1], widths[1:], strict=True))
    assert family.count("all_cnn_c", (1, 32, 32, 3), num_classes=10) == expected == 1_369_738


def test_all_cnn_c_ends_with_six_by_six_places():
    """As the paper averages them, from 32×32 pixels."""
    model = models.create("all_cnn_c(num_filters=[2, 3])")
    maps = outputs(model, (1, 32, 32, 3))
    assert maps["stage3_block2"] == (1, 6, 6, 3)


def outputs(model, shape):
    """Shapes of what the submodules at the top return."""
    variables = jax.eval_shape(model.init, family.KEY, family.spec(shape))
    _, state = jax.eval_shape(
        lambda v, x: model.apply(v, x, capture_intermediates=True, mutable=["intermediates"]),
        variables,
        family.spec(shape),
    )
    tops = {name: tree["__call__"][0] for name, tree in state["intermediates"].items() if name != "__call__"}
    return {name: value.shape for name, value in tops.items()}


def test_the_two_towers_have_the_units_of_the_paper():
    """All of them as printed but the first, where 55·55·96 is printed as 253,440 = 55·48·96."""
    maps = outputs(models.create("alexnet_two_towers"), (1, 224, 224, 3))
    names = ["stem", "stage1_block1", "stage2_block1", "stage2_block2", "stage2_block3"]
    assert [np.prod(maps[name]) for name in names] == [290_400, 186_624, 64_896, 64_896, 43_264]
    assert 55 * 48 * 96 == 253_440


def test_towers_do_not_see_one_another_where_they_are_apart():
    """The second, fourth and fifth convolution read half of the channels before them."""
    model = models.create("alexnet_two_towers(hidden=[4])", num_classes=2)
    x = jax.random.normal(family.KEY, (1, 64, 64, 3))
    params = jax.eval_shape(model.init, family.KEY, x)["params"]
    shapes = {name: params[name]["conv"]["kernel"].shape for name in params if name != "head"}
    assert shapes == {
        "stem": (11, 11, 3, 96),
        "stage1_block1": (5, 5, 48, 256),
        "stage2_block1": (3, 3, 256, 384),
        "stage2_block2": (3, 3, 192, 384),
        "stage2_block3": (3, 3, 192, 256),
    }


def test_the_maps_of_c3_are_connected_as_in_table_1():
    """Transcribed from the paper: an X where a map of C3 (across) is connected to one of S2 (down)."""
    table = [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
    ours = ["".join("X" if channel in row else "." for row in TABLE) for channel in range(6)]
    assert ours == table


def test_lenet_of_1998_has_the_parameters_of_the_paper_layer_by_layer():
    model = models.create("lenet5_1998")
    params = jax.eval_shape(model.init, family.KEY, family.spec((1, 32, 32, 1)))["params"]
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in params.items()}
    paper = {"c1": 156, "s2_scale": 12, "c3": 1_516, "s4_scale": 32, "c5": 48_120, "f6": 10_164}
    assert sizes == paper | {"head": 850}
    assert sum(paper.values()) == 60_000


def test_learned_subsampling_is_a_line_of_the_average():
    model = models.create("lenet5(subsampling='learned', activation='identity')")
    plain = models.create("lenet5(activation='identity')")
    x = jax.random.normal(family.KEY, (2, 32, 32, 1))
    variables = jax.jit(model.init)(family.KEY, x)
    without = {name: tree for name, tree in variables["params"].items() if not name.endswith("scale")}
    np.testing.assert_allclose(
        model.apply(variables, x), plain.apply({"params": without}, x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("match", ["lenet5", "resnet8(num_filters=8)", "lenet5_1998"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_no_other_width_matches_better(match, layers):
    shape = (1, 20, 18, 1)
    target = family.count(match, shape, num_classes=10)
    found = family.count(f"mlp_matched(match={match!r}, layers={layers})", shape, num_classes=10)
    params = jax.eval_shape(
        models.create(f"mlp_matched(match={match!r}, layers={layers})").init, family.KEY, family.spec(shape)
    )["params"]
    assert set(params) == {*(f"dense{i}" for i in range(1, layers + 1)), "head"}
    width = params["dense1"]["bias"].size
    for other in (width - 1, width + 1):
        assert abs(found - target) <= abs(family.count(f"mlp(hidden={[other] * layers})", shape) - target)


def test_the_match_is_a_network_of_its_own():
    """Nothing of it is in the variables, or in the way of the hidden layers' own names."""
    model = models.create("mlp_matched", num_classes=3)
    variables = jax.eval_shape(model.init, family.KEY, family.spec((1, 8, 8, 1)))
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"dense1", "head"}


def test_who_intercepts_modules_does_not_meet_the_match():
    model, x = models.create("mlp_matched", num_classes=3), jnp.ones((1, 8, 8, 1))
    assert finetune.layers(model, (8, 8, 1)) == ("dense1", "head")
    variables = jax.eval_shape(model.init, family.KEY, x)
    apply = functools.partial(model.apply, intermediates="*")
    assert set(jax.eval_shape(apply, variables, x)[1]) == {"dense1", "dropout1", "head"}
    with pytest.raises(ValueError, match="mask, at dense1: a dense layer over a flattened map"):
        jax.eval_shape(lambda v: model.apply(v, x, mask=np.ones((1, 8, 8), bool)), variables)


SMALL = {
    "lenet5_1998": (8, 16, 14, 1),
    "alexnet(num_filters=[4, 6, 6, 6, 6], hidden=[16, 16], dropout=0.1)": (8, 64, 64, 1),
    "alexnet(num_filters=[4, 6, 6, 6, 6], towers=2, local_response=True, norm='batch', head='pooled')": (
        8,
        64,
        64,
        1,
    ),
    "vgg(stages=[1, 2], num_filters=4, hidden=[16])": (8, 12, 10, 1),
    "vgg(stages=[1, 2], num_filters=4, hidden=[16], norm='batch', activation='silu')": (8, 12, 10, 1),
    "all_cnn_c(num_filters=[6, 8])": (8, 16, 14, 1),
    "mlp_matched(match='resnet8(num_filters=4)', layers=2)": (8, 8, 8, 1),
}
every_small = pytest.mark.parametrize("text", SMALL)


@every_small
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, SMALL[text])


@every_small
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, SMALL[text], exact=("head", "input_dropout"))


@pytest.mark.parametrize("text", [text for text in SMALL if "mlp" not in text])
def test_one_set_of_parameters_fits_every_size(text):
    family.assert_any_size(text, [SMALL[text], (2, 80, 66, 1), (1, 64, 64, 1)])


@pytest.mark.parametrize("spatial", [(64,), (16, 16, 16)])
@pytest.mark.parametrize(
    "text", ["vgg(stages=[1, 1], num_filters=4, hidden=[8])", "all_cnn_c(num_filters=[4, 4])"]
)
def test_they_take_one_to_three_axes(text, spatial):
    model = models.create(text, num_classes=5)
    y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((2, *spatial, 2)))
    assert y.shape == (2, 5)


def test_alexnet_starts_as_in_the_paper():
    """Normal with deviation 0.01; biases 1 in the second, fourth and fifth convolution and where hidden."""
    model = models.create("alexnet(num_filters=[8, 32, 32, 32, 32], hidden=[64, 64])", num_classes=5)
    params = jax.jit(model.init)(family.KEY, jnp.ones((1, 64, 64, 3)))["params"]
    lifted = {"stage1_block1", "stage2_block2", "stage2_block3", "hidden1", "hidden2"}
    layers = {name: tree["conv"] for name, tree in params.items() if name != "head"} | params["head"]
    for name, layer in layers.items():
        assert (layer["bias"] == (name in lifted)).all(), name
        deviation = float(layer["kernel"].std())
        assert deviation == pytest.approx(0.01, rel=6 / np.sqrt(2 * layer["kernel"].size)), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alexnet(num_filters=[1, 2])", r"num_filters=(1, 2): expected one number for each of 5 layers"),
        ("alexnet(towers=0)", "towers=0: expected 1 or more"),
        ("alexnet(local_response=1)", "local_response=1: expected True or False"),
        ("vgg(stages=3)", "stages=3: expected a list of whole numbers"),
        ("vgg11(hidden=[0])", "hidden[0]=0: expected 1 or more"),
        ("vgg11(head='fcc')", "head='fcc' is unknown"),
        ("all_cnn_c(num_filters=[96])", "num_filters=(96,): expected two numbers"),
        ("all_cnn_c(input_dropout=1)", "input_dropout=1: expected at least 0 and below 1"),
        ("lenet5(connections='some')", "connections='some' is unknown"),
        ("lenet5(subsampling='max')", "subsampling='max' is unknown"),
        ("mlp_matched(match='lenet6')", "model 'lenet6' is unknown; did you mean"),
        ("mlp_matched(layers=0)", "layers=0: expected 1 or more"),
    ],
)
def test_wrong_arguments_are_named(text, message):
    family.assert_refused(text, message)
