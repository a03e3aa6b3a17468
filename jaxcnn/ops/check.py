"""What every operation on images asks of its arrays, said while tracing."""

from numbers import Integral

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def image(x: ArrayLike, name: str = "x", ndim: int | None = None) -> jax.Array:
    """The input as an array of batch, one to three spatial axes, channels.

    Args:
      x: the argument.
      name: its name, for the message.
      ndim: the number of spatial axes, where the operation fixes it.

    Returns:
      The argument as a JAX array.

    Raises:
      ValueError: the rank is wrong.
    """
    x = jnp.asarray(x)
    if ndim is None and x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{name} has shape {x.shape}: expected (batch, *spatial, channels) with 1, 2 or 3 spatial axes; "
            "add a batch axis with x[None]"
        )
    if ndim is not None and x.ndim != ndim + 2:
        raise ValueError(f"{name} has shape {x.shape}: expected (batch, {ndim} spatial axes, channels)")
    return x


def kernel(value: ArrayLike, x: jax.Array, groups: int = 1) -> jax.Array:
    """The kernel as an array (*taps, channels / groups, features) that fits the input.

    Raises:
      TypeError: ``groups`` is not an int.
      ValueError: wrong rank, no taps, or channels, features and groups that do not agree.
    """
    value = jnp.asarray(value)
    if value.ndim != x.ndim:
        raise ValueError(
            f"kernel has shape {value.shape}: expected {x.ndim - 2} spatial axes, then (channels / groups, "
            f"features), for x of shape {x.shape}"
        )
    if min(value.shape) < 1:
        raise ValueError(f"kernel has shape {value.shape}: expected 1 or more on every axis")
    kernel_channels(value, x, groups)
    return value


def kernel_channels(value: jax.Array, x: jax.Array, groups: int) -> None:
    """Refuse a kernel (…, channels / groups, features) that does not fit the channels of the input.

    Raises:
      TypeError: ``groups`` is not an int.
      ValueError: channels, features and groups do not agree.
    """
    channels, features = x.shape[-1], value.shape[-1]
    divides("groups", groups, "channels of x", channels)
    divides("groups", groups, "features of the kernel", features)
    if value.shape[-2] * groups != channels:
        raise ValueError(
            f"kernel has shape {value.shape}: expected {channels // groups} channels before the features, "
            f"for x with {channels} channels and groups={groups}"
        )


def transposed_kernel(value: ArrayLike, x: jax.Array, groups: int = 1) -> jax.Array:
    """The kernel of a transposed convolution as an array (*taps, channels, features / groups).

    Raises:
      TypeError: ``groups`` is not an int.
      ValueError: wrong rank, no taps, other channels than the input, or groups that do not divide them.
    """
    value = jnp.asarray(value)
    if value.ndim != x.ndim or min(value.shape) < 1 or value.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"kernel has shape {value.shape}: expected {x.ndim - 2} spatial axes, then ({x.shape[-1]}, "
            f"features / groups), for x of shape {x.shape}"
        )
    divides("groups", groups, "channels of x", x.shape[-1])
    return value


def divides(name: str, divisor: int, what: str, count: int) -> None:
    """Refuse a divisor that does not divide.

    Raises:
      TypeError: the divisor is not an int.
      ValueError: it is below 1 or leaves a remainder.
    """
    if not isinstance(divisor, Integral):
        raise TypeError(f"{name}={divisor!r}: expected an int")
    if divisor < 1 or count % divisor:
        raise ValueError(f"{name}={divisor}: expected a divisor of the {count} {what}")


def add_bias(y: jax.Array, bias: ArrayLike | None) -> jax.Array:
    """Add one number for each feature.

    Raises:
      ValueError: the bias is not of shape (features,).
    """
    if bias is None:
        return y
    bias = shape(bias, y.shape[-1:], "bias")
    return y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def shape(value: ArrayLike, expected: tuple[int, ...], name: str) -> jax.Array:
    """The argument as an array of exactly the expected shape.

    Raises:
      ValueError: it has another shape.
    """
    value = jnp.asarray(value)
    if value.shape != expected:
        raise ValueError(f"{name} has shape {value.shape}: expected {expected}")
    return value
