"""Images of mixed sizes in one batch against each of them alone."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, nn, ops
from jaxcnn.models import masking
from jaxcnn.models.network import Network

KEY = jax.random.key(0)


def canvas(sizes, shape, channels=3):
    """Images of these sizes in the low corner, NaN outside, and the mask."""
    rng = np.random.default_rng(0)
    x = np.full((len(sizes), *shape, channels), np.nan, np.float32)
    mask = np.zeros((len(sizes), *shape), bool)
    for i, size in enumerate(sizes):
        inside = (i, *(slice(pixels) for pixels in size))
        x[inside] = rng.standard_normal((*size, channels))
        mask[inside] = True
    return x, mask


def numbers(model, x):
    """Variables drawn at random, no scale 1, no statistics as they start."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, KEY, jnp.asarray(x))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.6, leaf.shape).astype(np.float32), shapes)


def assert_alone(model, x, mask, *, first=0, traced=True):
    """Each image's answer in the batch is its answer alone; maps are compared where there is image."""
    variables = numbers(model, x)
    if "params" in variables:
        variables["params"] = jax.tree.map(lambda leaf: (leaf - 0.3) * 0.7, variables["params"])
    jitted = jax.jit(model.apply)
    batch = jitted(variables, x, mask=mask) if traced else model.apply(variables, x, mask=mask)
    for i in range(first, len(x)):
        inside = tuple(slice(ends.max() + 1) for ends in np.nonzero(mask[i]))
        alone = np.asarray(jitted(variables, x[(slice(i, i + 1), *inside)]))[0]
        found = np.asarray(batch[i])[tuple(slice(pixels) for pixels in alone.shape)]
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())
        assert np.isfinite(alone).all()
        assert np.abs(alone).max() > 0


FAMILIES = {
    "alexnet(num_filters=[2, 3, 4, 4, 4], hidden=[5])": (80, 75),
    "all_cnn_c(num_filters=[4, 6])": (24, 19),
    "convnext(stages=[1, 1, 1], num_filters=[4, 6, 8], layer_scale=1.0)": (40, 35),
    "densenet(stages=[1, 2], growth_rate=3, num_filters=6)": (37, 40),
    "efficientnet(stages=[[True, 1, 3, 1, 8, 1], [True, 4, 3, 2, 16, 1], [False, 4, 5, 2, 16, 2]], last=8)": (
        37,
        30,
    ),
    "fcn(stages=[1, 1, 1], num_filters=4, aux_logits=True)": (40, 35),
    "googlenet(width=0.05)": (40, 37),
    "inception_v3(width=0.02)": (83, 80),
    "lenet5": (41, 38),
    "mobilenet_v1(width=0.25, stages=[[32, 1], [32, 2, 2]])": (22, 29),
    "mobilenet_v2(width=0.25, setting=[[1, 16, 1, 1], [3, 16, 2, 2]])": (22, 29),
    "mobilenet_v3(width=0.5, stages=[[[3, 16, 16, True, True, 2]]], hidden=16)": (22, 29),
    "resnet(stages=[1, 1], block='bottleneck', num_filters=4, shortcut='average')": (31, 26),
    "resnet(stages=[1, 1], num_filters=4, gate='se', stem='deep')": (31, 26),
    "resnet(stages=[1, 1], num_filters=4, order='pre', norm='group', drop_path=0.1)": (31, 26),
    "resnet8(num_filters=4, norm='instance')": (15, 18),
    "resnet8(num_filters=4, norm='none', conv='deform')": (15, 18),
    "shufflenet_v2(stages=[2], num_filters=[8, 16, 32])": (30, 27),
    "unet(num_filters=2, levels=3)": (15, 18),
    "vgg(stages=[1, 1], num_filters=2, hidden=[4])": (28, 30),
    "xception(width=0.01)": (40, 37),
}


@pytest.mark.parametrize("text", FAMILIES)
def test_a_padded_image_is_answered_as_it_is_alone(text):
    shape = FAMILIES[text]
    sizes = [shape, tuple(size - 3 - axis for axis, size in enumerate(shape))]
    x, mask = canvas(sizes, shape, channels=1 if text == "lenet5" else 3)
    assert_alone(models.create(text, num_classes=5), x, mask, first=1)


