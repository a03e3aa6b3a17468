"""Networks against their published sizes, against torch, and as a step of training finds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn
from tests.models import family
from tests.models.family import KEY, count, numbers


def cifar_count(depth, w, channels=3, classes=10, projection=False):
    """Section 4.2 of the paper, written out: convolutions, the norm behind each, the dense layer."""
    n = (depth - 2) // 6
    convs = 9 * channels * w + 9 * w * w * (2 * n + 2 + 4 * (2 * n - 1) + 8 + 16 * (2 * n - 1))
    norms = 2 * w * (1 + 2 * n * (1 + 2 + 4))
    shortcuts = (2 * w * w + 2 * 2 * w) + (8 * w * w + 2 * 4 * w) if projection else 0
    return convs + norms + shortcuts + 4 * w * classes + classes


@pytest.mark.parametrize(
    ("text", "shape", "parameters"),
    [
        ("lenet5", (1, 32, 32, 1), 61_706),
        ("lenet5", (1, 28, 28, 1), 61_706),
        ("lenet5", (1, 8, 8, 1), 61_706),
        ("resnet20", (1, 32, 32, 3), 269_722),
        ("resnet20(shortcut='projection')", (1, 32, 32, 3), 272_474),
        ("resnet32", (1, 32, 32, 3), 464_154),
        ("resnet44", (1, 32, 32, 3), 658_586),
        ("resnet56", (1, 32, 32, 3), 853_018),
        ("resnet110", (1, 32, 32, 3), 1_727_962),
        ("mlp(hidden=[300, 100])", (1, 28, 28, 1), 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10),
    ],
)
def test_parameters_are_those_published(text, shape, parameters):
    assert count(text, shape, num_classes=10) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's, on 1,000 classes
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
        ("resnext50_32x4d", 25_028_904),
        ("resnext101_32x8d", 88_791_336),
        ("resnext101_64x4d", 83_455_272),
        ("wide_resnet50_2", 68_883_240),
        ("wide_resnet101_2", 126_886_696),
        ("mobilenet_v2", 3_504_872),
        ("convnext_tiny", 28_589_128),
        ("convnext_small", 50_223_688),
        ("convnext_base", 88_591_464),
        ("convnext_large", 197_767_336),
    ],
)
def test_parameters_for_photographs_are_those_published(name, parameters):
    assert count(name, (1, 224, 224, 3)) == parameters


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize(
    ("depth", "w", "channels", "classes"), [(8, 16, 1, 10), (14, 5, 3, 7), (20, 32, 3, 100)]
)
def test_residual_networks_follow_the_paper_at_every_width(depth, w, channels, classes, projection):
    shortcut = "projection" if projection else "pad"
    text = f"resnet_cifar(depth={depth}, num_filters={w}, shortcut={shortcut!r})"
    assert count(text, (1, 16, 16, channels), num_classes=classes) == cifar_count(
        depth, w, channels, classes, projection
    )


def test_shapes_need_no_memory():
    """A network of 72 billion numbers, whose first kernel alone would not fit this machine."""
    assert count("resnet20(num_filters=8192)", (1, 32, 32, 3)) == cifar_count(20, 8192)


OPTIONS = [
    "mlp(hidden=[8, 8], dropout=0.1, activation='gelu')",
    "lenet5",
    "resnet8(num_filters=4)",
    "resnet8(num_filters=4, norm='group', activation='silu', shortcut='projection', head='flatten')",
    "resnet8(num_filters=4, norm='none', zero_init=True, drop_path=0.2)",
]


@pytest.mark.parametrize("text", OPTIONS)
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, (8, 8, 8, 1))


@pytest.mark.parametrize("text", OPTIONS)
def test_half_precision_computes_in_it_and_keeps_parameters_and_logits(text):
    family.assert_half_precision(text, (2, 8, 8, 1))


@pytest.mark.parametrize("text", ["lenet5", "resnet8(num_filters=4)"])
def test_one_set_of_parameters_fits_every_size(text):
    family.assert_any_size(text, [(2, 8, 8, 1), (2, 13, 9, 1), (2, 40, 33, 1), (1, 1, 1, 1)])


@pytest.mark.parametrize("spatial", [(16,), (8, 8), (4, 6, 8)])
def test_residual_networks_take_one_to_three_axes(spatial):
    model = models.create("resnet8(num_filters=4)", num_classes=5)
    x = jax.ShapeDtypeStruct((2, *spatial, 2), jnp.float32)
    assert jax.eval_shape(model.init_with_output, KEY, x)[0].shape == (2, 5)


def test_every_pixel_matters_to_the_pooled_network():
    model = models.create("resnet8(num_filters=4, norm='layer')", num_classes=3)
    x = jax.random.normal(KEY, (1, 9, 7, 2))
    variables = numbers(model, x)
    gradient = jax.jit(jax.grad(lambda x: model.apply(variables, x)[0, 0]))(x)
    assert bool((gradient != 0).all())


def test_blocks_of_one_network_drop_different_examples_more_often_the_deeper_they_are():
    model = models.create("resnet_cifar(depth=14, num_filters=2, drop_path=0.6)", num_classes=3)
    x = jax.random.normal(KEY, (400, 4, 4, 1))
    variables = numbers(model, x)

    @jax.jit
    def dropped(key):
        _, state = model.apply(
            variables,
            x,
            train=True,
            rngs={"dropout": key},
            capture_intermediates=lambda module, _: module.name == "drop_path",
            mutable=["intermediates", "batch_stats"],
        )
        outputs = [
            state["intermediates"][f"stage{s}_block{b}"]["drop_path"]["__call__"][0]
            for s in (1, 2, 3)
            for b in (1, 2)
        ]
        return jnp.stack([(y == 0).all(axis=(1, 2, 3)) for y in outputs])

    masks = np.asarray(dropped(KEY))
    expected = 0.6 * np.arange(1, 7) / 6
    assert np.all(np.abs(masks.mean(axis=1) - expected) < 4 * np.sqrt(expected * (1 - expected) / 400))
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    agreement = np.corrcoef(masks.astype(float))
    assert np.abs(agreement - np.eye(6)).max() < 0.25
    assert not np.array_equal(masks, dropped(jax.random.key(1)))


def test_the_resnet_is_torchs(torch):
    """The same weights in a network written with torch.nn give the same logits."""
    F = torch.nn.functional
    model = models.create("resnet8(num_filters=4)", num_classes=3)
    x = np.random.default_rng(0).normal(size=(2, 10, 9, 3)).astype(np.float32)
    variables = numbers(model, x)
    params, stats = jax.tree.map(
        lambda leaf: torch.tensor(np.asarray(leaf)), (variables["params"], variables["batch_stats"])
    )

    def conv_norm(x, params, stats, stride=1):
        x = F.conv2d(x, params["conv"]["kernel"].permute(3, 2, 0, 1), stride=stride, padding=1)
        norm = params["norm"]
        return F.batch_norm(
            x, stats["norm"]["mean"], stats["norm"]["var"], norm["scale"], norm["bias"], eps=1e-5
        )

    y = F.relu(conv_norm(torch.tensor(x).permute(0, 3, 1, 2), params["stem"], stats["stem"]))
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        p, s = (tree[f"stage{stage}_block1"] for tree in (params, stats))
        branch = F.relu(conv_norm(y, p["conv1"], s["conv1"], stride))
        branch = conv_norm(branch, p["conv2"], s["conv2"])
        past = F.avg_pool2d(y, 1, stride)
        past = torch.cat(
            [past, torch.zeros(past.shape[0], branch.shape[1] - past.shape[1], *past.shape[2:])], 1
        )
        y = F.relu(branch + past)
    head = params["head"]["dense"]
    expected = y.mean((2, 3)) @ head["kernel"] + head["bias"]
    found = jax.jit(model.apply)(variables, jnp.asarray(x))
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5)


@pytest.mark.parametrize("size", [32, 28, 9])
def test_lenet_is_torchs(torch, size):
    F = torch.nn.functional
    model = models.create("lenet5", num_classes=10)
    x = np.random.default_rng(0).normal(size=(2, size, size, 1)).astype(np.float32)
    variables = numbers(model, x, low=-0.1)
    params = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), variables["params"])

    def conv(x, layer):
        return torch.tanh(F.conv2d(x, layer["kernel"].permute(3, 2, 0, 1), layer["bias"]))

    low = (32 - size) // 2
    y = F.pad(torch.tensor(x).permute(0, 3, 1, 2), (low, 32 - size - low, low, 32 - size - low))
    y = F.avg_pool2d(conv(y, params["c1"]), 2)
    y = F.avg_pool2d(conv(y, params["c3"]), 2)
    # C5 as the fully connected layer that it is on 32 pixels
    y = torch.tanh(
        y.permute(0, 2, 3, 1).flatten(1) @ params["c5"]["kernel"].flatten(0, 2) + params["c5"]["bias"]
    )
    y = torch.tanh(y @ params["f6"]["kernel"] + params["f6"]["bias"])
    expected = y @ params["head"]["dense"]["kernel"] + params["head"]["dense"]["bias"]
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["c1", "c3"])
def test_lenet_starts_with_variance_one_over_fan_in(name):
    kernel = jax.jit(models.create("lenet5").init)(KEY, jnp.ones((1, 32, 32, 1)))["params"][name]["kernel"]
    fan_in = np.prod(kernel.shape[:-1])
    assert float(kernel.var() * fan_in) == pytest.approx(1, abs=6 * np.sqrt(2 / kernel.size))


def test_residual_convolutions_start_he_normal_by_fan_out():
    x = jnp.ones((1, 4, 4, 32))
    for features in (32, 64):
        kernel = jax.jit(nn.ConvNorm(features).init)(KEY, x)["params"]["conv"]["kernel"]
        assert float(kernel.var() * 9 * features / 2) == pytest.approx(1, abs=6 * np.sqrt(2 / kernel.size))
