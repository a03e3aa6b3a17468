"""GoogLeNet, Inception-v3, Xception and DenseNet."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.models.chain import Branches, Chain, Conv, Fork, Pool
from tests.models import family


@pytest.mark.parametrize(
    ("text", "parameters"),
    [  # torchvision's and timm's, on 1,000 classes
        ("googlenet", 6_624_904),
        ("googlenet(aux_logits=True)", 13_004_888),
        ("inception_v3", 23_834_568),
        ("inception_v3(aux_logits=True)", 27_161_264),
        ("xception", 22_855_952),
        ("densenet121", 7_978_856),
        ("densenet161", 28_681_000),
        ("densenet169", 14_149_480),
        ("densenet201", 20_013_928),
    ],
)
def test_parameters_are_those_published(text, parameters):
    assert family.count(text, (1, 299, 299, 3)) == parameters


def test_the_kernels_of_the_paper_are_larger():
    """Every third branch of GoogLeNet with 25 taps for each pair of channels in the place of 9."""
    pairs = [(16, 32), (32, 96), (16, 48), (24, 64), (24, 64), (32, 64), (32, 128), (32, 128), (48, 128)]
    more = family.count("googlenet(kernel_size=5)", (1, 64, 64, 3)) - family.count(
        "googlenet", (1, 64, 64, 3)
    )
    assert more == sum(16 * a * b for a, b in pairs)


TINY = "inception_v3(width=0.02, aux_logits=True)"
SMALL = {
    "googlenet(width=0.05, aux_logits=True, dropout=0.0)": (4, 48, 40, 1),
    "inception_v3(width=0.02, dropout=0.0)": (4, 80, 75, 1),
    "xception(width=0.01)": (4, 40, 48, 1),
    "xception(width=0.01, conv='conv', norm='group')": (4, 40, 48, 1),
    "densenet(stages=[2, 3], growth_rate=3, num_filters=6, dropout=0.1)": (8, 32, 24, 1),
    "densenet(stages=[2, 2], growth_rate=3, num_filters=6, stem='cifar', norm='none')": (8, 8, 8, 1),
}
SLOW = ("googlenet", "inception", "xception")
every_small = pytest.mark.parametrize("text", SMALL)


@pytest.mark.parametrize(
    "text", [pytest.param(text, marks=pytest.mark.slow if text.startswith(SLOW) else ()) for text in SMALL]
)
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, SMALL[text])


@every_small
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, SMALL[text], exact=("head", "aux1", "aux2"))


@every_small
def test_one_set_of_parameters_fits_every_size(text):
    family.assert_any_size(text, [SMALL[text], (2, 80, 91, 1), (1, 96, 75, 1)])


@pytest.mark.parametrize("spatial", [(64,), (16, 16, 16)])
@pytest.mark.parametrize("text", [text for text in SMALL if not text.startswith("inception")])
def test_they_take_one_to_three_axes(text, spatial):
    model = models.create(text, num_classes=5)
    y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((2, *spatial, 2)))
    assert y.shape == (2, 5)


@pytest.mark.parametrize(
    ("text", "shape", "names"),
    [
        ("googlenet(width=0.05, aux_logits=True)", (2, 64, 64, 3), {"aux1", "aux2"}),
        (TINY, (2, 299, 299, 3), {"aux"}),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_auxiliary_logits_are_intermediates(text, shape, names, train):
    model = models.create(text, num_classes=5)
    variables = jax.eval_shape(model.init, family.KEY, family.spec(shape))
    assert names <= set(variables["params"])

    def run(variables, x):
        options = {"rngs": {"dropout": family.KEY}, "mutable": ["batch_stats"]}
        return model.apply(variables, x, train=train, intermediates=sorted(names), **options)[0]

    logits, others = jax.eval_shape(run, variables, family.spec(shape))
    assert logits.shape == (2, 5)
    assert {name: value.shape for name, value in others.items()} == dict.fromkeys(names, (2, 5))
    assert set(model.auxiliary) == names


def test_logits_do_not_depend_on_the_auxiliary_heads():
    """No gradient from the logits to the parameters of the heads, and none needed to have the logits."""
    model = models.create("googlenet(width=0.05, aux_logits=True)", num_classes=3)
    plain = models.create("googlenet(width=0.05)", num_classes=3)
    x = jax.random.normal(family.KEY, (1, 32, 32, 3))
    variables = family.numbers(model, x)
    without = {
        collection: {name: tree for name, tree in trees.items() if not name.startswith("aux")}
        for collection, trees in variables.items()
    }
    np.testing.assert_allclose(
        jax.jit(model.apply)(variables, x), jax.jit(plain.apply)(without, x), rtol=1e-5
    )


def test_chains_fork_and_branches_stand_in_their_order():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 2)), jnp.float32)
    options = {"norm": "none", "activation": "identity"}
    module = Branches({"b": (Fork((Conv(1), Conv(2))),), "a": (Pool("average"), Conv(3))}, options)
    y, variables = module.init_with_output(family.KEY, x)
    params = variables["params"]

    def dense(x, layer):
        return x @ layer["conv"]["kernel"][0, 0]

    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    mean = sum(padded[:, i : i + 4, j : j + 4] for i in range(3) for j in range(3)) / 9
    expected = [
        dense(x, params["b"]["conv1a"]),
        dense(x, params["b"]["conv1b"]),
        dense(mean, params["a"]["conv1"]),
    ]
    np.testing.assert_allclose(y, np.concatenate(expected, -1), rtol=1e-4, atol=1e-6)


def test_chains_scale_their_channels():
    chain = Chain((Conv(10), Conv(4)), width=0.3)
    y, _ = jax.eval_shape(chain.init_with_output, family.KEY, family.spec((1, 4, 4, 2)))
    assert y.shape == (1, 4, 4, 1)


def test_dense_blocks_keep_their_input_in_front():
    """Channels of a stage: those of the stem, then what each block added, untouched by the blocks behind."""
    model = models.create("densenet(stages=[3], growth_rate=2, num_filters=4, stem='cifar')", num_classes=3)
    x = jax.random.normal(family.KEY, (1, 6, 6, 3))
    variables = family.numbers(model, x)
    _, state = jax.jit(lambda v, x: model.apply(v, x, capture_intermediates=True, mutable=["intermediates"]))(
        variables, x
    )
    blocks = [state["intermediates"][f"stage1_block{i}"]["__call__"][0] for i in (1, 2, 3)]
    assert [block.shape[-1] for block in blocks] == [6, 8, 10]
    for before, after in itertools.pairwise(blocks):
        np.testing.assert_array_equal(after[..., : before.shape[-1]], before)


def test_an_xception_block_is_its_shortcut_where_its_branch_is_zero():
    """Eight blocks of the middle flow are identities when their last norm has scale and bias 0."""
    model = models.create("xception(width=0.01)", num_classes=3)
    x = jax.random.normal(family.KEY, (1, 40, 40, 3))
    variables = family.numbers(model, x)
    for block in range(1, 9):
        norm = variables["params"][f"stage2_block{block}"]["conv3"]["norm"]
        norm |= {"scale": norm["scale"] * 0, "bias": norm["bias"] * 0}
    _, state = jax.jit(lambda v, x: model.apply(v, x, capture_intermediates=True, mutable=["intermediates"]))(
        variables, x
    )
    before, after = (
        state["intermediates"][name]["__call__"][0] for name in ("stage1_block3", "stage2_block8")
    )
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("googlenet(aux_logits=1)", "aux_logits=1: expected True or False"),
        ("googlenet(kernel_size=4)", "kernel_size=4: expected an odd number"),
        ("googlenet(aux_dropout=1)", "aux_dropout=1: expected at least 0 and below 1"),
        ("inception_v3(width='a')", "width='a': expected a number above 0"),
        ("xception(conv='sep')", "conv='sep' is unknown; did you mean separable"),
        ("densenet(stem='vit')", "stem='vit' is unknown"),
        ("densenet121(bottleneck=0)", "bottleneck=0: expected 1 or more"),
    ],
)
def test_wrong_arguments_are_named(text, message):
    family.assert_refused(text, message)
