"""Images of another size."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.spread import Sizes, spread


def resize(
    x: Float[Array, "n *spatial c"], size: int | Sequence[int], *, sizes: Sizes | None = None
) -> Float[Array, "n *size c"]:
    """Interpolate linearly along every axis between the two pixels around each new pixel's centre.

    Centres of N outputs lie at (i + ½)·M / N − ½ among M inputs; those beyond the outermost inputs take the
    outermost. This is torch's ``interpolate(mode="bilinear", align_corners=False)``, in one to three
    dimensions; made smaller, an image is sampled, not averaged.

    Args:
      x: values, shape (n, *spatial, c).
      size: pixels of each spatial axis of the result.
      sizes: of images of mixed sizes, padded to one: two arrays of shape (n, spatial axes), the pixels of
        each in the low corner of x, and in that of the result.

    Returns:
      Values, shape (n, *size, c), dtype of x, float32 for integers.

    Raises:
      TypeError, ValueError: ``size`` is not positive ints, one for each spatial axis, ``sizes`` have
        another shape, or x has no pixel.

    Example:
      >>> import jax.numpy as jnp
      >>> resize(jnp.array([0.0, 4.0]).reshape(1, 2, 1), 4).ravel()
      Array([0., 1., 3., 4.], dtype=float32)
    """
    x = check.floats(check.pixels(x))
    return spread(x, geometry.spatial_tuple(size, x.ndim - 2, "size"), _linear, sizes)


def _linear(pixel: Any, output: Any, pixels: Any, outputs: Any) -> Any:
    numerator, denominator = geometry.interpolated_place(output, pixels, outputs)
    numerator = numerator.clip(0, denominator * (pixels - 1))
    low, fraction = numerator // denominator, numerator % denominator / denominator
    below, above = ((pixel == place).astype(fraction.dtype) for place in (low, low + 1))
    return below * (1 - fraction) + above * fraction
