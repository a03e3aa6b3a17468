"""What every operation on images asks of its arrays, said while tracing."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

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


def pixels(x: ArrayLike) -> jax.Array:
    """The input as :func:`image` has it, with something to see in each image.

    Raises:
      ValueError: the rank is wrong, or a spatial axis is empty.
    """
    x = image(x)
    if 0 in x.shape[1:-1]:
        raise ValueError(f"x has shape {x.shape}: expected 1 or more pixels on every spatial axis")
    return x


def vectors(x: ArrayLike) -> jax.Array:
    """The input as an array with an axis of channels, its last.

    Raises:
      ValueError: it is a scalar.
    """
    x = jnp.asarray(x)
    if x.ndim < 1:
        raise ValueError("x is a scalar: expected an axis of channels")
    return x


def floats(x: ArrayLike) -> jax.Array:
    """The argument as an array for results that are no integers: integers and booleans become floats."""
    x = jnp.asarray(x)
    return x.astype(jnp.result_type(x, float))


def mask(value: ArrayLike, x: jax.Array) -> jax.Array:
    """Which positions count, as booleans.

    Raises:
      ValueError: the shape is not (n, *spatial).
    """
    value = jnp.asarray(value)
    if value.shape != x.shape[:-1]:
        raise ValueError(f"mask has shape {value.shape}: expected {x.shape[:-1]} for x of shape {x.shape}")
    return value.astype(bool)


def key(value: Any) -> None:
    """Refuse what is no PRNG key, of either kind that JAX has.

    Raises:
      TypeError: it is something else.
    """
    kind = getattr(value, "dtype", value)
    if kind is value or not (jnp.issubdtype(kind, jax.dtypes.prng_key) or kind == jnp.uint32):
        raise TypeError(f"key is {kind}: expected a PRNG key, as from jax.random.key")


def number(name: str, value: Any, fits: Callable[[Any], bool], expected: str) -> None:
    """Refuse a number that does not fit. Arrays, which may be traced, pass.

    Raises:
      ValueError: it does not fit.
    """
    if isinstance(value, Real) and not fits(value):
        raise ValueError(f"{name}={value}: expected {expected}")


def whole(name: str, value: int, least: int | None = 1) -> int:
    """The argument as a Python int, whose powers do not overflow.

    Raises:
      TypeError: it is not an int.
      ValueError: it is below ``least``.

    Example:
      >>> whole("features", -3)
      Traceback (most recent call last):
      ValueError: features=-3: expected 1 or more
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r}: expected an int")
    if least is not None and value < least:
        raise ValueError(f"{name}={value}: expected {least} or more")
    return int(value)


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
    whole(name, divisor, least=None)
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
