"""The renaming of numbers, what is said of keys that do not fit, files, and the search for a difference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn
from jaxcnn.errors import UserError
from jaxcnn.models.torch_names import Layout, Rule, rename
from tests.models.torch_parity import arrays, library, randomize

KEY = jax.random.key(0)
SMALL = "resnet(stages=[1, 1], num_filters=4)"


def shapes(text=SMALL, **options):
    model = models.create(text, **({"num_classes": 3} | options))
    return model, jax.eval_shape(model.init, KEY, jnp.ones((1, 32, 32, 3)))


def ones(text=SMALL, **options):
    model, tree = shapes(text, **options)
    rng = np.random.default_rng(0)
    return model, jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32), tree)


def equal(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize(
    ("rules", "path", "name"),
    [
        ([Rule("conv", "0")], "conv/kernel", "0.weight"),
        ([Rule("conv", "0")], "conv1/kernel", "conv1.weight"),
        ([Rule("conv", "0")], "my_conv/kernel", "my_conv.weight"),
        ([Rule("a", "b"), Rule("b", "c")], "a/b/kernel", "c.b.weight"),
        ([Rule(r"(\w)(\d+)", "{2:2n-1}/{1}")], "x10/norm/var", "19.x.norm.running_var"),
        ([Rule(r"a/kernel", "b/kernel")], "a/kernel", "b.weight"),
        ([], "gate/squeeze_bias", "gate.squeeze.bias"),
        ([Rule("scale", "gamma")], "scale", "gamma"),
        ([Rule("a", lambda match, count: f"{match[0]}{count + 5}")], "a/kernel", "a5.weight"),
    ],
)
def test_rules_rename_whole_names(rules, path, name):
    assert rename([path], rules)[path][0] == name


def test_counts_are_of_the_different_matches_in_numerical_order():
    paths = ["block10/b", "block9/b", "block9/a", "last/c", "other/block1/c"]
    found = rename(paths, [Rule((r"block\d+", "last"), "{#:n+1}"), Rule(("b", "a"), "x{#}")])
    assert [found[path][0] for path in paths] == ["2.x0", "1.x0", "1.x1", "3.c", "other.1.c"]


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (Layout(), (3, 2, 4, 5)),
        (Layout(), (4, 5)),
        (Layout(), (6,)),
        (Layout(transposed=True), (3, 2, 4, 5)),
        (Layout(ones=2), (4, 5)),
        (Layout(ones=2), (6,)),
    ],
)
def test_layouts_come_back(layout, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    there = layout.there(array)
    assert there.shape == layout.shape_there(shape)
    np.testing.assert_array_equal(layout.here(there, shape), array)


def test_transposed_convolutions_are_torchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 3)).astype(np.float32)
    theirs = torch.nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1)
    kernel = Layout(transposed=True).here(theirs.weight.detach().numpy(), (3, 3, 3, 2))
    variables = {"params": {"kernel": kernel, "bias": theirs.bias.detach().numpy()}}
    ours = nn.ConvTranspose(2, 3, strides=2, padding=1).apply(variables, x)
    expected = theirs(torch.from_numpy(x).movedim(-1, 1)).movedim(1, -1).detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_files_hold_every_bit(tmp_path, suffix):
    model, variables = ones()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch = pytest.importorskip("torch")
        state = {key: torch.tensor(value) for key, value in models.torch_state(variables, model).items()}
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, path)
    else:
        models.save_torch(variables, path, model)
    again = models.load_torch(shapes()[1], path, model)
    assert equal(again, variables)


def test_torch_takes_the_file_whole(tmp_path):
    tv = library("torchvision")
    from safetensors.torch import load_file

    models.save_torch(ones("resnet18", num_classes=7)[1], tmp_path / "w.safetensors", "resnet18")
    tv.resnet18(num_classes=7).load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)


KERNEL, MISSPELT = "layer1.0.conv1.weight", "layer1.0.conv1.weigth"


@pytest.mark.parametrize(
    ("gone", "there", "said"),
    [
        (
            [KERNEL],
            {MISSPELT: np.zeros(1)},
            f"missing {KERNEL} (our stage1_block1/conv1/conv/kernel; near it: {MISSPELT}) (and 1 more)",
        ),
        ([], {"bn1.bias": np.zeros(5)}, "misshapen bn1.bias: (5,) there, (4,) expected (our stem/norm/bias)"),
        ([], {MISSPELT: np.zeros(1)}, f"left over {MISSPELT}"),
    ],
)
def test_one_line_names_the_first_that_is_missing_left_over_or_misshapen(gone, there, said):
    model, variables = ones()
    state = models.torch_state(variables, model) | there
    for key in gone:
        del state[key]
    with pytest.raises(UserError) as error:
        models.load_torch(variables, state, model)
    assert str(error.value) == f"the state dictionary does not fit ResNet: {said}"


@pytest.mark.parametrize(
    ("text", "layout", "refused"),
    [
        ("mobilenet_v3_small(width=0.25, hidden=8)", "timm", "epsilon=1e-05, momentum=0.9; this network has"),
        ("mobilenet_v3_small(width=0.25, hidden=8)", "torchvision", None),
        (
            "mobilenet_v3_small(width=0.25, hidden=8, epsilon=1e-5)",
            "torchvision",
            "epsilon=0.001, momentum=0.99; this network has epsilon=1e-05; make it with those",
        ),
        ("mobilenet_v3_small(width=0.25, hidden=8, epsilon=1e-5)", "timm", None),
        (
            "efficientnet_b5(width=0.25, depth=0.1)",
            "timm",
            "the state dictionary holds weights of timm, which",
        ),
        ("efficientnet_b5(width=0.25, depth=0.1)", "torchvision", None),
        ("efficientnet_b5(width=0.25, depth=0.1)", "jaxcnn", None),
        ("efficientnet_b0(width=0.25, depth=0.1)", "timm", None),
    ],
)
def test_weights_that_were_trained_with_another_epsilon_are_refused(text, layout, refused):
    model, variables = ones(text)
    state = models.torch_state(variables, model, layout=layout)
    if refused is None:
        assert equal(models.load_torch(variables, state, model), variables)
        return
    with pytest.raises(UserError) as error:
        models.load_torch(variables, state, model)
    assert refused in str(error.value)
    assert "\n" not in str(error.value)


def test_a_normalization_of_ones_own_is_taken_at_its_epsilon():
    _, variables = ones("mobilenet_v3_small(width=0.25, hidden=8)")
    small = {"width": 0.25, "hidden": 8, "num_classes": 3}
    own = models.create("mobilenet_v3_small", norm=functools.partial(nn.BatchNorm, unbiased=True), **small)
    models.load_torch(variables, models.torch_state(variables, own, layout="timm"), own)
    with pytest.raises(UserError, match=r"this network has epsilon=1e-05"):
        models.load_torch(variables, models.torch_state(variables, own, layout="torchvision"), own)


def test_a_new_head_stays_as_it_was():
    _, variables = ones()
    model, other = ones(num_classes=5)
    state = models.torch_state(variables, model)
    with pytest.raises(UserError, match=r"misshapen fc\."):
        models.load_torch(other, state, model)
    found = models.load_torch(other, state, model, new_head=True)
    assert equal(found["params"]["head"], other["params"]["head"])
    assert equal(found["params"]["stem"], variables["params"]["stem"])


def test_the_first_kernels_are_summed_for_one_channel_where_it_is_asked_for():
    model, variables = ones()
    state = models.torch_state(variables, model)
    state["conv1.weight"] = np.random.default_rng(0).standard_normal((4, 3, 7, 7)).astype(np.float32)
    one = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 1)))
    with pytest.raises(UserError, match=r"misshapen conv1\.weight: \(4, 3, 7, 7\) there, \(4, 1, 7, 7\)"):
        models.load_torch(one, state, model)
    found = models.load_torch(one, state, model, sum_colours=True)
    kernel = found["params"]["stem"]["conv"]["kernel"]
    summed = state["conv1.weight"].sum(1)
    np.testing.assert_allclose(kernel, summed.transpose(1, 2, 0)[:, :, None], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["googlenet(width=0.05)", "inception_v3(width=0.02)", "fcn(stages=[1, 1, 1, 1], num_filters=2)"]
)
def test_published_files_fit_without_and_with_their_auxiliary_heads(text):
    """torchvision publishes these with auxiliary heads, for the classes that they were trained on."""
    with_heads = text.replace(")", ", aux_logits=True)")
    _, variables = tree(with_heads)
    state = models.torch_state(variables, models.create(with_heads, num_classes=3))
    plain, shapes_without = tree(text)
    assert "head" in models.load_torch(shapes_without, state, plain)["params"]
    fresh, other = tree(with_heads, num_classes=5)
    found = models.load_torch(other, state, fresh, new_head=True)["params"]
    for old, new in zip(jax.tree.leaves(variables["params"]), jax.tree.leaves(found), strict=True):
        assert np.all(new == (3 if new.shape == old.shape else 5))
    assert sum(leaf.shape[-1] == 5 and leaf.ndim == 1 for leaf in jax.tree.leaves(found)) >= 2


def tree(text, num_classes=3):
    model = models.create(text, num_classes=num_classes)
    made = jax.eval_shape(model.init, KEY, jnp.ones((1, 299, 299, 3)))
    return model, jax.tree.map(lambda leaf: jnp.full(leaf.shape, num_classes, jnp.float32), made)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.safetensors", None, "no such file"),
        ("half.safetensors", b"\x10\x00", "is no whole safetensors file"),
        ("weights.h5", b"", r"expected weights in .safetensors or .pth"),
    ],
)
def test_files_that_are_none_say_so(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        models.load_torch({}, tmp_path / name, SMALL)


def test_pickles_that_would_run_code_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"weights": Rule("a", "b")}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w.pth is no file of weights: expected .* nothing else"):
        models.load_torch({}, tmp_path / "w.pth", SMALL)


def test_what_is_no_array_in_a_state_dictionary_is_listed():
    model, variables = ones()
    state = models.torch_state(variables, model) | {"conv1.weight": 3}
    with pytest.raises(UserError, match=r"no array conv1\.weight: int there \(our stem/conv/kernel\)"):
        models.load_torch(variables, state, model)


def test_files_that_torch_cannot_read_are_no_weights(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "w.pth").write_text("junk\n")
    with pytest.raises(UserError, match=r"w.pth is no file of weights") as error:
        models.load_torch({}, tmp_path / "w.pth", SMALL)
    assert "weights_only" not in str(error.value)


def test_what_cannot_be_saved_or_filled_says_so(tmp_path):
    model, variables = ones()
    with pytest.raises(UserError, match="its folder does not exist"):
        models.save_torch(variables, tmp_path / "none" / "w.safetensors", model)
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(UserError, match="is a folder; name a file"):
        models.save_torch(variables, tmp_path / "w.safetensors", model)
    (tmp_path / "w.safetensors").rmdir()
    for call in (
        lambda: models.save_torch({"batch_stats": {}}, tmp_path / "w.safetensors", model),
        lambda: models.load_torch({"batch_stats": {}}, {}, model),
    ):
        with pytest.raises(ValueError, match=r"variables hold \['batch_stats'\]: expected params"):
            call()
    assert not list(tmp_path.iterdir())


def test_layouts_that_a_family_has_not_say_so():
    with pytest.raises(UserError, match="layout='torchvision': mlp has only jaxcnn"):
        models.torch_state({}, "mlp")
    with pytest.raises(UserError, match="layout='keras': resnet18 has only torchvision and timm and jaxcnn"):
        models.torch_state({}, "resnet18", layout="keras")


def test_our_own_layout_is_of_every_family(tmp_path):
    model, variables = ones("resnet8(num_filters=4)")
    assert "params/stem/conv/kernel" in models.torch_state(variables, model, layout="jaxcnn")
    models.save_torch(variables, tmp_path / "w.safetensors", model, layout="jaxcnn")
    assert equal(models.load_torch(variables, tmp_path / "w.safetensors", model), variables)


def test_networks_with_gates_agree():
    """A gate with both its kernels is one layer of ours and several of torch's."""
    tv = library("torchvision").mobilenetv3
    row = tv.InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1.0)
    theirs = randomize(tv.MobileNetV3([row], 32, num_classes=3))
    model = models.create("mobilenet_v3(stages=[[[3, 16, 16, True, True, 2]]], hidden=32)", num_classes=3)
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    made = jax.eval_shape(model.init, KEY, x)
    same = models.compare(theirs, model, models.load_torch(made, arrays(theirs), model), x)
    assert same.first is None, str(same)


