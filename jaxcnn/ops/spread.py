"""Linear maps along axes whose outputs spread evenly over the pixels, for images of one size or several."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxcnn.ops import check

Sizes = tuple[Int[Array, "n axes"], Int[Array, "n axes"]]
"""For images of mixed sizes, each in the low corner: pixels of each along each axis, before and behind."""

Weights = Callable[[Any, Any, Any, Any], Any]
"""What a pixel counts in an output, from their numbers and how many there are: integers that broadcast."""


def spread(x: Array, outputs: Sequence[int], weights: Weights, sizes: Sizes | None = None) -> Array:
    """Multiply each spatial axis of x by a matrix, in float32 at least.

    Args:
      x: values, shape (n, *spatial, c).
      outputs: of each spatial axis.
      weights: the matrix, see :data:`Weights`.
      sizes: see :data:`Sizes`; what is outside the images is not read, and means nothing in the result.

    Returns:
      Values, shape (n, *outputs, c), dtype of x.

    Raises:
      ValueError: ``sizes`` are not two arrays of shape (n, axes).
    """
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if sizes is not None:
        shape = (x.shape[0], len(outputs))
        before, after = (check.shape(given, shape, "sizes").astype(jnp.int32) for given in sizes)
    for axis, count in enumerate(outputs):
        pixels = x.shape[1 + axis]
        if sizes is None and pixels == count:
            continue
        pixel = np.arange(pixels, dtype=np.int32)[None, :, None]
        output = np.arange(count, dtype=np.int32)[None, None]
        y = jnp.moveaxis(y, 1 + axis, -1)
        if sizes is None:
            (table,) = weights(pixel, output, pixels, count).astype(y.dtype)
            y = jnp.tensordot(y, jnp.asarray(table), 1, precision="highest")
        else:
            each = before[:, axis, None, None], after[:, axis, None, None]
            inside = (pixel < each[0]).reshape(-1, *(1,) * (y.ndim - 2), pixels)
            table = weights(pixel, output, *each).astype(y.dtype)
            y = jnp.einsum("n...i,nio->n...o", jnp.where(inside, y, 0), table, precision="highest")
        y = jnp.moveaxis(y, -1, 1 + axis)
    return y.astype(x.dtype)