@pytest.mark.parametrize(("text", "size"), [("resnet8(num_filters=4)", (16,)), ("r3d", (6, 20, 18))])
def test_other_numbers_of_axes(text, size):
    options = {} if text != "r3d" else {"stages": (1, 1), "num_filters": 4}
    model = models.create(text, num_classes=5, **options)
    sizes = [size, tuple(pixels - 1 - axis for axis, pixels in enumerate(size))]
    x, mask = canvas(sizes, size)
    assert_alone(model, x, mask, first=1)


@pytest.mark.parametrize(
    "text",
    [
        "textcnn(num_filters=4, widths=[2, 5])",
        "textcnn(num_filters=4, widths=[2, 5], vocabulary=20, embedding=6, norm='batch')",
        "tcn(num_filters=[4, 4])",
        "tcn(num_filters=[4, 4], head='pooled')",
        "tcn(num_filters=[4, 4], head='dense')",
    ],
)
@pytest.mark.parametrize("traced", [True, False])
def test_sentences_of_mixed_lengths(text, traced):
    """One of them shorter than the widest convolution."""
    x, mask = canvas([(11,), (7,), (3,)], (11,))
    if "vocabulary" in text:
        x = np.where(mask, np.arange(33).reshape(3, 11) % 20, 10**6)
    assert_alone(models.create(text, num_classes=5), x, mask, first=1, traced=traced)


def test_auxiliary_scores_are_those_of_each_image_alone():
    """On this canvas a map is as large as what an auxiliary head makes of every size, 4×4."""
    model = models.create("googlenet(width=0.05, aux_logits=True)", num_classes=3)
    x, mask = canvas([(70, 65), (60, 43)], (70, 65))
    variables = numbers(model, x)

    @jax.jit
    def apply(variables, x, mask=None):
        logits, found = model.apply(variables, x, mask=mask, intermediates=["aux1", "aux2"])
        return {"logits": logits} | found

    both, alone = apply(variables, x, mask), apply(variables, x[1:, :60, :43])
    for name in ("logits", "aux1", "aux2"):
        np.testing.assert_allclose(both[name][1], alone[name][0], rtol=1e-4)


class Inner(linen.Module):
    """Pools the map to a size that it has already."""

    @linen.compact
    def __call__(self, x):
        return nn.AdaptiveAvgPool((6, 4))(x)


def test_a_map_whose_sizes_are_not_known_any_more_is_refused():
    said = refused(lambda: lambda x, train: Inner()(x), [(6, 4), (5, 4)], (6, 4))
    assert said == "mask, at Inner_0: images have different sizes in two maps of (6, 4) positions"


class One(Network):
    """A network of one layer."""

    make: object = None

    @linen.nowrap
    def forward(self, x, train):
        return self.make()(x, train=train)


