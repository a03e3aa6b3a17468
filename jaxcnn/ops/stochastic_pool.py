"""Pooling that draws."""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxcnn.ops import check
from jaxcnn.ops.geometry import Padding
from jaxcnn.ops.pool import window_sum
from jaxcnn.ops.shifted import picked
from jaxcnn.ops.window import read, slide, taps


def stochastic_pool(
    key: PRNGKeyArray | None,
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Array, "n *pooled c"]:
    """One value of each window, drawn in proportion to its size.

    With a = max(x, 0), tap t is drawn with probability a_t / Σ_window a, and y is what it reads; the gradient
    goes there alone. Without a key y is the expectation Σ a² / Σ a, for evaluation. A window without positive
    values gives 0.

    Args:
      key: PRNG key, or None for the expectation.
      x: values, shape (n, *spatial, c); activities, as behind a ReLU.
      window: taps on each spatial axis.
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.

    Returns:
      Values of x or their expectation, shape (n, *pooled, c), dtype of x, float32 for integers.

    Raises:
      TypeError: ``key`` is neither a PRNG key nor None.
      ValueError: what :func:`max_pool` refuses.

    Example:
      >>> x = jnp.tile(jnp.array([1.0, 3.0]), 50).reshape(1, 100, 1)
      >>> sorted(set(stochastic_pool(jax.random.key(0), x, 2).ravel().tolist()))
      [1.0, 3.0]
      >>> set(stochastic_pool(None, x, 2).ravel().tolist())
      {2.5}

    Paper: Zeiler and Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks",
    2013, arXiv:1301.3557.
    """
    x = check.floats(x)
    x, windows = slide(x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    active = jnp.maximum(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 0)
    if key is None:
        total = window_sum(active, windows)
        return (window_sum(active * active, windows) / jnp.where(total > 0, total, 1)).astype(x.dtype)
    running = list(itertools.accumulate(read(active, windows, tap, 0.0) for tap in taps(windows)))
    check.key(key)
    level = jax.random.uniform(key, running[-1].shape, active.dtype) * running[-1]
    # The first tap whose running sum exceeds the level; past the last one where all values are 0.
    number = functools.reduce(jnp.add, ((each <= level).astype(jnp.int32) for each in running))
    return picked(x, number, windows)
