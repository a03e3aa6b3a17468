"""Means and variances, the part that all normalisations share.

Statistics are float32 (float64 for float64 inputs), by the two-pass formula, mean of (x − mean)², which is
never negative and loses nothing to a large mean.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcnn.ops import check


def moments(
    x: Array,
    axes: Sequence[int],
    *,
    mask: Array | None = None,
    axis_name: str | Sequence[str] | None = None,
    share: Callable[[Array], Array] = lambda statistics: statistics,
) -> tuple[Array, Array, Array]:
    """Mean, biased variance and number of values over ``axes``, which are kept with size 1.

    Args:
      x: values.
      axes: what to sum over.
      mask: True where values count, broadcast against x.
      axis_name: mapped axes to sum over too.
      share: averages each statistic further, over entries behind which there are equally many values.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if mask is not None:
        x = jnp.where(mask, x, 0)  # NaN times the gradient 0 of what is masked would still be NaN

    def total(values: Array) -> Array:
        values = values if mask is None else jnp.where(mask, values, 0)
        sums = jnp.sum(values, axis=tuple(axes), keepdims=True)
        return sums if axis_name is None else jax.lax.psum(sums, axis_name)

    n = total(jnp.ones((*x.shape[:-1], 1), x.dtype)) if mask is not None else _size(x, axes, axis_name)
    divisor = jnp.maximum(n, 1)
    mean = share(total(x) / divisor)
    return mean, share(total(jnp.square(x - mean)) / divisor), n


def _size(x: Array, axes: Sequence[int], axis_name: str | Sequence[str] | None) -> Array:
    n = 1
    for axis in axes:
        n *= x.shape[axis]
    if axis_name is not None:
        n *= jax.lax.axis_size(axis_name)
    return jnp.full((1,) * x.ndim, n, x.dtype)


def normalize(
    x: Array, mean: Array, var: Array, scale: Array | None, bias: Array | None, epsilon: float
) -> Array:
    """scale · (x − mean) / √(var + ε) + bias in the statistics' precision, returned in x's dtype."""
    check.number("epsilon", epsilon, lambda n: n >= 0, "0 or more")
    factor = jax.lax.rsqrt(var + epsilon)
    if scale is not None:
        factor = factor * channels("scale", scale, x)
    y = (x - mean) * factor
    if bias is not None:
        y = y + channels("bias", bias, x)
    return y.astype(x.dtype)


def channels(name: str, values: Array, x: Array) -> Array:
    """One value for each channel, with the axes of x."""
    values = jnp.asarray(values)
    if values.shape != x.shape[-1:]:
        raise ValueError(f"{name} has shape {values.shape}: expected {x.shape[-1:]} for x of shape {x.shape}")
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


def positions(mask: Array | None, x: Array) -> Array | None:
    """A mask over examples or positions, with the axes of x."""
    if mask is None:
        return None
    mask = jnp.asarray(mask)
    if mask.shape not in (x.shape[:1], x.shape[:-1]):
        raise ValueError(
            f"mask has shape {mask.shape}: expected {x.shape[:1]} or {x.shape[:-1]} for x of shape {x.shape}"
        )
    mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)).astype(bool)
    return jnp.broadcast_to(mask, (*x.shape[:-1], 1))


def check_rank(x: Array) -> Array:
    """x as an array of floats with a batch and a channel axis."""
    x = check.floats(x)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: expected a batch axis first and a channel axis last")
    return x