def test_the_first_layer_at_which_two_networks_part_is_named():
    tv = library("torchvision")
    theirs = randomize(tv.resnet.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3))
    text = "resnet(stages=[1, 1, 1, 1])"
    model, tree = shapes(text)
    variables = models.load_torch(tree, arrays(theirs), model)
    x = np.random.default_rng(0).standard_normal((2, 40, 40, 3)).astype(np.float32)
    same = models.compare(theirs, model, variables, x)
    assert same.first is None
    assert str(same).startswith("the networks agree at ")
    assert {"stem/conv", "stage3_block1/shortcut/norm", "head/dense", ""} <= {one.ours for one in same.layers}
    assert theirs.training

    stats = variables["batch_stats"]["stage2_block1"]["conv2"]["norm"]
    stats["var"] = stats["var"] * 1.5
    parted = models.compare(theirs, model, variables, x)
    assert (parted.first.ours, parted.first.theirs) == ("stage2_block1/conv2/norm", "layer2.0.bn2")
    assert "part where stage2_block1/conv2/norm and layer2.0.bn2 differ by" in str(parted)

    torch = pytest.importorskip("torch")

    theirs.maxpool = torch.nn.Identity()
    shapes_differ = models.compare(theirs, model, variables, x)
    assert str(shapes_differ) == (
        "the networks part where stage1_block1/conv1/conv and layer1.0.conv1 differ in shape: "
        "(2, 10, 10, 64) and (2, 20, 20, 64)"
    )
