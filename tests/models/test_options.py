"""The options that mean the same in every family: each alone, in every family that has it."""

import functools
import re
from pathlib import Path

import flax.linen as linen
import jax
import pytest

from jaxcnn import callstring, models, nn
from jaxcnn.models.chain import Conv
from jaxcnn.models.stem import STEMS, strides
from jaxcnn.nn import choices, heads
from tests.models import family

EVERYWHERE = {"num_classes", "width", "norm", "activation", "conv", "head", "dtype", "epsilon", "momentum"}
FAMILIES = {
    # small, with which further options, and an input of which every stem leaves enough
    "alexnet(num_filters=[4, 4, 4, 4, 4], hidden=[4])": (set(), (2, 70, 66, 3)),
    "all_cnn_c(num_filters=[4, 6])": (set(), (2, 20, 18, 3)),
    "convnext(stages=[1, 1], num_filters=[4, 6])": ({"stem", "drop_path"}, (2, 48, 44, 3)),
    "densenet(stages=[1, 1], growth_rate=4, num_filters=6)": ({"stem"}, (2, 48, 44, 3)),
    "efficientnet(stages=[[True, 4, 3, 2, 8, 1], [False, 4, 5, 1, 8, 2]], last=32)": (
        {"stem", "drop_path"},
        (2, 48, 44, 3),
    ),
    "fcn(stages=[1, 1], num_filters=4)": ({"stem", "drop_path"}, (2, 48, 44, 3)),
    "googlenet(width=0.1)": ({"stem"}, (2, 48, 44, 3)),
    "inception_v3(width=0.05)": ({"stem"}, (2, 160, 160, 3)),
    "lenet5": (set(), (2, 32, 28, 1)),
    "mobilenet_v1(width=0.25, stages=[[32, 1], [32, 2, 2]])": ({"stem"}, (2, 48, 44, 3)),
    "mobilenet_v2(width=0.25, setting=[[1, 32, 1, 1], [3, 32, 2, 2]])": (
        {"stem", "drop_path"},
        (2, 48, 44, 3),
    ),
    "mobilenet_v3(width=0.25, stages=[[[3, 32, 16, True, True, 2], [3, 32, 16, True, False]]], hidden=32)": (
        {"stem", "drop_path"},
        (2, 48, 44, 3),
    ),
    "r3d(stages=[1, 1], num_filters=4)": ({"stem", "drop_path"}, (2, 48, 48, 44, 3)),
    "resnet(stages=[1, 1], num_filters=4, block='bottleneck')": ({"stem", "drop_path"}, (2, 48, 44, 3)),
    "resnet_cifar(depth=8, num_filters=4)": ({"stem", "drop_path"}, (2, 48, 44, 3)),
    "shufflenet_v2(stages=[2], num_filters=[6, 8, 32])": ({"stem"}, (2, 48, 44, 3)),
    "tcn(num_filters=[4, 4])": ({"drop_path"}, (2, 24, 3)),
    "unet(num_filters=4, levels=2)": (set(), (2, 12, 10, 3)),
    "vgg(stages=[1, 1], num_filters=4, hidden=[4])": (set(), (2, 28, 26, 3)),
    "xception(width=0.05)": ({"stem", "drop_path"}, (2, 70, 66, 3)),
}
every_family = pytest.mark.parametrize("text", FAMILIES)
DEEP = ("googlenet", "inception", "xception")
deep_ones_slowly = pytest.mark.parametrize(
    "text", [pytest.param(text, marks=pytest.mark.slow if text.startswith(DEEP) else ()) for text in FAMILIES]
)
NO_GROUPS = ("flattened", "separable")
DEPTHWISE = ("mobilenet", "efficientnet", "shufflenet", "convnext")


def with_option(text, **options):
    """The call string with an option, in the place of what it says of that."""
    call = callstring.parse_one(text)
    return callstring.write(call._replace(kwargs=call.kwargs | options))


@functools.cache
def shapes(text, shape):
    """Of the logits and variables. Many tests ask for a network as it is, so it is traced but once."""
    model = models.create(text, num_classes=5)
    return jax.eval_shape(lambda x: model.init_with_output(family.KEY, x), family.spec(shape))


def sizes(variables):
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}


def kernels(variables):
    return {name: shape for name, shape in sizes(variables).items() if len(shape) > 1}


def test_every_convolutional_family_is_here():
    known = {
        type(models.create(name))
        for name in models.names()
        if "norm" in models.arguments_of(name) and name not in ("capsnet", "textcnn")
    }
    assert {type(models.create(text)) for text in FAMILIES} == known


@every_family
def test_what_it_takes(text):
    more, _ = FAMILIES[text]
    known = models.arguments_of(text.partition("(")[0]).keys()
    assert known >= EVERYWHERE | more
    assert not known & ({"stem", "drop_path"} - more)


@deep_ones_slowly
def test_norms_and_activations(text):
    y, variables = shapes(text, FAMILIES[text][1])
    for norm in choices.NORMS:
        other, changed = shapes(with_option(text, norm=norm, activation="silu"), FAMILIES[text][1])
        assert other.shape == y.shape
        assert ("batch_stats" in changed) == (norm == "batch")
        assert kernels(changed) == kernels(variables)


