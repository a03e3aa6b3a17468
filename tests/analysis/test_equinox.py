"""A network of Equinox, layer by layer, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import pytest

from jaxcnn.analysis import trace

eqx = pytest.importorskip("equinox")
IMAGE = jax.ShapeDtypeStruct((3, 32, 32), jnp.float32)  # channels first, as Equinox has them


class Network(eqx.Module):
    """Two convolutions, pooling, a dilated grouped and a transposed convolution, a norm, a dense layer."""

    layers: list
    norm: eqx.nn.BatchNorm
    drop: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 5)
        self.layers = [
            eqx.nn.Conv2d(3, 8, 3, padding=1, key=keys[0]),
            eqx.nn.Conv2d(8, 16, 3, stride=2, padding=1, use_bias=False, key=keys[1]),
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4, key=keys[2]),
            eqx.nn.ConvTranspose2d(16, 4, 2, stride=2, key=keys[3]),
        ]
        self.norm = eqx.nn.BatchNorm(4, axis_name="batch", mode="batch")
        self.drop = eqx.nn.Dropout(0.5)
        self.head = eqx.nn.Linear(4, 5, key=keys[4])

    def __call__(self, x, state, key=None):
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        x, state = self.norm(x, state)
        return self.head(self.drop(x, key=key).mean((1, 2))), state


# name, output, parameters, multiply-accumulates, (pixels seen, jump, start)
LAYERS = [
    ("layers/0", (8, 32, 32), 8 * 27 + 8, 32 * 32 * 8 * 27, (3, 1, -1)),
    ("layers/1", (16, 16, 16), 16 * 72, 16 * 16 * 16 * 72, (5, 2, -2)),
    (None, (16, 8, 8), 0, 0, (7, 4, -2)),
    # two steps of two maps' pixels at either side: 7 + 4 · 4
    ("layers/3", (16, 8, 8), 16 * 4 * 9 + 16, 8 * 8 * 16 * 4 * 9, (23, 4, -10)),
    # each pixel makes 2 × 2 that see what it sees
    ("layers/4", (4, 16, 16), 16 * 4 * 4 + 4, 8 * 8 * 16 * 4 * 4, (23, 2, -10)),
]


@pytest.fixture
def built():
    return eqx.filter_eval_shape(eqx.nn.make_with_state(Network), jax.random.key(0))


def check(found, axes, examples=1):
    for layer, (name, output, parameters, macs, seen) in zip(found.layers, LAYERS, strict=False):
        assert name in (layer.name, None)
        assert layer.output[-3:] == output
        assert (layer.parameters, layer.macs) == (parameters, examples * macs)
        for axis in axes:
            field = layer.fields[axis]
            assert (field.size, field.jump, field.start) == seen
    head = found["head"]
    assert (head.dense, head.parameters, head.macs) == (True, 4 * 5 + 5, examples * 4 * 5)
    assert all(head.fields[axis].whole for axis in axes)
    assert not any(layer.unknown for layer in found.layers)
    # scale and shift of the norm are learned
    assert found.parameters == sum(layer[2] for layer in LAYERS) + 2 * 4 + 25
    assert found.macs == examples * (sum(layer[3] for layer in LAYERS) + 20)
    assert not found.unused


def test_a_network_for_one_image(built):
    network, state = built
    network = eqx.nn.inference_mode(network)
    found = trace(lambda network, x: network(x, state_of(state))[0], network, IMAGE, spatial=(1, 2))
    check(found, (1, 2))


def state_of(state):
    """Zeros in place of the shapes of running statistics."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)


def test_a_batch_in_training(built):
    """The norm takes its statistics over the mapped axis; every layer is known through it."""
    network, state = built

    def run(network, x):
        keys = jax.random.split(jax.random.key(1), len(x))
        mapped = jax.vmap(network, axis_name="batch", in_axes=(0, None, 0), out_axes=(0, None))
        return mapped(x, state_of(state), keys)[0]

    images = jax.ShapeDtypeStruct((2, *IMAGE.shape), jnp.float32)
    found = trace(run, network, images, spatial=(2, 3))
    check(found, (2, 3), examples=2)
    assert found["norm"].parameters == 8
    assert all(field.whole for field in found["norm"].fields)  # of the other examples too


def test_a_network_that_is_the_function():
    network = eqx.nn.Sequential([eqx.nn.Conv1d(2, 3, 4, key=jax.random.key(0)), eqx.nn.Lambda(jax.nn.relu)])
    found = trace(network, jax.ShapeDtypeStruct((2, 9), jnp.float32), spatial=(1,))
    assert [(layer.output, layer.parameters, layer.macs) for layer in found.layers[:1]] == [
        ((3, 6), 3 * 2 * 4 + 3, 6 * 3 * 2 * 4)
    ]
    assert found.outputs[0].fields[1].size == 4


def test_words_see_themselves():
    words = jax.ShapeDtypeStruct((7,), jnp.int32)
    embedding = eqx.filter_eval_shape(eqx.nn.Embedding, 50, 8, key=jax.random.key(0))
    found = trace(lambda embedding, words: jax.vmap(embedding)(words), embedding, words, spatial=(0,))
    (field,) = found.outputs[0].fields
    assert (field.size, field.jump, field.start) == (1, 1, 0)
    assert (found.parameters, found.macs) == (400, 0)
