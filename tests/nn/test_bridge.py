"""Every module as a part of a plain Linen model, and as an NNX module through ``flax.nnx.bridge.ToNNX``.

Compiling is what costs, so one program for each module computes it alone, in Linen and in NNX.
"""

import functools

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxcnn import nn
from tests.catalogue import BATCH, CATALOGUE, Layer, image

BLOCKS = [
    Layer("ConvNorm", lambda x: x, nn.ConvNorm(4), image(6, 6, 3)),
    Layer("BasicBlock", lambda x: x, nn.BasicBlock(4, strides=2), image(6, 6, 3)),
    Layer("BottleneckBlock", lambda x: x, nn.BottleneckBlock(2, drop_path=0.4), image(6, 6, 3)),
    Layer("InvertedResidual", lambda x: x, nn.InvertedResidual(3, 6, squeeze=2), image(6, 6, 3)),
    Layer("DenseHead", lambda x: x, nn.DenseHead(5), image(3, 2)),
    Layer("FCNHead", lambda x: x, nn.FCNHead(5), image(4, 4, 8)),
    Layer("LastHead", lambda x: x, nn.LastHead(5), image(4, 2)),
    Layer("PooledHead", lambda x: x, nn.PooledHead(5), image(6, 6, 3)),
    Layer("FlattenHead", lambda x: x, nn.FlattenHead(5), image(3, 3, 2)),
    Layer("FullyConnectedHead", lambda x: x, nn.FullyConnectedHead(5, 2, hidden=(4,)), image(5, 4, 2)),
]
ABSTRACT = {"ResidualBlock"}
MODULES = {layer.name: layer for layer in [*CATALOGUE, *BLOCKS] if layer.module is not None}
MODES = {"evaluation": False, "training": True}
KINDS = {"params": nnx.Param, "batch_stats": nnx.BatchStat}

every_module = pytest.mark.parametrize("name", MODULES)
every_mode = pytest.mark.parametrize("mode", MODES)


class Model(linen.Module):
    """Any module between two of Flax's own."""

    part: linen.Module

    @linen.compact
    def __call__(self, x, *args, train=False):
        x = linen.Dense(x.shape[-1], use_bias=False, name="before")(x)
        return linen.Dense(2, use_bias=False, name="after")(self.part(x, *args, train=train))


@functools.cache
def inputs(shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal((BATCH, *shape)), jnp.float32)


def drawn(shapes, seed):
    """Variables of these shapes, none of them at a special value."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.2, 0.8, leaf.shape), leaf.dtype), shapes)


def owned(model):
    """An NNX module's variables by Linen's collections."""
    found = {name: nnx.to_pure_dict(nnx.state(model, kind)) for name, kind in KINDS.items()}
    return {name: tree for name, tree in found.items() if tree}


def own(model, variables):
    for name, tree in variables.items():
        state = nnx.state(model, KINDS[name])
        nnx.replace_by_pure_dict(state, tree)
        nnx.update(model, state)


@functools.cache
def seen(name):
    """What the module does alone, in Linen and in NNX, with the same variables and keys."""
    layer = MODULES[name]
    x, args, module, model = inputs(layer.inputs), layer.args(BATCH), layer.module, Model(layer.module)
    key = jax.random.key(0)
    variables = drawn(jax.eval_shape(module.init, key, x, *args), 1)
    model_variables = drawn(jax.eval_shape(model.init, key, x, *args), 2)

    def apply(module, variables, x, train=False, rngs=None):
        return module.apply(variables, x, *args, train=train, mutable=["batch_stats"], rngs=rngs)

    def by_nnx(variables, x, train):
        bridged = nnx.bridge.ToNNX(module, rngs=nnx.Rngs(0)).lazy_init(x, *args)
        own(bridged, variables)
        y = bridged(x, *args, train=train, mutable=["batch_stats"], rngs=nnx.Rngs(dropout=3))
        return y, owned(bridged)

    def by_hand(variables, x):
        dense = variables["params"]
        middle = x @ dense["before"]["kernel"]
        part = {collection: tree["part"] for collection, tree in variables.items() if "part" in tree}
        y, updated = apply(module, part, middle)
        return y @ dense["after"]["kernel"], {name: {"part": tree} for name, tree in updated.items()}

    @jax.jit
    def program(x, variables, model_variables):
        y = {"linen": apply(model, model_variables, x), "linen by hand": by_hand(model_variables, x)}
        for mode, train in MODES.items():
            rngs = {"dropout": nnx.Rngs(dropout=3).dropout()}  # NNX hands Linen a key of its stream
            output, updated = apply(module, variables, x, train, rngs)
            y[f"alone, {mode}"] = output, {**variables, **updated}
            y[f"nnx, {mode}"] = by_nnx(variables, x, train)
        return y

    return program(x, variables, model_variables)


def assert_same(ours, expected):
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)


@every_module
def test_a_linen_model_can_hold_it(name):
    """Its variables lie under its name, and it does with them what it does alone."""
    assert_same(seen(name)["linen"], seen(name)["linen by hand"])


@every_module
@every_mode
def test_nnx_can_hold_it(name, mode):
    """It owns the same variables, computes the same, draws the same and keeps the same averages."""
    assert_same(seen(name)[f"nnx, {mode}"], seen(name)[f"alone, {mode}"])


def test_nnx_trains_them():
    """In a network of one's own, with NNX's jit, gradients and optimizer."""

    class Network(nnx.Module):
        def __init__(self, x, rngs):
            self.conv = nnx.bridge.ToNNX(nn.Conv(8, 3), rngs=rngs).lazy_init(x)
            self.norm = nnx.bridge.ToNNX(nn.BatchNorm(), rngs=rngs).lazy_init(self.conv(x))
            self.drop = nnx.bridge.ToNNX(nn.Dropout(0.1), rngs=rngs)
            self.head = nnx.bridge.ToNNX(nn.PooledHead(BATCH), rngs=rngs).lazy_init(self.conv(x))

        def __call__(self, x, train):
            x = self.norm(self.conv(x), train=train, mutable=["batch_stats"] if train else False)
            return self.head(self.drop(jax.nn.relu(x), train=train))

    x, label = inputs((6, 6, 3)), jnp.arange(BATCH)
    model = Network(x, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(x, True), label).mean()

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return value

    losses = [float(step(model, optimizer)) for _ in range(40)]
    assert losses[-1] < losses[0] / 2
    assert np.abs(model.norm.mean[...]).min() > 0
    assert model(x, False).argmax(-1).tolist() == label.tolist()


def test_every_module_is_here():
    modules = {name for name in nn.__all__ if issubclass(getattr(nn, name), linen.Module)}
    assert modules - ABSTRACT == {type(layer.module).__name__ for layer in MODULES.values()}
