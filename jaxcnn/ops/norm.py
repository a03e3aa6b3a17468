"""Normalisation: subtract a mean, divide by a standard deviation, scale and shift per channel.

Which values share one mean and variance is the only difference between the layers. Statistics are computed in
float32 (float64 for float64 inputs) by the two-pass formula, mean of (x − mean)², which is never negative.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcnn.ops import check

Convention = Literal["flax", "torch"]


class Moments(NamedTuple):
    """Mean and biased variance of each channel, and the number of values behind each."""

    mean: Float[Array, "c"]
    var: Float[Array, "c"]
    n: Float[Array, ""]


def batch_moments(
    x: Float[Array, "n *spatial c"],
    *,
    axis_name: str | Sequence[str] | None = None,
    mask: Bool[Array, "n *spatial"] | None = None,
) -> Moments:
    """Mean and variance of each channel over examples and positions.

    mean = Σ x / N and var = Σ (x − mean)² / N over the N values of a channel: two passes, so a large mean
    does not cancel the variance away.

    Args:
      x: values, shape (n, *spatial, c).
      axis_name: mapped axes of ``jax.shard_map``, ``pmap`` or ``vmap`` whose values count as one batch. Under
        ``jit``
        with a batch sharded over a mesh leave it out: the statistics are those of the whole batch already.
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
    _check_rank(x)
    axes = tuple(range(x.ndim - 1))
    mean, var, count = _moments(x, axes, _expand(mask, x), axis_name)
    return Moments(mean.reshape(-1), var.reshape(-1), count.reshape(()))


