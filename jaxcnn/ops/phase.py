"""Interleaving: images computed residue by residue, put together."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def interleave(phases: Float[Array, "n *spatial_and_phases c"], ndim: int) -> Float[Array, "n *fine c"]:
    """Put pixel ``q`` of phase ``r`` at ``q·s + r`` on every axis.

    Args:
      phases: batch, ``ndim`` spatial axes of Q pixels, ``ndim`` axes of s phases, channels.
      ndim: the number of spatial axes.

    Returns:
      Batch, spatial axes of Q·s pixels, channels.

    Example:
      >>> interleave(jnp.array([[0, 1], [2, 3], [4, 5]]).reshape(1, 3, 2, 1), 1).ravel().tolist()
      [0, 1, 2, 3, 4, 5]
    """
    order = [axis for i in range(1, ndim + 1) for axis in (i, i + ndim)]
    sizes = [phases.shape[i] * phases.shape[i + ndim] for i in range(1, ndim + 1)]
    moved = jnp.transpose(phases, (0, *order, phases.ndim - 1))
    return moved.reshape(phases.shape[0], *sizes, phases.shape[-1])
