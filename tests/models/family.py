"""What every family of networks is held to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import models
from jaxcnn.errors import UserError

KEY = jax.random.key(0)


def spec(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def count(text, shape, dtype=jnp.float32, **kwargs):
    """Learned numbers, from shapes alone."""
    variables = jax.eval_shape(models.create(text, **kwargs).init, KEY, spec(shape, dtype))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def assert_refused(text, message):
    """A call string is refused in one line that holds ``message``."""
    with pytest.raises(UserError) as error:
        models.create(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def numbers(model, x, low=0.1):
    """Variables drawn at random, which spares compiling the model's own initialization."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, KEY, x)
    return jax.tree.map(lambda leaf: rng.uniform(low, 0.6, leaf.shape).astype(np.float32), shapes)


def assert_learns(text, shape, *, tokens=None, rate=0.02, loss_of=None, dtype="float32"):
    """A step of gradient descent on a fixed batch lowers its loss, and leaves every number finite."""
    model = models.create(text, num_classes=5, dtype=dtype)
    x = jax.random.normal(KEY, shape) if tokens is None else jax.random.randint(KEY, shape, 0, tokens)

    @jax.jit
    def start(key, x):
        """Variables and labels: of the logits, only their shape is looked at, so they are not computed."""
        logits, variables = model.init_with_output(key, x)
        places = logits.shape[:-1]
        return variables, jnp.arange(np.prod(places)).reshape(places) % 5

    variables, y = start(KEY, x)
    loss_of = loss_of or optax.softmax_cross_entropy_with_integer_labels

    def loss(params, rest):
        logits, rest = model.apply(
            {"params": params, **rest}, x, train=True, mutable=["batch_stats"], rngs={"dropout": KEY}
        )
        return loss_of(logits, y).mean(), rest

    @jax.jit
    def step(params, rest):
        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(params, rest)
        return value, jax.tree.map(lambda p, g: p - rate * g, params, gradients), rest

    rest = {name: tree for name, tree in variables.items() if name != "params"}
    before, params, rest = step(variables["params"], rest)
    after, params, _ = step(params, rest)
    assert after < before
    assert all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))


def assert_half_precision(text, shape, *, dtype=jnp.float32, exact=("head",)):
    """Every part but ``exact`` computes in bfloat16; parameters and logits are float32."""
    model = models.create(text, num_classes=5, dtype="bfloat16")
    start = functools.partial(model.init_with_output, capture_intermediates=True, mutable=True)
    logits, variables = jax.eval_shape(start, KEY, spec(shape, dtype))
    intermediates = variables.pop("intermediates")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert logits.dtype == jnp.float32
    parts = {name: tree for name, tree in intermediates.items() if name not in ("__call__", *exact)}
    found = {leaf.dtype for tree in parts.values() for leaf in jax.tree.leaves(tree["__call__"])}
    assert found == {jnp.dtype("bfloat16")}


def assert_any_size(text, shapes, *, dense=False):
    """One set of parameters for inputs of all these shapes; logits at every place where ``dense``."""
    model = models.create(text, num_classes=5)
    found = [jax.eval_shape(model.init_with_output, KEY, spec(shape)) for shape in shapes]
    assert all(tree == found[0][1] for _, tree in found)
    for shape, (logits, _) in zip(shapes, found, strict=True):
        assert logits.shape == ((*shape[:-1], 5) if dense else (shape[0], 5))
    # what has been made for another size is taken as it is
    assert jax.eval_shape(model.apply, found[0][1], spec(shapes[-1])).shape == found[-1][0].shape