LAYERS = {
    "valid": lambda: nn.Conv(4, 3, strides=2, padding="VALID"),
    "same": lambda: nn.Conv(4, (4, 3), padding="SAME", dilation=2),
    "causal": lambda: nn.Conv(4, 3, strides=2, padding="CAUSAL"),
    "full": lambda: nn.Conv(4, (4, 3), strides=(1, 3), padding="FULL"),
    "uneven": lambda: nn.Conv(4, 3, strides=2, padding=((0, 1), (1, 0))),
    "depthwise": lambda: nn.DepthwiseConv(3, strides=2, padding=1),
    "separable": lambda: nn.SeparableConv(4, 3, padding=1),
    "spatially separable": lambda: nn.SpatiallySeparableConv(4, 3, padding=1, strides=2),
    "flattened": lambda: nn.FlattenedConv(4, 3, padding=1),
    "standardized": lambda: nn.StandardizedConv(4, 3, padding=1),
    "tiled": lambda: nn.TiledConv(4, 3, padding=1),
    "deform": lambda: nn.DeformConv(4, 3, padding=1, strides=2),
    "transposed": lambda: nn.ConvTranspose(4, 3, strides=2, padding=1, output_padding=1),
    "transposed same": lambda: nn.ConvTranspose(4, 3, strides=2),
    "max": lambda: nn.MaxPool(3, strides=2, padding=1),
    "max ceil": lambda: nn.MaxPool(2, strides=2, ceil_mode=True),
    "average": lambda: nn.AvgPool(3, strides=2, padding=1),
    "average of what is": lambda: nn.AvgPool(
        3, strides=2, padding=1, ceil_mode=True, count_include_pad=False
    ),
    "lp": lambda: nn.LpPool(3, strides=2, padding=1),
    "gaussian": lambda: nn.GaussianPool(3, strides=2, padding=1),
    "weighted": lambda: nn.WeightedPool(3, strides=2, padding=1),
    "stochastic": lambda: nn.StochasticPool(3, strides=2, padding=1),
    "blur": lambda: nn.BlurPool(padding=1),
    "global max": lambda: nn.GlobalMaxPool(),
    "adaptive average": lambda: nn.AdaptiveAvgPool((4, 12)),
    "adaptive max to one": lambda: nn.AdaptiveMaxPool((1, 1)),
    "adaptive maximum": lambda: nn.AdaptiveMaxPool((3, 7)),
    "global average, kept": lambda: nn.GlobalAvgPool(keepdims=True),
    "layer": lambda: nn.LayerNorm(),
    "gate": lambda: nn.SqueezeExcite(reduced=2),
    "cbam": lambda: nn.CBAM(reduced=2, kernel_size=(3, 4)),
    "coordinate": lambda: nn.CoordinateAttention(reduced=2),
    "pointwise": lambda: nn.PointwiseConv(4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_leave_out_what_is_no_image(name):
    sizes = [(9, 8), (6, 8), (5, 7)]
    x, mask = canvas(sizes, (9, 8))
    if name == "stochastic":
        x = np.abs(x)  # what it weighs by
    assert_alone(One(LAYERS[name]), x, mask, traced=False)


def test_statistics_of_a_batch_are_those_of_real_pixels():
    sizes = [(6, 5), (3, 5), (2, 2)]
    x, mask = canvas(sizes, (6, 5))
    model = One(lambda: nn.BatchNorm(unbiased=True))
    variables = model.init(KEY, jnp.zeros_like(x))
    y, state = model.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])
    pixels = x[mask].astype(np.float64)
    (found,) = state["batch_stats"].values()
    np.testing.assert_allclose(found["mean"], 0.1 * pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * pixels.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(y)[mask], (pixels - pixels.mean(0)) / np.sqrt(pixels.var(0) + 1e-5), rtol=1e-4, atol=1e-5
    )


def test_gradients_see_no_pixel_outside():
    sizes = [(9, 8), (6, 7)]
    x, mask = canvas(sizes, (9, 8))
    model = models.create("resnet(stages=[1, 1], num_filters=4)", num_classes=3)
    variables = numbers(model, x)

    @jax.jit
    def gradients(params, x):
        def loss(params, x):
            logits, _ = model.apply(
                variables | {"params": params}, x, train=True, mask=mask, mutable=["batch_stats"]
            )
            return jnp.sum(logits**2)

        return jax.grad(loss, argnums=(0, 1))(params, x)

    of_params, of_x = gradients(variables["params"], x)
    assert all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(of_params))
    assert (np.abs(of_x).sum(-1) > 0).tolist() == mask.tolist()


SMALLER = np.array([[7, 8], [3, 4]])


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: nn.AdaptiveAvgPool((9, 8)), SMALLER),
        (lambda: nn.AdaptiveMaxPool((9, 8)), SMALLER),
        (lambda: nn.AdaptiveMaxPool(1), SMALLER),
        (lambda: nn.Resize((9, 8)), (SMALLER, SMALLER)),
    ],
    ids=["average", "maximum", "maximum to one", "resize"],
)
def test_sizes_that_a_layer_is_given_come_before_those_of_the_images(make, sizes):
    x, mask = canvas([(9, 8), (6, 5)], (9, 8))
    model = One(lambda: lambda x, train: make()(x, sizes=sizes))
    np.testing.assert_array_equal(model.apply({}, x, mask=mask), make().apply({}, x, sizes=sizes))


