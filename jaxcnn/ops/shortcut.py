"""The parameter-free way past a residual branch that changes the shape."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry


def zero_pad_shortcut(
    x: Float[Array, "n *spatial c"], features: int, *, strides: int | tuple[int, ...] = 1
) -> Float[Array, "n *strided features"]:
    """Every ``strides``-th pixel, with channels of zeros behind its own.

    The shape is that of a convolution with an odd kernel k, padding (k - 1)/2 and the same strides and
    features, and there is nothing to learn.

    Args:
      x: (n, *spatial, c).
      features: channels of the result, c or more.
      strides: pixels between those kept, an int or one for each spatial axis.

    Returns:
      (n, *⌈spatial / strides⌉, features).

    Raises:
      TypeError: ``features`` is not an int.
      ValueError: ``features`` is below c, or a stride below 1.

    Example:
      >>> zero_pad_shortcut(jnp.arange(1.0, 5.0).reshape(1, 4, 1), 3, strides=2)[0].tolist()
      [[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]

    Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016, section 4.2, A.
    """
    x = check.image(x)
    steps = geometry.spatial_tuple(strides, x.ndim - 2, "strides")
    features = check.whole("features", features, least=None)
    if features < x.shape[-1]:
        raise ValueError(
            f"features={features}: expected {x.shape[-1]} or more, as x has; use a projection to have fewer"
        )
    kept = x[(slice(None), *(slice(None, None, step) for step in steps))]
    return jnp.pad(kept, [(0, 0)] * (x.ndim - 1) + [(0, features - x.shape[-1])])
