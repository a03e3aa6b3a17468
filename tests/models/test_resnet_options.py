"""ResNets that dilate, deform, and look through time."""

import jax
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.nn import choices
from tests.models import family

SMALL = "resnet(stages=[1, 2, 1], num_filters=4, stem='cifar', head='dense'"


def apply(text, variables, x, **options):
    return jax.jit(lambda variables, x: models.create(text, num_classes=3).apply(variables, x, **options))(
        variables, x
    )


@pytest.mark.parametrize("options", ["block='basic'", "block='bottleneck'", "order='pre'", "shortcut='pad'"])
@pytest.mark.parametrize("size", [(9, 8), (6, 7)])
def test_dilating_fills_in_what_striding_leaves_out(options, size):
    """At every place that the strided network has, the dilated one has the same logits."""
    x = jax.random.normal(family.KEY, (2, *size, 3))
    strided, dilated = f"{SMALL}, {options})", f"{SMALL}, {options}, output_stride=1)"
    variables = family.numbers(models.create(strided, num_classes=3), x, low=-0.5)
    variables["batch_stats"] = jax.tree.map(abs, variables.get("batch_stats", {}))
    few, many = apply(strided, variables, x), apply(dilated, variables, x)
    assert many.shape == (2, *size, 3)
    np.testing.assert_allclose(many[:, ::4, ::4], few, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("stride", "last"), [(None, (2, 3)), (32, (2, 3)), (16, (4, 5)), (8, (8, 9)), (4, (16, 17))]
)
def test_output_stride_is_that_of_the_last_map(stride, last):
    model = models.create(f"resnet50(num_filters=2, head='dense', output_stride={stride})", num_classes=3)
    y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((1, 61, 66, 3)))
    assert y.shape == (1, *last, 3)


@pytest.mark.parametrize("conv", choices.CONVS)
def test_every_convolution_fits_everywhere(conv):
    """Strided, dilated and 1×1, in one to three dimensions."""
    text = f"resnet(stages=[1, 1, 1], block='bottleneck', num_filters=4, conv={conv!r}, output_stride=8)"
    model = models.create(text, num_classes=3)
    for spatial in [(33,), (17, 20), (9, 10, 8)]:
        y, _ = jax.eval_shape(model.init_with_output, family.KEY, family.spec((2, *spatial, 2)))
        assert y.shape == (2, 3)


def test_a_depthwise_network_has_as_many_groups_as_divide():
    """3 to 4 channels in one, 4 to 8 in four, 4 to 10 in two; 1×1 in one."""
    for channels, features, taps, read in ((3, 4, 3, 3), (4, 8, 3, 1), (4, 10, 3, 2), (4, 8, 1, 4)):
        layer = choices.conv("depthwise")(features, taps)
        params = jax.eval_shape(layer.init, family.KEY, family.spec((1, 6, 5, channels)))["params"]
        assert params["kernel"].shape == (taps, taps, read, features)


def test_a_separable_convolution_has_no_groups():
    with pytest.raises(ValueError, match="conv='separable' has no groups, and 32 are needed"):
        jax.eval_shape(
            models.create("resnext50_32x4d(conv='separable')").init, family.KEY, family.spec((1, 32, 32, 3))
        )


def deformable(kind):
    return f"resnet(stages=[1, 1], num_filters=4, block='bottleneck', stage_convs=['conv', {kind!r}])"


def without_offsets(tree, factor=1.0):
    """The parameters of a plain convolution, ``factor`` times that of each deformable one."""
    if not isinstance(tree, dict):
        return tree
    plain = {name: without_offsets(each, factor) for name, each in tree.items() if name != "offset"}
    return plain | {"kernel": tree["kernel"] * factor} if "offset" in tree else plain


@pytest.mark.parametrize(("kind", "factor"), [("deform_v1", 1.0), ("deform", 0.5)])
def test_a_deformable_network_starts_as_the_plain_one(kind, factor):
    """Offsets start at zero; the modulation of version 2 at ½, which batch normalization then undoes."""
    x = jax.random.normal(family.KEY, (2, 30, 26, 3))
    model, plain = models.create(deformable(kind)), models.create(deformable("conv"))

    @jax.jit
    def run(key):
        variables = model.init(key, x)
        halved = {**variables, "params": without_offsets(variables["params"], factor)}
        whole = {**variables, "params": without_offsets(variables["params"])}
        training = {"train": True, "mutable": ["batch_stats"]}
        return (
            (model.apply(variables, x), plain.apply(halved, x)),
            (model.apply(variables, x, **training)[0], plain.apply(whole, x, **training)[0]),
        )

    evaluation, training = run(family.KEY)
    np.testing.assert_allclose(*evaluation, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*training, rtol=1e-2, atol=1e-3)


def test_the_deformable_resnet_deforms_all_3x3_convolutions_but_those_of_its_first_stage():
    model = models.create("deform_resnet50")
    shapes = jax.eval_shape(model.init, family.KEY, family.spec((1, 224, 224, 3)))["params"]
    found = {
        f"{name}/{conv}"
        for name, block in shapes.items()
        for conv in block
        if "offset" in block[conv].get("conv", {})
    }
    blocks = {2: 4, 3: 6, 4: 3}
    assert found == {f"stage{s}_block{b}/conv2" for s, n in blocks.items() for b in range(1, n + 1)}
    # 18 offsets and 9 masks from a 3×3 convolution over the channels of each
    offsets = sum(n * (9 * 64 * 2 ** (s - 1) * 27 + 27) for s, n in blocks.items())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 25_557_032 + offsets


@pytest.mark.parametrize(
    "text", [deformable("deform"), f"{SMALL}, output_stride=2)", "r3d_18(num_filters=2)"]
)
def test_one_step_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, (2, 4, 18, 16, 1) if "r3d" in text else (4, 18, 16, 1))


def test_parameters_over_time_are_torchvisions():
    assert family.count("r3d_18", (1, 16, 112, 112, 3)) == 33_371_472


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("output_stride=3", "output_stride=3: expected one of [4, 8, 16, 32], or None"),
        ("stage_convs=['deform']", "stage_convs=('deform',): expected one for each of the 4 stages"),
        ("stage_convs=['conv', 'conv', 'conv', 'deforn']", "did you mean deform"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    family.assert_refused(f"resnet50({options})", message)