@deep_ones_slowly
def test_convolutions(text):
    """Every one takes its place; where it would need groups and has none, it says so."""
    y, variables = shapes(text, FAMILIES[text][1])
    for conv in choices.CONVS:
        changed = with_option(text, conv=conv)
        if conv in NO_GROUPS and text.startswith(DEPTHWISE):
            with pytest.raises(ValueError, match=f"conv='{conv}' has no groups"):
                shapes(changed, FAMILIES[text][1])
            continue
        other, found = shapes(changed, FAMILIES[text][1])
        assert other.shape == y.shape
        usual = models.create(text).conv
        same = conv == usual or (conv == "standardized" and usual == "conv")
        same |= conv == "depthwise" and text.startswith(DEPTHWISE) and "[True" not in text  # which is fused
        assert (sizes(found) == sizes(variables)) == same, conv


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        (text, stem)
        for text, (more, _) in FAMILIES.items()
        for stem in STEMS
        if "stem" in more
        and (stem != "video" or not text.startswith("inception"))  # whose kernels have 2 axes
    ],
)
def test_stems(text, stem):
    _, shape = FAMILIES[text]
    if stem == "video" and len(shape) != 5:
        shape = (shape[0], 4, *shape[1:])
    if text.startswith("fcn"):
        text = with_option(text, output_stride=2 * strides(stem))
    y, variables = shapes(with_option(text, stem=stem), shape)
    assert y.shape == ((*shape[:-1], 5) if text.startswith("fcn") else (2, 5))
    convs = sum("conv" in name for name in variables["params"]["stem"])
    assert convs == sum(isinstance(step, Conv) for step in STEMS[stem].steps(12))


def test_a_stem_of_ones_own():
    class Blur(nn.ConvNorm):
        """Takes the activation, too."""

        activation: str = "relu"

    model = models.create("mobilenet_v2(setting=[[1, 16, 1, 1]])", stem=Blur)
    variables = jax.eval_shape(model.init, family.KEY, family.spec((1, 8, 8, 3)))
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (3, 3, 3, 32)


@pytest.mark.parametrize("stem", STEMS)
def test_the_strides_of_a_stem_are_those_of_its_map(stem):
    """A map as many pixels larger as the image is by that times as many."""
    text = f"resnet(stages=[1], num_filters=4, stem={stem!r}, head='dense')"
    few, many = (shapes(text, (1, 97, 97, 97 + 5 * extra, 3))[0].shape for extra in (0, strides(stem)))
    assert many[-2] == few[-2] + 5


@every_family
def test_heads(text):
    shape = FAMILIES[text][1]
    for head in ("pooled", "flatten", "fc", "dense"):
        if text.startswith("fcn") and head != "dense":
            continue
        y, variables = shapes(with_option(text, head=head), shape)
        assert "head" in variables["params"]
        assert y.shape == ((2, *y.shape[1:-1], 5) if head == "dense" else (2, 5))
        assert (len(y.shape) > 2) == (head == "dense")


@every_family
def test_twice_as_wide(text):
    """Every kernel but that of the scores has twice the features, but for rounding."""
    width = models.create(text).width
    _, once = shapes(with_option(text, width=2 * width), FAMILIES[text][1])
    _, twice = shapes(with_option(text, width=4 * width), FAMILIES[text][1])
    before, after = kernels(once), kernels(twice)
    assert before.keys() == after.keys()
    for name in before:
        scores = "['head']['dense']" in name
        fixed = "last" in name and text.startswith("mobilenet_v2")  # its 1,280 below a width of 1
        fixed |= "squeeze_kernel" in name and text.startswith("mobilenet_v3")  # 8 at least
        ratio = after[name][-1] / before[name][-1]
        assert ratio == pytest.approx(1 if scores or fixed else 2, abs=0.35), name


@every_family
def test_half_precision(text):
    y, variables = shapes(with_option(text, dtype="bfloat16"), FAMILIES[text][1])
    assert y.dtype == "float32"
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jax.numpy.dtype("float32")}


@pytest.mark.parametrize("text", [text for text, (more, _) in FAMILIES.items() if "drop_path" in more])
def test_branches_are_left_out_more_often_the_later_they_come(text):
    model = models.create(with_option(text, drop_path=0.5), num_classes=5)
    rates = []

    def note(call, args, kwargs, context):
        if isinstance(context.module, nn.DropPath):
            rates.append(context.module.rate)
        return call(*args, **kwargs)

    with linen.intercept_methods(note):
        jax.eval_shape(lambda x: model.init(family.KEY, x), family.spec(FAMILIES[text][1]))
    assert rates == sorted(rates)
    assert 0 < rates[-1] <= 0.5


def test_the_page_names_every_choice():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, flags=re.MULTILINE))
    for option, known in (
        ("norm", {*choices.NORMS, "epsilon", "momentum"}),
        ("conv", set(choices.CONVS)),
        ("stem", set(STEMS)),
        ("head", set(heads.HEADS)),
    ):
        assert set(re.findall(r"`(\w+)`", rows[option])) == known


def test_textcnn_and_capsnet_are_as_wide():
    for text, shape in (
        ("textcnn(num_filters=4)", (1, 9, 3)),
        ("capsnet(num_filters=4, types=2)", (1, 20, 20, 1)),
    ):
        found = [kernels(shapes(with_option(text, width=w), shape)[1]) for w in (1.0, 2.0)]
        name = "['width3']['conv']['kernel']" if "text" in text else "['stem']['conv']['kernel']"
        assert found[1][name][-1] == 2 * found[0][name][-1]
