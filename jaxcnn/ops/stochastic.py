"""Layers that drop at random and keep the expectation: E[y] = x. Each takes the key it draws from."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Rate = float | Float[Array, ""]


def dropout(key: PRNGKeyArray, x: Float[Array, "n *spatial c"], rate: Rate) -> Float[Array, "n *spatial c"]:
    """Zero each value with probability ``rate``, independently.

    y = x · m / (1 − rate) with m ~ Bernoulli(1 − rate), so E[y] = x and evaluation needs no rescaling.

    Args:
      key: PRNG key; one of its own for every call.
      x: any shape.
      rate: probability of dropping, in [0, 1]; may be traced, so that lanes of one program can differ in it.

    Returns:
      Values, shape and dtype of x.

    Raises:
      ValueError: a Python number outside [0, 1].

    Example:
      >>> y = dropout(jax.random.key(0), jnp.ones((2, 50)), 0.5)
      >>> sorted(set(y.ravel().tolist()))
      [0.0, 2.0]

    Paper: Srivastava et al., "Dropout", Journal of Machine Learning Research 15, 2014.
    """
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
      Values, shape and dtype of x.

    Raises:
      ValueError: a Python number outside [0, 1], or x without batch and channel axes.

    Example:
      >>> y = spatial_dropout(jax.random.key(0), jnp.ones((1, 3, 50)), 0.5)
      >>> sorted(set(y.sum(axis=1).ravel().tolist()))
      [0.0, 6.0]

    Paper: Tompson et al., "Efficient Object Localization Using Convolutional Networks", 2015,
    arXiv:1411.4280.
    """
    _check_rank(x, 2)
    return _drop(key, x, rate, (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1]))


def drop_path(key: PRNGKeyArray, x: Float[Array, "n *rest"], rate: Rate) -> Float[Array, "n *rest"]:
    """Zero whole examples of a residual branch (stochastic depth): one draw for each example.

    y = x · m / (1 − rate) with one m ~ Bernoulli(1 − rate) an example; inside h + y the block becomes the
    identity where m = 0.

    Args:
      key: PRNG key; one of its own for every block and step.
      x: output of the branch, batch first.
      rate: probability of dropping an example's branch, in [0, 1]; may be traced.

    Returns:
      Values, shape and dtype of x.

    Raises:
      ValueError: a Python number outside [0, 1], or x without a batch axis.

    Example:
      >>> y = drop_path(jax.random.key(0), jnp.ones((50, 3)), 0.5)
      >>> sorted(set(y.sum(axis=1).tolist()))
      [0.0, 6.0]

    Paper: Huang et al., "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382.
    """
    _check_rank(x, 1)
    return _drop(key, x, rate, (x.shape[0], *(1,) * (x.ndim - 1)))


def _drop(key, x, rate, shape):
    keep = _keep(rate)
    mask = jax.random.bernoulli(key, keep, shape)
    return jnp.where(mask, x * _reciprocal(keep).astype(x.dtype), jnp.zeros((), x.dtype))


def _keep(rate):
    if isinstance(rate, int | float) and not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}; a probability of dropping must lie in [0, 1]")
    return 1 - jnp.asarray(rate, jnp.float32)


def _reciprocal(keep):
    """1 / keep, and 0 where everything is dropped, so that gradients there are 0 and not NaN."""
    return jnp.where(keep > 0, 1 / jnp.where(keep > 0, keep, 1), 0)


def _check_rank(x, least):
    if x.ndim < least:
        raise ValueError(
            f"x has shape {x.shape}; a batch axis first{' and channels last' * (least > 1)} is expected"
        )
