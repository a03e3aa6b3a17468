"""Products of matrices, which several lowerings are made of."""

import jax
import jax.numpy as jnp
from jax import lax


class Products:
    """Batched products of matrices by XLA.

    Attributes:
      takes_half: whether the factors may be of half precision, and their products are summed in float32.
      takes_lanes: whether further axes of a batch, from ``vmap``, are computed as fast as one after another.
    """

    takes_half = False
    takes_lanes = False

    def product(self, left: jax.Array, right: jax.Array) -> jax.Array:
        """(batch, m, k) times (batch, k, n)."""
        if len(left) == 1:  # the batch axis, even of one, keeps XLA from its fastest product
            return jnp.dot(left[0], right[0])[None]
        return lax.dot_general(left, right, (((2,), (1,)), ((0,), (0,))))

    def transposed(self, left: jax.Array, right: jax.Array) -> jax.Array:
        """(batch, k, m), transposed, times (batch, k, n)."""
        if len(left) == 1:
            return lax.dot_general(left[0], right[0], (((0,), (0,)), ((), ())))[None]
        return lax.dot_general(left, right, (((1,), (1,)), ((0,), (0,))))


class HalfProducts(Products):
    """The same for processors that multiply in half precision: sums are not."""

    takes_half = True

    def product(self, left: jax.Array, right: jax.Array) -> jax.Array:
        return _batched(left, right, 2)

    def transposed(self, left: jax.Array, right: jax.Array) -> jax.Array:
        return _batched(left, right, 1)


def _batched(left: jax.Array, right: jax.Array, axis: int) -> jax.Array:
    """Batched products that sum over the ``axis`` of the left factors."""
    half = left.dtype in (jnp.bfloat16, jnp.float16)
    wide = jnp.float32 if half else left.dtype
    axes = (((axis,), (1,)), ((0,), (0,)))
    return lax.dot_general(left, right, axes, preferred_element_type=wide)
