"""Networks by name, and what a person is told who mistypes one."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from jaxcnn import models
from jaxcnn.errors import UserError
from jaxcnn.models import registry


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet2O", r"model 'resnet2O' is unknown; did you mean .*resnet20"),
        ("zzz", r"model 'zzz' is unknown; python -m jaxcnn.describe --models='.' lists all"),
        ("resnet20(num_filter=3)", r"'resnet20' has no argument 'num_filter'; did you mean num_filters"),
        ("resnet20(name='x')", r"'resnet20' has no argument 'name'"),
        ("resnet20(32)", r"write arguments by name"),
        ("VGG16", r"model 'VGG16' is unknown; did you mean vgg16"),
        ("efficientnet-b0", r"'efficientnet-b0' is unknown; did you mean efficientnet_b0"),
        ("resnet20(num_filters=-3)", r"num_filters=-3: expected 1 or more"),
        ("resnet20(num_filters=0)", r"num_filters=0: expected 1 or more"),
        ("resnet20(num_filters='a')", r"num_filters='a': expected an int"),
        ("resnet20(num_filters=1.5)", r"num_filters=1.5: expected an int"),
        ("resnet20(num_filters=True)", r"num_filters=True: expected an int"),
        ("resnet20(norm='batsh')", r"norm='batsh' is unknown; did you mean batch\?"),
        ("resnet20(norm=None)", r"norm=None: expected one of batch, channel, group, instance, layer, none"),
        ("resnet20(activation='rellu')", r"activation='rellu' is unknown; did you mean .*relu"),
        ("resnet20(conv='c')", r"conv='c' is unknown"),
        ("resnet20(head='flat')", r"head='flat' is unknown; did you mean .*flatten"),
        ("resnet20(shortcut='padd')", r"shortcut='padd' is unknown; did you mean pad\?"),
        ("resnet20(shortcut='identity')", r"shortcut='identity' cannot change shapes"),
        ("resnet20(drop_path=1)", r"drop_path=1: expected at least 0 and below 1"),
        ("resnet20(drop_path='a')", r"drop_path='a': expected a number"),
        ("resnet20(zero_init=1)", r"zero_init=1: expected True or False"),
        ("resnet20(dtype='int8')", r"dtype 'int8' is no floating type"),
        ("resnet_cifar(depth=21)", r"depth=21: expected 6n \+ 2"),
        ("mlp(hidden=3)", r"hidden=3: expected a list of whole numbers"),
        ("textcnn(widths=[])", r"widths=\[\]: expected one width or more"),
        ("mlp(hidden=[4, 0])", r"hidden\[1\]=0: expected 1 or more"),
        ("mlp(dropout=1.5)", r"dropout=1.5: expected at least 0 and below 1"),
        ("lenet5(activation=3)", r"activation=3: expected one of"),
        ("mlp, lenet5", r"holds 2 call strings"),
        ("mlp(", r"is not a call string"),
    ],
)
def test_mistakes_are_named_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        models.create(text, num_classes=10)
    assert "\n" not in str(caught.value)


def test_an_argument_may_be_given_twice_only_when_it_agrees():
    assert models.create("mlp(num_classes=5)").num_classes == 5
    assert models.create("mlp(num_classes=5)", num_classes=5).num_classes == 5
    assert models.create("mlp(hidden=[4])", hidden=[4]).hidden == (4,)
    assert models.create("mlp(dtype='bfloat16')", dtype=jnp.bfloat16).dtype == jnp.bfloat16
    with pytest.raises(UserError, match="num_classes is given twice, 5 here and 10"):
        models.create("mlp(num_classes=5)", num_classes=10)
    with pytest.raises(UserError, match="dtype is given twice"):
        models.create("mlp(dtype='bfloat16')", dtype="float32")


def test_modules_are_hashable_and_equal_by_value():
    one, other = (models.create("mlp(hidden=[3, 4])", num_classes=7) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


def test_names_match_patterns_in_numerical_order():
    names = models.names()
    assert names == models.names("*")
    assert [name for name in names if name in ("resnet8", "resnet20", "resnet110")] == [
        "resnet8",
        "resnet20",
        "resnet110",
    ]
    assert models.names("LENET*") == ["lenet5", "lenet5_1998"]
    assert models.names("nothing") == []


@pytest.mark.usefixtures("clean")
def test_functions_and_classes_register_once():
    @models.register
    def tiny(num_classes: int = 2, *, units: int) -> nn.Module:
        return nn.Dense(units)

    assert models.create("tiny(units=3)", num_classes=4) == nn.Dense(3)
    with pytest.raises(UserError, match=r"'tiny' needs units; write tiny\(units=\.\.\.\)"):
        models.create("tiny")
    with pytest.raises(ValueError, match="'tiny' is taken"):
        models.register(tiny)
    with pytest.raises(ValueError, match="'not-a-name' is not an identifier"):
        models.register(tiny, name="not-a-name")

    @models.register(name="other")
    class Tiny(nn.Dense):
        pass

    assert models.create("other(features=3)") == Tiny(3)


def test_what_a_name_sets_is_a_default_like_others():
    assert models.create("vgg11_bn").norm == "batch"
    assert models.create("vgg11_bn(norm='group')", num_classes=1000) == models.create("vgg11(norm='group')")
    assert models.arguments_of("resnet50d")["stem"] == "deep"
    assert models.create("resnet50d(stem='cifar', shortcut='projection')").stem == "cifar"


@pytest.mark.usefixtures("clean")
def test_defects_in_a_builder_are_not_taken_for_mistakes_of_the_user():
    @models.register
    def broken(num_classes: int = 2) -> nn.Module:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        models.create("broken")


@pytest.mark.parametrize("name", models.names())
def test_every_model_takes_classes_and_dtype(name):
    assert {"num_classes", "dtype"} <= models.arguments_of(name).keys()
    assert models.create(name, num_classes=3, dtype="bfloat16").num_classes == 3
