"""Capsules: groups of units whose vector says how a thing is; routing finds the parts that agree."""

from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcnn.ops import check

_SHARPENING = 0.95  # of EM routing: λ_t = λ (1 − 0.95^(t + 1)), as the paper's authors give it


class Routed(NamedTuple):
    """What routing found.

    Attributes:
      capsules: vectors of the capsules above, shape (*batch, out, d).
      couplings: how much of each capsule below goes to each above, shape (*batch, in, out); they sum to 1
        over the last axis.
    """

    capsules: Float[Array, "*batch out d"]
    couplings: Float[Array, "*batch in out"]


class EMRouted(NamedTuple):
    """What EM routing found.

    Attributes:
      poses: means of the capsules above, shape (*batch, out, d).
      activations: probabilities that they are present, shape (*batch, out).
      couplings: probabilities that each capsule below belongs to each above, shape (*batch, in, out); they
        sum to 1 over the last axis.
    """

    poses: Float[Array, "*batch out d"]
    activations: Float[Array, "*batch out"]
    couplings: Float[Array, "*batch in out"]


def squash(s: Float[Array, "*batch d"], *, axis: int = -1) -> Float[Array, "*batch d"]:
    """Shorten vectors to a length below 1: v = |s|² / (1 + |s|²) · s / |s|.

    Args:
      s: vectors.
      axis: along which they lie.

    Returns:
      Vectors of the same directions, shape and dtype of s, float32 for integers; 0 stays 0, with gradient 0.

    Example:
      >>> squash(jnp.array([1.0, 0.0]))
      Array([0.5, 0. ], dtype=float32)

    Paper: Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", 2017, arXiv:1710.09829.
    """
    s = check.floats(s)
    wide = s.astype(jnp.promote_types(s.dtype, jnp.float32))
    square = jnp.sum(wide * wide, axis=axis, keepdims=True)
    return (wide * (_length(square) / (1 + square))).astype(s.dtype)


