"""Initialisers for kernels with axes that no unit sums over, which would otherwise count as its inputs."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

Initializer = Callable[..., Array]


def by_place(init: Initializer, ndim: int) -> Initializer:
    """Draw the kernel of every place on its own: the first ``ndim`` axes of the shape count places.

    Example:
      >>> draw = by_place(jax.nn.initializers.lecun_normal(), 1)
      >>> kernels = draw(jax.random.key(0), (100, 9, 4, 8), jnp.float32)
      >>> kernels.shape, bool(abs(kernels.std() * 6 - 1) < 0.05)
      ((100, 9, 4, 8), True)
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        places = shape[:ndim]
        keys = jax.random.split(key, prod(places))
        return jax.vmap(lambda key: init(key, shape[ndim:], dtype))(keys).reshape(shape)

    return draw


def as_dense(init: Initializer) -> Initializer:
    """Draw the kernel of a convolution that reads a whole map as that of a dense layer over all of it.

    Example:
      >>> draw = as_dense(jax.nn.initializers.glorot_normal())
      >>> kernel = draw(jax.random.key(0), (5, 5, 4, 100), jnp.float32)
      >>> kernel.shape, bool(abs(kernel.std() * 10 - 1) < 0.05)  # √(2 / (100 + 100))
      ((5, 5, 4, 100), True)
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return init(key, (prod(shape[:-1]), shape[-1]), dtype).reshape(shape)

    return draw


def by_group(init: Initializer, groups: int) -> Initializer:
    """Draw a transposed kernel (*taps, c, features / groups) as one (*taps, c / groups, features).

    Example:
      >>> draw = by_group(jax.nn.initializers.lecun_normal(), 4)
      >>> kernel = draw(jax.random.key(0), (9, 16, 1000), jnp.float32)
      >>> kernel.shape, bool(abs(kernel.std() * 6 - 1) < 0.05)
      ((9, 16, 1000), True)
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        *taps, channels, width = shape
        kernel = init(key, (*taps, channels // groups, width * groups), dtype)
        split = kernel.reshape(*taps, channels // groups, groups, width)
        return jnp.swapaxes(split, -3, -2).reshape(shape)

    return draw
