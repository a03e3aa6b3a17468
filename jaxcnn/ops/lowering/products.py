"""Products of matrices, which several lowerings are made of."""

import jax
import jax.numpy as jnp
from jax import lax


class Products:
    """Batched products of matrices by XLA."""

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
