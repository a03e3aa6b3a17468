"""The layer table, the first kernel and the feature maps of a network, on its page and on that of a run."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import models, nn
from jaxcnn.analysis import describing, layers, page, trace

KEY = jax.random.key(0)


def cells(found, most=None):
    """The rows of the table, of its cells the texts."""
    text = page.document("t", layers.layer_table(found, most))
    rows = re.findall(r"<tr>(.*?)</tr>", text, flags=re.DOTALL)
    return text, [re.sub(r"<[^>]*>", "|", row).strip("|") for row in rows]


def test_the_table_has_every_layer_and_the_totals():
    text, rows = cells(describing.traced("lenet5", (32, 32, 1)))
    names = ["c1", "s2", "c3", "s4", "c5", "f6", "head/pool", "head/dense", "total"]
    assert [re.split(r"\|+", row)[0] for row in rows[1:]] == names
    assert re.split(r"\|+", rows[-1])[:3] == ["total", "61,706", "417 k"]
    assert "<details" not in text


def test_a_long_table_is_folded_and_what_is_unknown_says_so():
    found = trace(lambda w, x: jnp.linalg.qr(x @ w)[0], jnp.ones((4, 4)), jnp.ones((1, 4, 4)))
    text, rows = cells(found, most=1)
    assert f"All {len(found.layers)} layers" in text
    assert "|?" in rows[-1]


def numbers(model, shape):
    """Variables of a model: random, and positive so that variances are."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, KEY, jnp.ones((1, *shape)))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), shapes)


def traced(model, shape):
    return trace(functools.partial(model.apply, train=False), numbers(model, shape), jnp.ones((1, *shape)))


def test_the_first_kernel_is_the_first_convolutions():
    model, flat = models.create("resnet8(num_filters=4)"), models.create("mlp(hidden=[2])")
    variables = numbers(model, (8, 8, 3))
    name, kernel = layers.first_kernel(variables, traced(model, (8, 8, 3)))
    assert name == "stem/conv"
    np.testing.assert_array_equal(kernel, variables["params"]["stem"]["conv"]["kernel"])
    assert layers.first_kernel(numbers(flat, (8, 8, 3)), traced(flat, (8, 8, 3))) is None


def test_feature_maps_are_the_outputs_of_the_parts_in_order():
    model, x = models.create("resnet8(num_filters=4)"), jax.random.normal(KEY, (8, 8, 1))
    variables = numbers(model, x.shape)
    maps = layers.feature_maps(model, variables, x)
    assert {name: y.shape for name, y in maps.items()} == {
        "stem": (8, 8, 4),
        "stage1_block1": (8, 8, 4),
        "stage2_block1": (4, 4, 8),
        "stage3_block1": (2, 2, 16),
    }
    assert list(maps) == ["stem", "stage1_block1", "stage2_block1", "stage3_block1"]
    mine = {name: variables[name]["stem"] for name in ("params", "batch_stats")}
    stem = jax.jit(nn.ConvNorm(4).apply)(mine, x[None])
    np.testing.assert_allclose(maps["stem"], stem[0], rtol=1e-5, atol=1e-6)


def test_of_many_parts_the_first_the_last_and_some_between_are_shown():
    model, x = models.create("lenet5"), jnp.ones((40, 40, 1))
    assert list(layers.feature_maps(model, numbers(model, x.shape), x, most=3)) == ["c1", "c3", "f6"]


def test_a_network_without_maps_has_none():
    model, x = models.create("mlp(hidden=[2])"), jnp.ones((8, 8, 1))
    assert layers.feature_maps(model, numbers(model, x.shape), x) == {}
