"""Optimizers step as torch's do; schedules meet their corner points."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.engine import optim
from jaxcnn.errors import UserError

RNG = np.random.default_rng(0)
START = RNG.normal(size=(4, 3)).astype(np.float32)
GRADS = RNG.normal(size=(6, 4, 3)).astype(np.float32)


def ours(call, steps=6, **numbers):
    optimizer = optim.make_optimizer(call, optax.constant_schedule(1.0), **numbers)
    params = {"kernel": jnp.asarray(START)}
    state = optimizer.init(params)
    for grad in GRADS[:steps]:
        updates, state = optimizer.update({"kernel": jnp.asarray(grad)}, state, params)
        params = optax.apply_updates(params, updates)
    return np.asarray(params["kernel"])


def torchs(make):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = make(torch.optim, [weight])
    for grad in GRADS:
        weight.grad = torch.from_numpy(grad.copy())
        optimizer.step()
    return weight.detach().numpy()


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_torchs(nesterov):
    expected = torchs(lambda o, w: o.SGD(w, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov))
    actual = ours(f"sgd(nesterov={nesterov})", learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_adamw_is_torchs():
    expected = torchs(lambda o, w: o.AdamW(w, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1, eps=1e-6))
    actual = ours("adamw(b2=0.95, eps=1e-6)", learning_rate=0.01, momentum=0.8, weight_decay=0.1)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_numbers_may_be_traced():
    numbers = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    traced = jax.jit(lambda n: _params_after(n))(numbers)
    np.testing.assert_allclose(traced, ours("sgd", **numbers), rtol=1e-6)


def _params_after(numbers):
    optimizer = optim.make_optimizer("sgd", optax.constant_schedule(1.0), **numbers)
    params = {"kernel": jnp.asarray(START)}
    state = optimizer.init(params)
    for grad in GRADS:
        updates, state = optimizer.update({"kernel": jnp.asarray(grad)}, state, params)
        params = optax.apply_updates(params, updates)
    return params["kernel"]


def test_vectors_biases_and_scales_do_not_decay():
    params = {
        "conv": {"kernel": jnp.ones((3, 3, 1, 1)), "bias": jnp.ones((2, 2))},
        "bn": {"scale": jnp.ones(2)},
    }
    assert optim.decayed(params) == {"conv": {"kernel": True, "bias": False}, "bn": {"scale": False}}


def test_clipping_bounds_the_global_norm():
    clipped = ours("sgd", steps=1, learning_rate=1.0, momentum=0.0, clip_norm=0.5)
    assert np.linalg.norm(clipped - START) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(("name", "middle"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_schedules_rise_peak_and_end(name, middle):
    schedule = optim.make_schedule(name, steps=120, warmup=1 / 6)
    assert float(schedule(20)) == pytest.approx(1.0)
    assert float(schedule(70)) == pytest.approx(middle, abs=1e-6)
    assert float(schedule(120)) == pytest.approx(1.0 if name == "constant" else 0.0, abs=1e-6)
    rise = [float(schedule(t)) for t in range(21)]
    assert rise == sorted(rise)
    assert rise[0] == pytest.approx(1 / 21)


@pytest.mark.parametrize("steps", [1, 2])
def test_schedules_of_very_short_runs(steps):
    assert 0 < float(optim.make_schedule("cosine", steps, 0.9)(0)) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("sdg", "--optimizer=sdg: no such optimizer; did you mean sgd?"),
        ("sgd(nestrov=True)", "sgd has no option 'nestrov'; did you mean nesterov?"),
        ("sgd(nesterov='yes')", "nesterov='yes': expected True or False"),
        ("adamw(b2=2.0)", "--optimizer=adamw(b2=2.0): b2=2.0: expected at least 0 and below 1"),
        ("adamw(eps=0.0)", "eps=0.0: expected above 0"),
        ("sgd(True)", "name the options, e.g. sgd(nesterov=...)"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(call, message):
    with pytest.raises(UserError) as caught:
        optim.make_optimizer(call, optax.constant_schedule(1.0), learning_rate=0.1)
    assert message in str(caught.value)


def test_unknown_schedules_too():
    with pytest.raises(UserError, match=r"--schedule=cosin: no such schedule; did you mean cosine\?"):
        optim.make_schedule("cosin", 10, 0.1)
