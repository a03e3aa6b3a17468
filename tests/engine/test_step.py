"""The step is a pure function of state and batch, with the mathematics it claims."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn.engine import optim, step
from jaxcnn.models import Network


class Small(linen.Module):
    """Dense, batch norm and dropout: everything a state can hold."""

    @linen.compact
    def __call__(self, x, train=False):
        x = x.reshape(x.shape[0], -1)
        x = linen.BatchNorm(use_running_average=not train, momentum=0.9)(linen.Dense(8)(x))
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return linen.Dense(3)(x)


def batch(seed=0, size=6):
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (size, 4, 4, 1)) / 255, jnp.float32),
        "label": jnp.asarray(rng.integers(0, 3, size), jnp.int32),
    }


def make(seed=0, ema_decay=0.9, learning_rate=0.1):
    optimizer = optim.make_optimizer("sgd", optax.constant_schedule(1.0), learning_rate=learning_rate)
    state = step.init_state(Small(), optimizer, seed, (4, 4, 1), ema=ema_decay > 0)
    train_step = step.make_train_step(Small(), optimizer, seed=seed, ema_decay=ema_decay)
    return state, train_step


def leaves(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_same_state_and_batch_same_result():
    state, train_step = make()
    call = jax.jit(train_step)
    assert leaves(call(state, batch())) == leaves(call(state, batch()))


def test_steps_draw_anew():
    """The same batch at another step meets another dropout mask."""
    state, train_step = make(learning_rate=1e-30, ema_decay=0.0)
    call = jax.jit(train_step)
    after, first = call(state, batch())
    _, second = call(after.replace(params=state.params, batch_stats=state.batch_stats), batch())
    assert float(first["loss"].total) != float(second["loss"].total)


def test_seeds_start_apart():
    assert leaves(make(seed=0)[0].params) != leaves(make(seed=1)[0].params)


def test_every_purpose_has_its_own_key():
    found = {
        jax.random.key_data(k).tobytes() for s in (0, 1) for t in (0, 1) for k in step.keys(s, t).values()
    }
    assert len(found) == 12


def test_one_step_is_the_gradient_step():
    """Without momentum, decay or augmentation the step is params - lr * gradient, found by differences."""
    optimizer = optim.make_optimizer(
        "sgd", optax.constant_schedule(1.0), learning_rate=0.1, momentum=0.0, weight_decay=0.0
    )
    model = linen.Dense(3)

    class Flat(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            return model.copy(name="d")(x.reshape(x.shape[0], -1))

    state = step.init_state(Flat(), optimizer, 0, (4, 4, 1))
    data = batch()
    call = step.make_train_step(Flat(), optimizer, seed=0)
    after, _ = jax.jit(call)(state, data)

    x = np.asarray(data["image"], np.float64).reshape(6, -1)
    kernel = np.asarray(state.params["d"]["kernel"], np.float64)
    logits = x @ kernel
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(6), np.asarray(data["label"])] -= 1
    np.testing.assert_allclose(after.params["d"]["kernel"], kernel - 0.1 * x.T @ p / 6, rtol=1e-5, atol=1e-6)


class Headed(Network):
    """Two heads on one layer."""

    auxiliary = {"aux": 0.25}  # noqa: RUF012

    @linen.nowrap
    def forward(self, x, train):
        x = linen.Dense(4, name="body")(x.reshape(x.shape[0], -1))
        linen.Dense(3, name="aux")(x)
        return linen.Dense(3, name="head")(x)


def test_losses_of_auxiliary_logits_count_with_their_weights():
    """The step follows the gradient of the loss and a quarter of the other head's; metrics leave it out."""
    optimizer = optim.make_optimizer(
        "sgd", optax.constant_schedule(1.0), learning_rate=0.1, momentum=0.0, weight_decay=0.0
    )
    state, data = step.init_state(Headed(), optimizer, 0, (4, 4, 1)), batch()
    call = step.make_train_step(Headed(), optimizer, seed=0)
    after, metrics = jax.jit(call)(state, data)

    def losses(params):
        def dense(x, layer):
            return x @ layer["kernel"] + layer["bias"][None]

        x = dense(data["image"].reshape(6, -1), params["body"])
        logits = {name: dense(x, params[name]) for name in ("head", "aux")}
        return {
            name: optax.softmax_cross_entropy_with_integer_labels(value, data["label"]).mean()
            for name, value in logits.items()
        }

    gradient = jax.grad(lambda p: losses(p)["head"] + 0.25 * losses(p)["aux"])(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after.params, expected)
    loss = metrics["loss"]
    np.testing.assert_allclose(loss.total / loss.count, losses(state.params)["head"], rtol=1e-5)


def test_ema_follows_its_closed_form():
    state, train_step = make(ema_decay=0.9)
    call = jax.jit(train_step)
    average = np.asarray(state.params["Dense_1"]["bias"], np.float64)
    for t in range(5):
        state, _ = call(state, batch(t))
        decay = min(0.9, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * np.asarray(state.params["Dense_1"]["bias"], np.float64)
    np.testing.assert_allclose(state.ema["params"]["Dense_1"]["bias"], average, rtol=1e-4, atol=1e-7)
    assert state.variables() is state.ema


def test_without_ema_the_weights_themselves_are_judged():
    state, _ = make(ema_decay=0.0)
    assert state.ema == {}
    assert state.variables()["params"] is state.params


def test_seed_and_numbers_may_be_traced_and_mapped():
    """Two lanes with their own seed and learning rate equal two runs alone."""

    def one(seed, learning_rate):
        state, train_step = make(seed, learning_rate=learning_rate)
        return train_step(train_step(state, batch(0))[0], batch(1))[0].params

    seeds, rates = jnp.array([1, 2]), jnp.array([0.1, 0.3])
    lanes = jax.jit(jax.vmap(one))(seeds, rates)
    for i in range(2):
        alone = jax.jit(one)(seeds[i], rates[i])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), lanes, alone)  # noqa: B023


def test_evaluation_draws_nothing_and_changes_nothing():
    state, _ = make()
    evaluate = jax.jit(step.make_eval_step(Small()))
    data = batch() | {"mask": jnp.array([1, 1, 1, 1, 0, 0], jnp.float32)}
    metrics, probabilities = evaluate(state.variables(), data)
    assert float(metrics["accuracy"].count) == 4
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
    assert leaves(evaluate(state.variables(), data)) == leaves((metrics, probabilities))


def test_many_steps_in_one_call_equal_many_calls():
    state, train_step = make()
    batches = [batch(t) for t in range(4)]
    alone = state
    for data in batches:
        alone, _ = jax.jit(train_step)(alone, data)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *batches)
    together, _ = jax.jit(lambda s, b: jax.lax.scan(train_step, s, b))(state, stacked)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), alone, together)
