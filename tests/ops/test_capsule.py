"""Routing against plain NumPy in float64, and what agreement must do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops

rng = np.random.default_rng(0)
VOTES = rng.standard_normal((2, 5, 3, 4))
PRESENT = rng.uniform(0.1, 0.9, (2, 5))
ITERATIONS = [1, 2, 3]


def numpy_squash(s):
    square = (s**2).sum(-1, keepdims=True)
    return square / (1 + square) * s / np.sqrt(square)


def numpy_softmax(b):
    e = np.exp(b - b.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_squash_keeps_directions_and_bounds_lengths():
    s = rng.standard_normal((7, 4)) * 10.0 ** rng.uniform(-3, 3, (7, 1))
    v = np.asarray(ops.squash(jnp.asarray(s, jnp.float32)))
    np.testing.assert_allclose(v, numpy_squash(s), rtol=1e-5)
    assert (np.linalg.norm(v, axis=-1) <= 1).all()
    np.testing.assert_array_equal(ops.squash(jnp.asarray(s.T, jnp.float32), axis=0), v.T)
    np.testing.assert_array_equal(jax.grad(lambda s: ops.squash(s).sum())(jnp.zeros(3)), jnp.zeros(3))


@pytest.mark.parametrize("iterations", ITERATIONS)
def test_dynamic_routing_by_its_definition(iterations):
    logits = np.zeros(VOTES.shape[:-1])
    for _ in range(iterations):
        couplings = numpy_softmax(logits)
        capsules = numpy_squash((couplings[..., None] * VOTES).sum(1))
        logits = logits + (VOTES * capsules[:, None]).sum(-1)
    routed = jax.jit(ops.dynamic_routing, static_argnums=1)(jnp.asarray(VOTES, jnp.float32), iterations)
    np.testing.assert_allclose(routed.capsules, capsules, atol=1e-5)
    np.testing.assert_allclose(routed.couplings, couplings, atol=1e-5)
    np.testing.assert_allclose(routed.couplings.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("iterations", ITERATIONS)
def test_em_routing_by_its_definition(iterations):
    beta_activate, beta_use, temperature = rng.standard_normal(3), rng.standard_normal(3), 0.3
    couplings = np.full(VOTES.shape[:-1], 1 / 3)
    for t in range(iterations):
        used = couplings * PRESENT[..., None]
        total = used.sum(1)
        mean = (used[..., None] * VOTES).sum(1) / total[..., None]
        var = (used[..., None] * (VOTES - mean[:, None]) ** 2).sum(1) / total[..., None]
        cost = ((beta_use[:, None] + np.log(np.sqrt(var))) * total[..., None]).sum(-1)
        active = 1 / (1 + np.exp(-temperature * (1 - 0.95 ** (t + 1)) * (beta_activate - cost)))
        if t < iterations - 1:
            density = np.exp(-((VOTES - mean[:, None]) ** 2) / (2 * var[:, None])) / np.sqrt(
                2 * np.pi * var[:, None]
            )
            joint = active[:, None] * density.prod(-1)
            couplings = joint / joint.sum(-1, keepdims=True)
    routed = jax.jit(
        lambda v, a: ops.em_routing(
            v,
            a,
            jnp.asarray(beta_activate, jnp.float32),
            jnp.asarray(beta_use, jnp.float32),
            iterations=iterations,
            inverse_temperature=temperature,
        )
    )(jnp.asarray(VOTES, jnp.float32), jnp.asarray(PRESENT, jnp.float32))
    np.testing.assert_allclose(routed.poses, mean, atol=1e-3)
    np.testing.assert_allclose(routed.activations, active, atol=1e-4)
    np.testing.assert_allclose(routed.couplings, couplings, atol=1e-3)
    np.testing.assert_allclose(routed.couplings.sum(-1), 1, atol=1e-5)


def agreeing_votes():
    """Six capsules below of which five agree about the first capsule above; about the second all disagree."""
    votes = np.empty((6, 2, 3))
    votes[:, 1] = 2 * np.concatenate([np.eye(3), -np.eye(3)])
    votes[:5, 0] = [2.0, -1.0, 0.5] + 0.01 * rng.standard_normal((5, 3))
    votes[5, 0] = [-3.0, 3.0, 3.0]
    return jnp.asarray(votes, jnp.float32)


def test_agreement_attracts_and_outliers_are_left_out():
    votes = agreeing_votes()
    once, thrice = (ops.dynamic_routing(votes, iterations) for iterations in (1, 3))
    assert (thrice.couplings[:5, 0] > once.couplings[:5, 0]).all()
    assert thrice.couplings[5, 0] < once.couplings[5, 0]
    target = np.array([2.0, -1.0, 0.5])

    def off(v):
        return 1 - np.dot(v, target) / np.linalg.norm(v) / np.linalg.norm(target)

    assert off(thrice.capsules[0]) < off(once.capsules[0])
    em = [
        ops.em_routing(votes, jnp.ones(6), jnp.zeros(2), jnp.zeros(2), iterations=n).poses[0] for n in (1, 3)
    ]
    assert np.linalg.norm(em[1] - target) < 0.1 < np.linalg.norm(em[0] - target)


def test_absent_capsules_do_not_vote():
    votes, present = agreeing_votes(), jnp.array([1.0, 1, 1, 1, 1, 0])
    poses = ops.em_routing(votes, present, jnp.zeros(2), jnp.zeros(2), iterations=1).poses
    np.testing.assert_allclose(poses, votes[:5].mean(0), atol=1e-4)


def test_routing_of_identical_votes_has_finite_gradients():
    votes = jnp.ones((4, 3, 2))

    def loss(votes):
        routed = ops.em_routing(votes, jnp.ones(4), jnp.zeros(3), jnp.zeros(3))
        return routed.poses.sum() + routed.activations.sum() + ops.dynamic_routing(votes).capsules.sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(votes)).all()


def test_primary_capsules_are_neighbouring_channels_of_a_position():
    x = rng.standard_normal((2, 3, 2, 8)).astype(np.float32)
    capsules = ops.primary_capsules(x, 4)
    expected = numpy_squash(x.astype(np.float64).reshape(2, 12, 4))
    np.testing.assert_allclose(capsules, expected, atol=1e-5)


def test_votes_are_matrix_products():
    capsules, kernel = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 5, 4, 2))
    votes = ops.capsule_votes(jnp.asarray(capsules, jnp.float32), jnp.asarray(kernel, jnp.float32))
    for i in range(3):
        for j in range(5):
            np.testing.assert_allclose(votes[:, i, j], capsules[:, i] @ kernel[i, j], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: ops.dynamic_routing(v, 0), "iterations=0: expected 1 or more"),
        (lambda v: ops.dynamic_routing(v[0, 0]), "votes have shape (4, 5): expected (*batch, in, out, d)"),
        (
            lambda v: ops.em_routing(v, jnp.ones(3), *jnp.ones((2, 4))),
            "activations has shape (3,): expected (2, 3)",
        ),
        (
            lambda v: ops.em_routing(v, v[..., 0, 0], *jnp.ones((2, 3))),
            "beta_activate has shape (3,): expected (4,)",
        ),
        (
            lambda v: ops.capsule_votes(v, jnp.ones((3, 2, 5, 1))),
            "kernel has shape (3, 2, 5, 1): expected (in, out",
        ),
        (
            lambda v: ops.margin_loss(v[..., 0], jnp.zeros(2, int)),
            "labels has shape (2,): expected (2, 3)",
        ),
        (lambda v: ops.primary_capsules(v, 3), "dim=3: expected a divisor of the 5 channels"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((2, 3, 4, 5)))


def test_margin_loss_by_its_definition():
    lengths, labels = rng.uniform(0, 1, (6, 4)), rng.integers(0, 4, 6)
    expected = np.zeros(6)
    for example, label in enumerate(labels):
        for k, length in enumerate(lengths[example]):
            expected[example] += max(0, 0.9 - length) ** 2 if k == label else max(0, length - 0.1) ** 2 / 2
    np.testing.assert_allclose(
        ops.margin_loss(jnp.asarray(lengths), jnp.asarray(labels)), expected, rtol=1e-5
    )
