"""Images of another size."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry


def resize(x: Float[Array, "n *spatial c"], size: int | Sequence[int]) -> Float[Array, "n *size c"]:
    """Interpolate linearly along every axis between the two pixels around each new pixel's centre.

    Centres of N outputs lie at (i + ½)·M / N − ½ among M inputs; those beyond the outermost inputs take the
    outermost. This is torch's ``interpolate(mode="bilinear", align_corners=False)``, in one to three
    dimensions; made smaller, an image is sampled, not averaged.

    Args:
      x: values, shape (n, *spatial, c).
      size: pixels of each spatial axis of the result.

    Returns:
      Values, shape (n, *size, c), dtype of x.

    Raises:
      TypeError, ValueError: sizes are not positive ints, one for each spatial axis.

    Example:
      >>> resize(jnp.array([0.0, 4.0]).reshape(1, 2, 1), 4).ravel()
      Array([0., 1., 3., 4.], dtype=float32)
    """
    x = check.image(x)
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, outputs in enumerate(geometry.spatial_tuple(size, x.ndim - 2, "size"), start=1):
        inputs = x.shape[axis]
        if outputs == inputs:
            continue
        weights = np.zeros((inputs, outputs), y.dtype)
        for i, (low, high, fraction) in enumerate(geometry.interpolation(inputs, outputs)):
            weights[low, i] += 1 - fraction
            weights[high, i] += fraction
        y = jnp.moveaxis(jnp.tensordot(y, jnp.asarray(weights), (axis, 0), precision="highest"), -1, axis)
    return y.astype(x.dtype)
