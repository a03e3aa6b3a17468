"""Pooling over channels rather than positions."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check


def maxout(x: Float[Array, "*batch c"], pieces: int) -> Float[Array, "*batch units"]:
    """Largest of every ``pieces`` neighbouring channels: y_k = max_j x_{k·pieces + j}.

    Behind a linear layer with ``pieces`` outputs for each unit it is an activation function that is learned:
    the maximum of so many affine maps.

    Args:
      x: values, channels last.
      pieces: channels that compete; divides c.

    Returns:
      Maxima, shape (…, c / pieces), dtype of x.

    Raises:
      TypeError, ValueError: pieces is not an int that divides the channels, or x is a scalar.

    Example:
      >>> maxout(jnp.array([1.0, 5.0, 3.0, 2.0]), 2)
      Array([5., 3.], dtype=float32)

    Paper: Goodfellow et al., "Maxout Networks", 2013, arXiv:1302.4389.
    """
    x = check.vectors(x)
    check.divides("pieces", pieces, "channels of x", x.shape[-1])
    return x.reshape(*x.shape[:-1], x.shape[-1] // pieces, pieces).max(-1)


def complex_cell(x: Float[Array, "*batch two_c"]) -> Float[Array, "*batch c"]:
    """Energy of quadrature pairs: y = √(even² + odd²).

    The first half of the channels holds responses of even filters, the second those of their odd partners, as
    :func:`jaxcnn.ops.gabor_bank` orders them. Where simple cells answer to a grating at one phase, the energy
    is the same at every phase. The gradient at 0 is 0.

    Args:
      x: responses of the pairs, channels last.

    Returns:
      Energies, shape (…, c / 2), dtype of x, float32 for integers.

    Raises:
      ValueError: the number of channels is odd, or x is a scalar.

    Example:
      >>> complex_cell(jnp.array([3.0, 0.0, 4.0, 2.0]))
      Array([5., 2.], dtype=float32)

    Paper: Adelson and Bergen, "Spatiotemporal energy models for the perception of motion", 1985.
    """
    x = check.floats(check.vectors(x))
    if x.shape[-1] % 2:
        raise ValueError(f"x has {x.shape[-1]} channels: expected an even number, even filters then odd ones")
    even, odd = jnp.split(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 2, axis=-1)
    energy = even * even + odd * odd
    return jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0).astype(x.dtype)
