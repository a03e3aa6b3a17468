"""What a layer does, asked of the layer itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Layer = Callable[[jax.Array], jax.Array]


def influence(layer: Layer, x: jax.typing.ArrayLike, index: tuple[int, ...]) -> np.ndarray:
    """How one output value changes with every input value: its gradient, in the input's shape."""
    return np.asarray(jax.grad(lambda x: layer(x)[index])(jnp.asarray(x, jnp.float32)))


def matrix(layer: Layer, size: int) -> np.ndarray:
    """The matrix (outputs, inputs) of a linear layer on one row of pixels with one channel."""
    jacobian = jax.jacobian(lambda row: layer(row.reshape(1, size, 1)).ravel())
    return np.asarray(jacobian(jnp.zeros(size)))


def channel_matrix(layer: Layer, channels: int) -> np.ndarray:
    """The matrix (features, channels) of a linear layer on a single pixel."""
    jacobian = jax.jacobian(lambda pixel: layer(pixel.reshape(1, 1, 1, channels)).ravel())
    return np.asarray(jacobian(jnp.zeros(channels)))
