"""Trading pixels for channels and back, without arithmetic."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry


def space_to_depth(
    x: Float[Array, "n *spatial c"], block: int | Sequence[int]
) -> Float[Array, "n *coarse deep"]:
    """Move each block of pixels into the channels: y[i, place·c + channel] = x[i·block + place, channel].

    The place in the block, in scan order, varies slower than the channel, as in TensorFlow;
    :func:`pixel_unshuffle` is torch's order.

    Args:
      x: values, shape (n, *spatial, c).
      block: side of a block, which divides the spatial axes.

    Returns:
      Values, shape (n, *spatial / block, c·Π block).

    Raises:
      ValueError: a block is not positive or does not divide its axis.

    Example:
      >>> import jax.numpy as jnp
      >>> space_to_depth(jnp.arange(4).reshape(1, 4, 1), 2)[0]
      Array([[0, 1],
             [2, 3]], dtype=int32)
    """
    return _to_depth(x, block, channel_first=False)


def depth_to_space(
    x: Float[Array, "n *spatial c"], block: int | Sequence[int]
) -> Float[Array, "n *fine shallow"]:
    """Move channels into blocks of pixels; undoes :func:`space_to_depth`.

    Args:
      x: values, shape (n, *spatial, c).
      block: side of a block; Π block divides c.

    Returns:
      Values, shape (n, *spatial·block, c / Π block).

    Raises:
      ValueError: a block is not positive, or the blocks' pixels do not divide the channels.

    Example:
      >>> import jax.numpy as jnp
      >>> depth_to_space(jnp.array([[0, 1], [2, 3]]).reshape(1, 2, 2), 2).ravel()
      Array([0, 1, 2, 3], dtype=int32)
    """
    return _to_space(x, block, channel_first=False)


def pixel_shuffle(
    x: Float[Array, "n *spatial c"], block: int | Sequence[int]
) -> Float[Array, "n *fine shallow"]:
    """Move channels into blocks of pixels: y[i·block + place, channel] = x[i, channel·Π block + place].

    The channel varies slower than the place, as in torch and in the paper, where it ends a convolution at low
    resolution; :func:`depth_to_space` is TensorFlow's order.

    Args:
      x: values, shape (n, *spatial, c).
      block: side of a block; Π block divides c.

    Returns:
      Values, shape (n, *spatial·block, c / Π block).

    Raises:
      ValueError: a block is not positive, or the blocks' pixels do not divide the channels.

    Example:
      >>> import jax.numpy as jnp
      >>> pixel_shuffle(jnp.array([0, 1, 10, 11]).reshape(1, 1, 4), 2)[0]
      Array([[ 0, 10],
             [ 1, 11]], dtype=int32)

    Paper: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", 2016, arXiv:1609.05158.
    """
    return _to_space(x, block, channel_first=True)


def pixel_unshuffle(
    x: Float[Array, "n *spatial c"], block: int | Sequence[int]
) -> Float[Array, "n *coarse deep"]:
    """Move each block of pixels into the channels; undoes :func:`pixel_shuffle`.

    Args:
      x: values, shape (n, *spatial, c).
      block: side of a block, which divides the spatial axes.

    Returns:
      Values, shape (n, *spatial / block, c·Π block).

    Raises:
      ValueError: a block is not positive or does not divide its axis.

    Example:
      >>> import jax.numpy as jnp
      >>> pixel_unshuffle(jnp.array([[0, 10], [1, 11]]).reshape(1, 2, 2), 2).ravel()
      Array([ 0,  1, 10, 11], dtype=int32)
    """
    return _to_depth(x, block, channel_first=True)


def _to_depth(x: Array, block: int | Sequence[int], channel_first: bool) -> Array:
    x = check.image(x)
    n, *spatial, c = x.shape
    sides = geometry.spatial_tuple(block, len(spatial), "block")
    for axis, (size, side) in enumerate(zip(spatial, sides, strict=True)):
        check.divides("block", side, f"pixels of spatial axis {axis}", size)
    coarse = [size // side for size, side in zip(spatial, sides, strict=True)]
    cut = x.reshape(n, *(each for pair in zip(coarse, sides, strict=True) for each in pair), c)
    places = [2 * axis + 2 for axis in range(len(spatial))]
    blocks = [2 * axis + 1 for axis in range(len(spatial))]
    last = cut.ndim - 1
    behind = [last, *places] if channel_first else [*places, last]
    return cut.transpose(0, *blocks, *behind).reshape(n, *coarse, c * prod(sides))


def _to_space(x: Array, block: int | Sequence[int], channel_first: bool) -> Array:
    x = check.image(x)
    n, *spatial, c = x.shape
    ndim = len(spatial)
    sides = geometry.spatial_tuple(block, ndim, "block")
    if c % prod(sides):
        raise ValueError(
            f"block={block!r}: expected its {prod(sides)} pixels to divide the {c} channels of x"
        )
    shallow = c // prod(sides)
    split = x.reshape(n, *spatial, *((shallow, *sides) if channel_first else (*sides, shallow)))
    first_place = 1 + ndim + channel_first
    order = [each for axis in range(ndim) for each in (1 + axis, first_place + axis)]
    channel = 1 + ndim if channel_first else split.ndim - 1
    fine = [size * side for size, side in zip(spatial, sides, strict=True)]
    return split.transpose(0, *order, channel).reshape(n, *fine, shallow)
