"""Layers that drop at random and keep the expectation: E[y] = x. Each takes the key it draws from."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxcnn.ops import check

Rate = float | Float[Array, ""]


def dropout(key: PRNGKeyArray, x: Float[Array, "n *spatial c"], rate: Rate) -> Float[Array, "n *spatial c"]:
    """Zero each value with probability ``rate``, independently.

    y = x · m / (1 − rate) with m ~ Bernoulli(1 − rate), so E[y] = x and evaluation needs no rescaling.

    Args:
      key: PRNG key; one of its own for every call.
      x: any shape.
      rate: probability of dropping, in [0, 1]; may be traced, so that lanes of one program can differ in it.

    Returns:
      Values, shape and dtype of x, float32 for integers.

    Raises:
      TypeError: ``key`` is no PRNG key.
      ValueError: a rate that is not traced outside [0, 1].

    Example:
      >>> y = dropout(jax.random.key(0), jnp.ones((2, 50)), 0.5)
      >>> sorted(set(y.ravel().tolist()))
      [0.0, 2.0]

    Paper: Srivastava et al., "Dropout", Journal of Machine Learning Research 15, 2014.
    """
    x = _values(key, x, 0)
    return _drop(key, x, rate, x.shape)


def spatial_dropout(
    key: PRNGKeyArray, x: Float[Array, "n *spatial c"], rate: Rate
) -> Float[Array, "n *spatial c"]:
    """Zero whole feature maps: one draw for each example and channel.

    Neighbouring positions of a feature map are alike, so dropping them one by one hides little; y = x · m /
    (1 − rate) with one m for all positions of a channel.

    Args:
      key: PRNG key; one of its own for every call.
      x: shape (n, *spatial, c).
      rate: probability of dropping a channel, in [0, 1]; may be traced.

    Returns:
      Values, shape and dtype of x, float32 for integers.

    Raises:
      TypeError: ``key`` is no PRNG key.
      ValueError: a rate that is not traced outside [0, 1], or x without batch and channel axes.

    Example:
      >>> y = spatial_dropout(jax.random.key(0), jnp.ones((1, 3, 50)), 0.5)
      >>> sorted(set(y.sum(axis=1).ravel().tolist()))
      [0.0, 6.0]

    Paper: Tompson et al., "Efficient Object Localization Using Convolutional Networks", 2015,
    arXiv:1411.4280.
    """
    x = _values(key, x, 2)
    return _drop(key, x, rate, (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1]))


def drop_path(key: PRNGKeyArray, x: Float[Array, " n *rest"], rate: Rate) -> Float[Array, " n *rest"]:
    """Zero whole examples of a residual branch (stochastic depth): one draw for each example.

    y = x · m / (1 − rate) with one m ~ Bernoulli(1 − rate) an example; inside h + y the block becomes the
    identity where m = 0.

    Args:
      key: PRNG key; one of its own for every block and step.
      x: output of the branch, batch first.
      rate: probability of dropping an example's branch, in [0, 1]; may be traced.

    Returns:
      Values, shape and dtype of x, float32 for integers.

    Raises:
      TypeError: ``key`` is no PRNG key.
      ValueError: a rate that is not traced outside [0, 1], or x without a batch axis.

    Example:
      >>> y = drop_path(jax.random.key(0), jnp.ones((50, 3)), 0.5)
      >>> sorted(set(y.sum(axis=1).tolist()))
      [0.0, 6.0]

    Paper: Huang et al., "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382.
    """
    x = _values(key, x, 1)
    return _drop(key, x, rate, (x.shape[0], *(1,) * (x.ndim - 1)))


def drop_block(
    key: PRNGKeyArray, x: Float[Array, "n *spatial c"], rate: Rate, block: int = 7
) -> Float[Array, "n *spatial c"]:
    """Zero square blocks of each feature map.

    y = x · m / (1 − rate), where m = 0 wherever one of the blocks of side b, drawn independently at every
    place with probability γ, covers a position. Every position is covered by b^d possible places, those that
    hang over the border included, so γ = 1 − (1 − rate)^(1/b^d) drops each position with probability ``rate``
    exactly, and E[y] = x exactly. The paper draws only blocks that fit and rescales by the fraction that
    happened to be kept, which is right on average over positions; where blocks are small the two agree.

    Args:
      key: PRNG key; one of its own for every call.
      x: shape (n, *spatial, c).
      rate: probability of dropping a position, in [0, 1]; may be traced, as when it grows during training.
      block: side of a block in pixels.

    Returns:
      Values, shape and dtype of x, float32 for integers.

    Raises:
      TypeError: ``key`` is no PRNG key, or the block no int.
      ValueError: a rate that is not traced outside [0, 1], a block below 1, or x without spatial axes.

    Example:
      >>> y = drop_block(jax.random.key(0), jnp.ones((8, 6, 6, 1)), 0.5, block=3)
      >>> sorted(set(y.ravel().tolist()))
      [0.0, 2.0]

    Paper: Ghiasi, Lin and Le, "DropBlock", 2018, arXiv:1810.12890.
    """
    check.key(key)
    x = check.floats(check.image(x))
    keep = _keep(rate)
    block = check.whole("block", block)
    axes = range(1, x.ndim - 1)
    shape = [size + (block - 1) * (axis in axes) for axis, size in enumerate(x.shape)]
    # expm1 keeps a small γ exact; where nothing is kept, log 0 = −∞ gives γ = 1.
    places = jax.random.bernoulli(key, -jnp.expm1(jnp.log(keep) / block ** len(axes)), shape)
    for axis in axes:
        size = x.shape[axis]
        shifts = [jax.lax.slice_in_dim(places, i, i + size, axis=axis) for i in range(block)]
        places = functools.reduce(jnp.logical_or, shifts)
    return _scale(x, ~places, keep)


def _drop(key, x, rate, shape):
    keep = _keep(rate)
    return _scale(x, jax.random.bernoulli(key, keep, shape), keep)


def _scale(x, mask, keep):
    # Where nothing is kept the factor is 0 and not 1 / 0, whose gradient would be NaN.
    factor = jnp.where(keep > 0, 1 / jnp.where(keep > 0, keep, 1), 0)
    return jnp.where(mask, x * factor.astype(x.dtype), jnp.zeros((), x.dtype))


def _keep(rate):
    check.number("rate", rate, lambda r: 0 <= r <= 1, "a probability of dropping, 0 to 1")
    return 1 - jnp.asarray(rate, jnp.float32)


def _values(key, x, least):
    """x as floats of so many axes, once the key is one: the two are easily swapped."""
    check.key(key)
    x = check.floats(x)
    if x.ndim < least:
        wanted = "a batch axis first" + " and a channel axis last" * (least > 1)
        raise ValueError(f"x has shape {x.shape}: expected {wanted}")
    return x