def refused(make, sizes, shape=(9, 8)):
    x, mask = canvas(sizes, shape)
    model = make if isinstance(make, Network) else One(make)
    with pytest.raises(ValueError, match=r"^mask, at ") as error:
        jax.eval_shape(lambda x: model.init_with_output(KEY, x, mask=mask), x)
    return str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Conv(4, 3, padding="CIRCULAR"), "padding='CIRCULAR' continues the canvas, not the image"),
        (lambda: nn.Conv(4, 3, padding="REFLECT"), "padding='REFLECT' continues"),
        (lambda: nn.Conv(4, 3, strides=2), "padding='SAME' with strides 2 pads 6 pixels otherwise"),
        (lambda: nn.BlurPool(), "padding='REFLECT' continues"),
        (lambda: nn.AvgPool(2, ceil_mode=True), "ceil_mode with count_include_pad"),
        (lambda: nn.LayerNorm(axis=(1, 2, 3)), "takes statistics over positions"),
        (lambda: nn.Resize((18, 16)), "images have no known size in a map of (18, 16) positions"),
        (lambda: nn.FlattenHead(3), "FlattenHead reads every position"),
        (lambda: nn.Conv(4, 7, padding="VALID"), "an image of 6 pixels on axis 0 is too small for it"),
        (models.create("mlp(hidden=[4])"), "at dense1: a dense layer over a flattened map"),
        (models.create("lenet5"), "an image of 6 pixels on an axis; expected 32 or more"),
    ],
)
def test_what_cannot_leave_it_out_says_so(make, said):
    assert said in refused(make, [(9, 8), (6, 8)])


def test_masks_are_rectangles_in_the_low_corner():
    model = One(lambda: nn.Conv(4, 3))
    x = np.zeros((1, 4, 4, 1), np.float32)
    for wrong in (np.ones((1, 4), bool), [[True] * 4]):
        with pytest.raises(ValueError, match=r"mask has shape \(1, 4\): expected \(1, 4, 4\)"):
            model.init(KEY, x, mask=wrong)
    for holes in ((0, 0, 0), (0, 3, 3), (0, 1, slice(None))):
        mask = np.ones((1, 4, 4), bool)
        mask[holes] = False
        with pytest.raises(ValueError, match="expected a rectangle in the low corner"):
            model.init(KEY, x, mask=mask)


def test_every_layer_is_known_to_leave_it_out_or_refuses():
    leaves = [
        kind
        for kind in (getattr(nn, name) for name in nn.__all__)
        if masking._call.dispatch(kind) is masking._call.dispatch(object) and kind not in masking.ALIKE
    ]
    made_of_others = {
        "BasicBlock",
        "BottleneckBlock",
        "ConvNorm",
        "DenseHead",
        "FCNHead",
        "FullyConnectedHead",
        "InvertedResidual",
        "PooledHead",
        "ResidualBlock",
    }
    assert {kind.__name__ for kind in leaves} == made_of_others


def test_intermediates_are_what_modules_return():
    model = models.create("resnet8(num_filters=4)", num_classes=3)
    x = jax.random.normal(KEY, (2, 8, 8, 3))
    variables = numbers(model, x)
    logits, found = model.apply(variables, x, intermediates=["stem", "stage2_block1/conv*", "head"])
    assert set(found) == {
        "stem",
        "head",
        *(f"stage2_block1/conv{i}{part}" for i in (1, 2) for part in ("", "/conv", "/norm")),
    }
    np.testing.assert_array_equal(found["head"], logits)
    kernel = variables["params"]["stem"]["conv"]["kernel"]
    by_hand = ops.conv(x, kernel, padding=1)
    norm, stats = variables["params"]["stem"]["norm"], variables["batch_stats"]["stem"]["norm"]
    by_hand = ops.batch_norm(by_hand, norm["scale"], norm["bias"], stats["mean"], stats["var"])
    np.testing.assert_allclose(found["stem"], by_hand, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.apply(variables, x), logits)


def test_intermediates_that_are_not_there_say_so():
    model = models.create("resnet8(num_filters=4)", num_classes=3)
    with pytest.raises(ValueError, match=r"'stage2_block2' is no module; did you mean stage2_block1"):
        jax.eval_shape(
            lambda x: model.init_with_output(KEY, x, intermediates="stage2_block2"), jnp.ones((1, 8, 8, 3))
        )
