"""Batch normalisation, with statistics that go in and come out."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcnn.ops import check
from jaxcnn.ops.moments import channels, check_rank, moments, normalize, positions

Convention = Literal["flax", "torch"]


class Moments(NamedTuple):
    """Mean and biased variance of each channel, and the number of values behind each."""

    mean: Float[Array, " c"]
    var: Float[Array, " c"]
    n: Float[Array, ""]


def batch_moments(
    x: Float[Array, "n *spatial c"],
    *,
    axis_name: str | Sequence[str] | None = None,
    mask: Bool[Array, " n *spatial"] | None = None,
) -> Moments:
    """Mean and variance of each channel over examples and positions.

    mean = Σ x / N and var = Σ (x − mean)² / N over the N values of a channel: two passes, so a large mean
    does not cancel the variance away.

    Args:
      x: values, shape (n, *spatial, c).
      axis_name: mapped axes of ``jax.shard_map``, ``pmap`` or ``vmap`` whose values count as one batch. Under
        ``jit`` with a batch sharded over a mesh leave it out: the statistics are the whole batch's already.
      mask: shape (n,) or (n, *spatial), True where values count. What is masked may hold anything, NaN
        included.

    Returns:
      ``Moments(mean, var, n)``, mean and var of shape (c,), all at least float32. With no values (an empty
      batch, everything masked) all are 0.

    Raises:
      ValueError: x has no channel axis beside its batch axis, or the mask's shape does not fit.

    Example:
      >>> batch_moments(jnp.array([[1.0], [3.0], [5.0], [7.0]]))
      Moments(mean=Array([4.], dtype=float32), var=Array([5.], dtype=float32), n=Array(4., dtype=float32))
    """
    x = check_rank(x)
    mean, var, n = moments(x, range(x.ndim - 1), mask=positions(mask, x), axis_name=axis_name)
    return Moments(mean.reshape(-1), var.reshape(-1), n.reshape(()))


def batch_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, " c"] | None,
    bias: Float[Array, " c"] | None,
    mean: Float[Array, " c"],
    var: Float[Array, " c"],
    *,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Batch normalisation with the statistics it is given.

    y = scale · (x − mean) / √(var + ε) + bias. In training pass :func:`batch_moments` of x, and keep a
    running average with :func:`update_running`; in evaluation pass the running average.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      mean: shape (c,).
      var: shape (c,).
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x, float32 for integers.

    Raises:
      ValueError: a parameter's or statistic's shape is not (c,), or epsilon is negative.

    Example:
      >>> x = jnp.array([[1.0], [3.0]])
      >>> mean, var, _ = batch_moments(x)
      >>> batch_norm(x, None, None, mean, var).round(2).ravel()
      Array([-1.,  1.], dtype=float32)

    Paper: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
    """
    x = check_rank(x)
    return normalize(x, channels("mean", mean, x), channels("var", var, x), scale, bias, epsilon)


def update_running(
    mean: Float[Array, " c"],
    var: Float[Array, " c"],
    batch: Moments,
    *,
    momentum: float | Float[Array, ""] = 0.9,
    convention: Convention = "flax",
    unbiased: bool = False,
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Running mean and variance after one more batch.

    With m the momentum, ``"flax"``: new = m·old + (1 − m)·batch; ``"torch"``: new = (1 − m)·old + m·batch. So
    0.9 for the one is 0.1 for the other. A batch without values changes nothing.

    Args:
      mean: running mean, shape (c,).
      var: running variance, shape (c,).
      batch: of this batch, from :func:`batch_moments`.
      momentum: m, in [0, 1].
      convention: ``"flax"`` or ``"torch"``.
      unbiased: average var·N/(N − 1), as torch does, rather than the biased variance that normalised the
        batch.

    Returns:
      The new running (mean, var).

    Raises:
      ValueError: the convention is unknown, the momentum is outside [0, 1], or the running arrays have
        another shape than the batch's.

    Example:
      >>> moments = batch_moments(jnp.array([[1.0], [3.0], [5.0], [7.0]]))
      >>> update_running(jnp.zeros(1), jnp.ones(1), moments, momentum=0.5)
      (Array([2.], dtype=float32), Array([3.], dtype=float32))
    """
    if convention not in ("flax", "torch"):
        raise ValueError(f"convention={convention!r}: expected 'flax' (m·old) or 'torch' (m·batch)")
    check.number("momentum", momentum, lambda m: 0 <= m <= 1, "0 to 1")
    mean = check.shape(mean, jnp.shape(batch.mean), "mean")
    var = check.shape(var, jnp.shape(batch.var), "var")
    keep = momentum if convention == "flax" else 1 - momentum
    keep = jnp.where(batch.n > 0, keep, 1.0)
    batch_var = batch.var
    if unbiased:
        batch_var = batch_var * (batch.n / jnp.maximum(batch.n - 1, 1))
    return keep * mean + (1 - keep) * batch.mean, keep * var + (1 - keep) * batch_var
