"""Pooling of regions at positions between pixels, and at positions found by the network."""

from collections.abc import Sequence
from math import prod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcnn.ops import check, geometry
from jaxcnn.ops.sampling import sample


def roi_align(
    x: Float[Array, "n *spatial c"],
    boxes: Float[Array, "rois two_ndim"],
    image: Int[Array, " rois"],
    size: int | Sequence[int],
    *,
    scale: float = 1.0,
    samples: int | Sequence[int] = 2,
    aligned: bool = True,
) -> Float[Array, "rois *size c"]:
    """Average every bin of a box from points inside it, none of them rounded to pixels.

    Args:
      x: batch, one to three spatial axes, channels.
      boxes: for each region the lower then the upper corner, row before column, in the coordinates of the
        picture.
      image: the image of the batch each region lies in, 0 to n - 1.
      size: bins along each spatial axis.
      scale: pixels of ``x`` for one of the picture.
      samples: points along each spatial axis of a bin, evenly spaced.
      aligned: coordinates count from the edge of the first pixel, so its centre lies at ½; False is the older
        convention, its centre at 0 and boxes at least one pixel wide.

    Returns:
      Regions, bins, channels; dtype of x, float32 for integers. A point more than a pixel outside counts as
      zero, one nearer as the edge.

    Raises:
      TypeError: ``image`` does not hold integers.
      ValueError: wrong ranks or shapes, sizes below 1.

    Example:
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> roi_align(x, jnp.array([[0.0, 0, 4, 4]]), jnp.array([0]), 2)[0, ..., 0].tolist()
      [[2.5, 4.5], [10.5, 12.5]]

    Paper: He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870.
    """
    return _pool(x, boxes, image, None, size, scale, samples, aligned, 0.0)


def deform_roi_pool(
    x: Float[Array, "n *spatial c"],
    boxes: Float[Array, "rois two_ndim"],
    image: Int[Array, " rois"],
    offset: Float[Array, "rois *size ndim"],
    mask: Float[Array, " rois *size"] | None = None,
    *,
    size: int | Sequence[int],
    scale: float = 1.0,
    samples: int | Sequence[int] = 2,
    gamma: float = 0.1,
) -> Float[Array, "rois *size c"]:
    """Average every bin of a box, each bin displaced by an offset of its own.

    Bin b moves by ``gamma · offset[b] · (height, width of its box)``, so offsets do not depend on the box's
    size; offsets of 0 are :func:`roi_align`. A mask makes it version 2.

    Args:
      x: batch, one to three spatial axes, channels.
      boxes, image, size, scale, samples: as in :func:`roi_align`.
      offset: for each region and bin, a displacement for each spatial axis, row before column.
      mask: for each region and bin, a factor.
      gamma: displacement, in boxes, of an offset of 1.

    Returns:
      Regions, bins, channels; dtype of x, float32 for integers.

    Raises:
      TypeError: ``image`` does not hold integers.
      ValueError: wrong ranks or shapes, sizes below 1.

    Example:
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> box, image = jnp.array([[1.0, 1, 3, 3]]), jnp.array([0])
      >>> down = jnp.array([1.0, 0]).reshape(1, 1, 1, 2)
      >>> [deform_roi_pool(x, box, image, offset, size=1, gamma=0.5).item() for offset in (0 * down, down)]
      [7.5, 11.5]

    Paper: Dai et al., Deformable convolutional networks, ICCV 2017, arXiv:1703.06211; Zhu et al., Deformable
    ConvNets v2, CVPR 2019, arXiv:1811.11168.
    """
    y = _pool(x, boxes, image, offset, size, scale, samples, True, gamma)
    if mask is None:
        return y
    mask = check.shape(mask, y.shape[:-1], "mask")
    return y * mask[..., None].astype(y.dtype)


def _pool(
    x: Array,
    boxes: Array,
    image: Array,
    offset: Array | None,
    size: int | Sequence[int],
    scale: float,
    samples: int | Sequence[int],
    aligned: bool,
    gamma: float,
) -> Array:
    """Both functions above: the mean of the samples of every bin."""
    x, boxes = check.floats(check.image(x)), jnp.asarray(boxes)
    ndim = x.ndim - 2
    if boxes.ndim != 2 or boxes.shape[1] != 2 * ndim:
        raise ValueError(
            f"boxes has shape {boxes.shape}: expected (regions, {2 * ndim}), lower then upper corner"
        )
    rois = boxes.shape[0]
    image = check.shape(image, (rois,), "image")
    if not jnp.issubdtype(image.dtype, jnp.integer):
        raise TypeError(f"image has dtype {image.dtype}: expected integers, the image of each region")
    size = geometry.spatial_tuple(size, ndim, "size")
    samples = geometry.spatial_tuple(samples, ndim, "samples")
    boxes = boxes.astype(jnp.promote_types(boxes.dtype, jnp.float32)) * scale - (0.5 if aligned else 0.0)
    start, extent = boxes[:, :ndim], boxes[:, ndim:] - boxes[:, :ndim]
    if not aligned:
        extent = jnp.maximum(extent, 1)
    inside = (np.indices(samples).reshape(ndim, -1).T + 0.5) / samples
    bins = np.indices(size).reshape(ndim, -1).T
    places = jnp.asarray((bins[:, None] + inside) / size, boxes.dtype)[None]  # in boxes: bin, sample, axis
    if offset is not None:
        offset = check.shape(offset, (rois, *size, ndim), "offset")
        places = places + gamma * offset.reshape(rois, prod(size), 1, ndim)
    positions = start[:, None, None] + places * extent[:, None, None]
    points = positions.reshape(rois, prod(size) * prod(samples), 1, ndim)
    values = sample(x[..., None, :], image, points, edge="replicate").reshape(
        *positions.shape[:-1], x.shape[-1]
    )
    top = jnp.array(x.shape[1:-1], positions.dtype).reshape(1, 1, 1, ndim)
    near = ((positions >= -1) & (positions <= top)).all(-1, keepdims=True)
    return jnp.where(near, values, 0).mean(2).reshape(rois, *size, x.shape[-1])