def batch_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, "c"] | None,
    bias: Float[Array, "c"] | None,
    mean: Float[Array, "c"],
    var: Float[Array, "c"],
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
      Normalised values, shape and dtype of x.

    Raises:
      ValueError: a parameter's or statistic's shape is not (c,).

    Example:
      >>> x = jnp.array([[1.0], [3.0]])
      >>> mean, var, _ = batch_moments(x)
      >>> batch_norm(x, None, None, mean, var).round(2).ravel()
      Array([-1.,  1.], dtype=float32)

    Paper: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
    """
    _check_rank(x)
    for name, value in (("mean", mean), ("var", var)):
        _check_channels(name, value, x)
    return _normalize(x, _row(mean, x), _row(var, x), scale, bias, epsilon)


def update_running(
    mean: Float[Array, "c"],
    var: Float[Array, "c"],
    moments: Moments,
    *,
    momentum: float | Float[Array, ""] = 0.9,
    convention: Convention = "flax",
    unbiased: bool = False,
) -> tuple[Float[Array, "c"], Float[Array, "c"]]:
    """Running mean and variance after one more batch.

    With m the momentum, ``"flax"``: new = m·old + (1 − m)·batch; ``"torch"``: new = (1 − m)·old + m·batch. So
    0.9 for the one is 0.1 for the other. A batch without values changes nothing.

    Args:
      mean: running mean, shape (c,).
      var: running variance, shape (c,).
      moments: of this batch, from :func:`batch_moments`.
      momentum: m, in [0, 1].
      convention: ``"flax"`` or ``"torch"``.
      unbiased: average var·N/(N − 1), as torch does, rather than the biased variance that normalised the
        batch.

    Returns:
      The new running (mean, var).

    Raises:
      ValueError: the convention is unknown, or the momentum is outside [0, 1].

    Example:
      >>> batch = batch_moments(jnp.array([[1.0], [3.0], [5.0], [7.0]]))
      >>> update_running(jnp.zeros(1), jnp.ones(1), batch, momentum=0.5)
      (Array([2.], dtype=float32), Array([3.], dtype=float32))
    """
    if convention not in ("flax", "torch"):
        raise ValueError(f"convention={convention!r}: expected 'flax' (m·old) or 'torch' (m·batch)")
    if isinstance(momentum, int | float) and not 0 <= momentum <= 1:
        raise ValueError(f"momentum={momentum}: expected 0 to 1")
    keep = momentum if convention == "flax" else 1 - momentum
    keep = jnp.where(moments.n > 0, keep, 1.0)
    batch_var = moments.var
    if unbiased:
        batch_var = batch_var * (moments.n / jnp.maximum(moments.n - 1, 1))
    return keep * mean + (1 - keep) * moments.mean, keep * var + (1 - keep) * batch_var


def layer_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, "c"] | None = None,
    bias: Float[Array, "c"] | None = None,
    *,
    axis: int | Sequence[int] = -1,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Layer normalisation: one mean and variance for each example, over the given axes.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over ``axis``. The default,
    channels alone at each position, is what ConvNeXt uses; ``axis=(1, 2, 3)`` takes a whole image, as in the
    paper. Scale and bias are per channel in both, so that the layer does not depend on the size of the image.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      axis: axes that share one mean and variance; not the batch axis.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x.

    Raises:
      ValueError: an axis is out of range, repeated or the batch axis, or a parameter's shape is not (c,).

    Example:
      >>> layer_norm(jnp.array([[1.0, 3.0], [10.0, 30.0]])).round(2)
      Array([[-1.,  1.],
             [-1.,  1.]], dtype=float32)

    Paper: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
    """
    _check_rank(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    positive = tuple(a + x.ndim if a < 0 else a for a in axes)
    if not axes or len(set(positive)) < len(axes) or not all(0 < a < x.ndim for a in positive):
        raise ValueError(f"axis={axis!r}: expected each of the axes 1 to {x.ndim - 1}, or -1, at most once")
    mean, var, _ = _moments(x, positive)
    return _normalize(x, mean, var, scale, bias, epsilon)


def group_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, "c"] | None = None,
    bias: Float[Array, "c"] | None = None,
    *,
    groups: int = 32,
    mask: Bool[Array, "n *spatial"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Group normalisation: one mean and variance for each example and group of neighbouring channels.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over all positions and the c/groups
    channels of a group. One group is layer normalisation over the whole image; c groups are instance
    normalisation.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      groups: number of groups; divides c.
      mask: shape (n,) or (n, *spatial), True where values count towards the statistics; other values are
        taken for zeros.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x.

    Raises:
      ValueError: groups does not divide c, or a parameter's or the mask's shape does not fit.

    Example:
      >>> group_norm(jnp.array([[1.0, 3.0, 10.0, 30.0]]), groups=2).round(2)
      Array([[-1.,  1., -1.,  1.]], dtype=float32)

    Paper: Wu and He, "Group Normalization", 2018, arXiv:1803.08494.
    """
    _check_rank(x)
    channels = x.shape[-1]
    check.divides("groups", groups, "channels", channels)
    mask = _expand(mask, x)
    if mask is not None:
        x = jnp.where(mask, x, 0)

    # Channels are summed first and groups among the few sums: the large array is never reshaped.
    def over_group(per_channel: Array) -> Array:
        grouped = per_channel.reshape(-1, groups, channels // groups).mean(-1)
        return jnp.repeat(grouped, channels // groups, axis=-1).reshape(per_channel.shape)

    axes = tuple(range(1, x.ndim - 1))
    mean, var, _ = _moments(x, axes, mask, share=over_group)
    return _normalize(x, mean, var, scale, bias, epsilon)


def instance_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, "c"] | None = None,
    bias: Float[Array, "c"] | None = None,
    *,
    mask: Bool[Array, "n *spatial"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Instance normalisation: one mean and variance for each example and channel.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over all positions: group
    normalisation with one channel a group. Statistics are the same in training and evaluation.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      mask: shape (n,) or (n, *spatial), True where values count towards the statistics; other values are
        taken for zeros.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x.

    Raises:
      ValueError: a parameter's or the mask's shape does not fit.

    Example:
      >>> instance_norm(jnp.array([[[1.0], [3.0]]])).round(2).ravel()
      Array([-1.,  1.], dtype=float32)

    Paper: Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016, arXiv:1607.08022.
    """
    return group_norm(x, scale, bias, groups=max(x.shape[-1], 1), mask=mask, epsilon=epsilon)


def _moments(x, axes, mask=None, axis_name=None, share=lambda v: v):
    """Mean, biased variance (axes kept) and count over ``axes``; ``share`` averages statistics further."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if mask is not None:
        x = jnp.where(mask, x, 0)  # NaN times the gradient 0 of what is masked would still be NaN

    def total(values):
        values = values if mask is None else jnp.where(mask, values, 0)
        sums = jnp.sum(values, axis=axes, keepdims=True)
        return sums if axis_name is None else jax.lax.psum(sums, axis_name)

    count = total(jnp.ones((*x.shape[:-1], 1), x.dtype)) if mask is not None else _size(x, axes, axis_name)
    divisor = jnp.maximum(count, 1)
    mean = share(total(x) / divisor)
    var = share(total(jnp.square(x - mean)) / divisor)
    return mean, var, count


def _size(x, axes, axis_name):
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    if axis_name is not None:
        count *= jax.lax.axis_size(axis_name)
    return jnp.full((1,) * x.ndim, count, x.dtype)


def _normalize(x, mean, var, scale, bias, epsilon):
    factor = jax.lax.rsqrt(var + epsilon)
    if scale is not None:
        _check_channels("scale", scale, x)
        factor = factor * _row(scale, x)
    y = (x - mean) * factor
    if bias is not None:
        _check_channels("bias", bias, x)
        y = y + _row(bias, x)
    return y.astype(x.dtype)


def _row(values, x):
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


def _expand(mask, x):
    """A mask over examples or positions with the axes of x."""
    if mask is None:
        return None
    if mask.shape not in (x.shape[:1], x.shape[:-1]):
        raise ValueError(
            f"mask has shape {mask.shape}: expected {x.shape[:1]} or {x.shape[:-1]} for x of shape {x.shape}"
        )
    mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)).astype(bool)
    return jnp.broadcast_to(mask, (*x.shape[:-1], 1))


def _check_rank(x):
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: expected a batch axis first and a channel axis last")


def _check_channels(name, value, x):
    if value.shape != x.shape[-1:]:
        raise ValueError(f"{name} has shape {value.shape}: expected {x.shape[-1:]} for x of shape {x.shape}")