def capsule_lengths(capsules: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Lengths of vectors: how likely it is that what each capsule stands for is there.

    Args:
      capsules: vectors, shape (*batch, d).

    Returns:
      Lengths, shape (*batch), dtype of the capsules, float32 for integers; the gradient at 0 is 0.

    Example:
      >>> capsule_lengths(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
      Array([5., 0.], dtype=float32)
    """
    capsules = check.floats(capsules)
    wide = capsules.astype(jnp.promote_types(capsules.dtype, jnp.float32))
    return _length(jnp.sum(wide * wide, axis=-1)).astype(capsules.dtype)


def _length(square: Array) -> Array:
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def primary_capsules(x: Float[Array, "n *spatial c"], dim: int) -> Float[Array, "n capsules dim"]:
    """Read feature maps as capsules: every ``dim`` neighbouring channels of a position are a squashed vector.

    Args:
      x: values, shape (n, *spatial, c), as from a convolution.
      dim: length of a capsule's vector; divides c.

    Returns:
      Capsules, shape (n, Π spatial · c / dim, dim), position by position.

    Raises:
      TypeError, ValueError: dim is not an int that divides the channels.

    Example:
      >>> primary_capsules(jnp.ones((2, 3, 3, 8)), 4).shape
      (2, 18, 4)

    Paper: Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", 2017, arXiv:1710.09829.
    """
    x = check.image(x)
    check.divides("dim", dim, "channels of x", x.shape[-1])
    return squash(x.reshape(x.shape[0], prod(x.shape[1:]) // dim, dim))


def capsule_votes(
    capsules: Float[Array, "*batch in d"], kernel: Float[Array, "in out d e"]
) -> Float[Array, "*batch in out e"]:
    """What each capsule below predicts for each above: vote_ij = u_i · W_ij.

    Args:
      capsules: vectors below, shape (*batch, in, d).
      kernel: shape (in, out, d, e).

    Returns:
      Votes, shape (*batch, in, out, e).

    Raises:
      ValueError: the capsules are no matrix, or the kernel does not fit them.

    Example:
      >>> capsule_votes(jnp.ones((1, 2, 3)), jnp.ones((2, 5, 3, 4))).shape
      (1, 2, 5, 4)
    """
    capsules, kernel = jnp.asarray(capsules), jnp.asarray(kernel)
    if capsules.ndim < 2:
        raise ValueError(f"capsules have shape {capsules.shape}: expected (*batch, in, d)")
    if kernel.ndim != 4 or kernel.shape[0] != capsules.shape[-2] or kernel.shape[2] != capsules.shape[-1]:
        raise ValueError(
            f"kernel has shape {kernel.shape}: expected (in, out, d, e) for capsules (*batch, in, d) of "
            f"shape {capsules.shape}"
        )
    return jnp.einsum("...id,ijde->...ije", capsules, kernel)


def dynamic_routing(votes: Float[Array, "*batch in out d"], iterations: int = 3) -> Routed:
    """Routing by agreement.

    From b = 0, ``iterations`` times: c_ij = softmax over j of b_ij; v_j = squash(Σ_i c_ij vote_ij);
    b_ij += vote_ij · v_j. One iteration is an average over the capsules below. Gradients flow through all
    iterations.

    Args:
      votes: predictions of each capsule below for each above, shape (*batch, in, out, d).
      iterations: 1 or more.

    Returns:
      ``Routed(capsules, couplings)``: v and the last c, computed in float32, v in the votes' dtype, float32
      for integers.

    Raises:
      TypeError, ValueError: votes have fewer than three axes, or iterations is not a positive int.

    Example:
      Two of three vote alike for the first capsule, and it takes more of them than of the third:

      >>> votes = jnp.array([[[9.0, 0], [0, 1]], [[9.0, 0], [0, -1]], [[-9.0, 0], [1, 0]]])
      >>> capsules, couplings = dynamic_routing(votes)
      >>> bool((couplings[:2, 0] > 0.9).all()), bool(couplings[2, 0] < 0.1)
      (True, True)

    Paper: Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", 2017, arXiv:1710.09829.
    """
    votes, iterations = _votes(votes, iterations)
    dtype = votes.dtype
    votes = votes.astype(jnp.promote_types(dtype, jnp.float32))
    logits = jnp.zeros(votes.shape[:-1], votes.dtype)
    for iteration in range(iterations):
        couplings = jax.nn.softmax(logits, axis=-1)
        capsules = squash(jnp.einsum("...ij,...ijd->...jd", couplings, votes))
        if iteration < iterations - 1:
            logits = logits + jnp.einsum("...ijd,...jd->...ij", votes, capsules)
    return Routed(capsules.astype(dtype), couplings)


def margin_loss(
    lengths: Float[Array, "*batch classes"],
    labels: Int[Array, "*batch"],
    *,
    present: float = 0.9,
    absent: float = 0.1,
    down_weight: float = 0.5,
) -> Float[Array, "*batch"]:
    """How far lengths of class capsules are from long for the label and short for all others.

    L = max(0, present − |v_label|)² + down_weight · Σ_{k ≠ label} max(0, |v_k| − absent)².

    Args:
      lengths: of the capsules, shape (*batch, classes), between 0 and 1.
      labels: shape (*batch).
      present: the length from which on a capsule of the label costs nothing, m⁺.
      absent: the length up to which any other costs nothing, m⁻.
      down_weight: of the others, λ, which keeps the start of training from shrinking all capsules.

    Returns:
      A loss for each example, shape (*batch), in float32.

    Raises:
      ValueError: labels have not the shape of the batch.

    Example:
      >>> margin_loss(jnp.array([0.9, 0.1, 0.3]), jnp.array(0)).round(3)
      Array(0.02, dtype=float32)

    Paper: Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", 2017, arXiv:1710.09829.
    """
    lengths = check.vectors(check.floats(lengths))
    labels = check.shape(labels, lengths.shape[:-1], "labels")
    lengths = lengths.astype(jnp.promote_types(lengths.dtype, jnp.float32))
    mine = jax.nn.one_hot(labels, lengths.shape[-1], dtype=lengths.dtype)
    short = jnp.maximum(present - lengths, 0) ** 2
    long = jnp.maximum(lengths - absent, 0) ** 2
    return jnp.sum(mine * short + down_weight * (1 - mine) * long, axis=-1)


def em_routing(
    votes: Float[Array, "*batch in out d"],
    activations: Float[Array, "*batch in"],
    beta_activate: Float[Array, " out"],
    beta_use: Float[Array, " out"],
    *,
    iterations: int = 3,
    inverse_temperature: float = 0.01,
    epsilon: float = 1e-6,
) -> EMRouted:
    """Routing by expectation-maximisation: capsules above are Gaussians that explain the votes.

    With r_ij = c_ij a_i, the M step: μ_j and σ_j² are the r-weighted mean and variance of the votes,
    dimension by dimension; the cost of j is Σ_i r_ij · Σ_h (β_use + log σ_jh), and a_j = logistic(λ_t
    (β_activate − cost)). The E step: c_ij ∝ a_j · N(vote_ij; μ_j, σ_j²), over j. λ grows over the iterations,
    λ_t = λ (1 − 0.95^(t + 1)).

    Args:
      votes: predictions of each capsule below for each above, shape (*batch, in, out, d); a pose matrix is
        flattened.
      activations: probabilities that the capsules below are present, shape (*batch, in).
      beta_activate: benefit of activating a capsule, shape (out,).
      beta_use: cost of describing one dimension of one vote, shape (out,).
      iterations: 1 or more; each is an M step, with an E step between two.
      inverse_temperature: λ.
      epsilon: added to variances.

    Returns:
      ``EMRouted(poses, activations, couplings)``, computed in float32, poses and activations in the votes'
      dtype, float32 for integers.

    Raises:
      TypeError, ValueError: shapes do not agree, or iterations is not a positive int.

    Example:
      >>> votes = jnp.array([[[9.0, 0], [0, 1]], [[9.1, 0], [0, -1]], [[-9.0, 0], [1, 0]]])
      >>> routed = em_routing(votes, jnp.ones(3), jnp.zeros(2), jnp.zeros(2))
      >>> routed.poses.shape, routed.activations.shape, bool((routed.couplings[:2, 0] > 0.5).all())
      ((2, 2), (2,), True)

    Paper: Hinton, Sabour and Frosst, "Matrix Capsules with EM Routing", 2018.
    """
    votes, iterations = _votes(votes, iterations)
    activations, beta_activate, beta_use = map(jnp.asarray, (activations, beta_activate, beta_use))
    out = votes.shape[-2:-1]
    for name, value, shape in (
        ("activations", activations, votes.shape[:-2]),
        ("beta_activate", beta_activate, out),
        ("beta_use", beta_use, out),
    ):
        if value.shape != shape:
            raise ValueError(
                f"{name} has shape {value.shape}: expected {shape} for votes of shape {votes.shape}"
            )
    dtype = votes.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    votes, below = votes.astype(wide), activations.astype(wide)[..., None]
    batch = (1,) * (votes.ndim - 3)
    beta_activate, beta_use = (each.astype(wide).reshape(*batch, -1) for each in (beta_activate, beta_use))
    couplings = jnp.full(votes.shape[:-1], 1 / out[0], wide)
    for iteration in range(iterations):
        used = couplings * below
        total = used.sum(-2) + epsilon
        shares = (used / total[..., None, :])[..., None]
        mean = (shares * votes).sum(-3)
        square = jnp.square(votes - mean[..., None, :, :])
        var = (shares * square).sum(-3) + epsilon
        cost = (beta_use[..., None] + 0.5 * jnp.log(var)).sum(-1) * total
        sharpness = inverse_temperature * (1 - _SHARPENING ** (iteration + 1))
        logits = sharpness * (beta_activate - cost)
        if iteration < iterations - 1:
            log_density = -0.5 * (square / var[..., None, :, :] + jnp.log(var)[..., None, :, :]).sum(-1)
            couplings = jax.nn.softmax(jax.nn.log_sigmoid(logits)[..., None, :] + log_density, axis=-1)
    return EMRouted(mean.astype(dtype), jax.nn.sigmoid(logits).astype(dtype), couplings)


def _votes(votes: Array, iterations: int) -> tuple[Array, int]:
    votes = check.floats(votes)
    if votes.ndim < 3:
        raise ValueError(f"votes have shape {votes.shape}: expected (*batch, in, out, d)")
    return votes, check.whole("iterations", iterations)
