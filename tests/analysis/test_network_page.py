"""The page of a network: its parts in order, what is framed, and that it stands alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.analysis import layers, network_page
from jaxcnn.analysis.describing import traced


def drawn(model, sizes):
    """Random variables, without compiling the network's own initializers."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *sizes)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.01, 0.2, leaf.shape), leaf.dtype), shapes)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("matplotlib")
    model, sizes = models.create("lenet5"), (28, 28, 1)
    path = tmp_path_factory.mktemp("page") / "lenet5.html"
    image = np.random.default_rng(1).integers(0, 256, sizes).astype(np.uint8)
    network_page.write(
        str(path), "lenet5 <on> noise", traced("lenet5", sizes), model, drawn(model, sizes), image
    )
    return path.read_text()


def test_the_page_stands_alone(page):
    assert "lenet5 &lt;on&gt; noise" in page
    assert not re.search(r'(src|href)=(?!"data:|"#)', page)
    assert "61,706" in page


def test_each_map_is_shown_with_its_fields(page):
    assert re.findall(r"<code>(\w+)</code><small>(sees [^<]*)", page) == [
        ("c1", "sees 5 pixels, every 1"),
        ("s2", "sees 6 pixels, every 2"),
        ("c3", "sees 14 pixels, every 2"),
        ("s4", "sees 16 pixels, every 4"),
    ]
    assert len(re.findall(r"<svg", page)) == 3 * 4  # shifts, turns and mirrors of each


def test_the_parts_of_a_deep_network_are_spread_over_it():
    model = models.create("resnet20(num_filters=2)")
    x = jnp.zeros((1, 16, 16, 3))
    variables = drawn(model, (16, 16, 3))
    names, maps = layers.stages(model, variables, x, most=4)
    assert names == ["stem", "stage1_block3", "stage2_block3", "stage3_block3"]
    assert jax.eval_shape(maps, variables, x)["stage3_block3"].shape == (1, 4, 4, 8)


def test_a_network_without_positions_has_a_page_too(tmp_path):
    pytest.importorskip("matplotlib")
    model, sizes = models.create("mlp(hidden=[4])"), (6, 6, 1)
    path = tmp_path / "mlp.html"
    image = np.zeros(sizes, np.uint8)
    network_page.write(str(path), "mlp", traced("mlp(hidden=[4])", sizes), model, drawn(model, sizes), image)
    assert "Layers" in path.read_text()
    assert "Receptive fields, theoretical" not in path.read_text()


def test_what_is_not_seen_is_dark():
    framed = network_page._framed(np.full((6, 6), 200, np.uint8), [(1, 2), (3, 5)])
    assert framed.shape == (6, 6, 3)
    assert (framed[1:3, 3:6] == 200).all()
    assert (framed == 200).sum() == 2 * 3 * 3
    assert not (network_page._framed(np.full((6, 6), 200, np.uint8), [None, (0, 5)]) == 200).any()
