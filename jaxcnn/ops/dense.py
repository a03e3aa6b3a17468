"""The fully connected layer."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxcnn.ops import check


def dense(
    x: Float[Array, "*batch c"], kernel: Float[Array, "c features"], bias: ArrayLike | None = None
) -> Float[Array, "*batch features"]:
    """Map the last axis affinely: ``y = x · kernel + bias``.

    Args:
      x: any leading axes, channels.
      kernel: channels, features.
      bias: one number for each feature.

    Returns:
      The leading axes, features; in the promoted dtype of the arguments.

    Raises:
      ValueError: the channels of input and kernel differ, or x is a scalar.

    Example:
      >>> dense(jnp.ones((2, 3)), jnp.ones((3, 1))).ravel().tolist()
      [3.0, 3.0]
    """
    x, kernel = check.vectors(x), jnp.asarray(kernel)
    if kernel.ndim != 2 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"kernel has shape {kernel.shape}: expected (channels, features) for x of shape {x.shape}"
        )
    return check.add_bias(x @ kernel, bias)
