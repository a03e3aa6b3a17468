"""Convolution and pooling that choose where they look."""

from collections.abc import Sequence
from math import prod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcnn.ops import check, geometry
from jaxcnn.ops.padding import pad_boundary
from jaxcnn.ops.sampling import sample


def deform_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps c_per_group features"],
    offset: Float[Array, "n *out offset_groups_taps_ndim"],
    mask: Float[Array, "n *out offset_groups_taps"] | None = None,
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    offset_groups: int = 1,
) -> Float[Array, "n *out features"]:
    """Convolve with taps displaced by an offset of their own at every output pixel.

    ``y[i, f] = bias[f] + Σ_tap Σ_c mask[i, tap] · x(i·stride - low + tap·dilation + offset[i, tap], c) ·
    kernel[tap, c, f]``, where ``x(p)`` interpolates linearly between pixels and is zero outside the image.
    Without a mask this is version 1, with one version 2; offsets of 0 and a mask of 1 are
    :func:`jaxcnn.ops.conv`.

    The displaced pixels of all taps are gathered, taps times the input in memory, and multiplied with the
    kernel.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: taps of each spatial axis, channels / groups, features.
      offset: for each output pixel, in this order, offset groups, taps, and a displacement in pixels for each
        spatial axis, row before column.
      mask: for each output pixel, offset groups and taps, a factor.
      bias: one number for each feature.
      strides, padding, dilation, groups: as in :func:`jaxcnn.ops.conv`.
      offset_groups: channels are split, in order, in so many groups with offsets of their own.

    Returns:
      Batch, the spatial axes of :func:`jaxcnn.ops.geometry.output_size`, features.

    Raises:
      TypeError: a static argument is of the wrong kind.
      ValueError: ranks, channels or groups do not agree, a number is too small, a name is unknown, the kernel
        does not fit the padded input, or offsets or mask have another shape.

    Example:
      An offset of one pixel reads the next:

      >>> x, kernel = jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((1, 1, 1))
      >>> deform_conv(x, kernel, jnp.ones((1, 4, 1))).ravel().tolist()
      [1.0, 2.0, 3.0, 0.0]
      >>> deform_conv(x, kernel, jnp.full((1, 4, 1), 0.5)).ravel().tolist()
      [0.5, 1.5, 2.5, 1.5]

    Paper: Dai et al., Deformable convolutional networks, ICCV 2017, arXiv:1703.06211; Zhu et al., Deformable
    ConvNets v2, CVPR 2019, arXiv:1811.11168.
    """
    x = check.image(x)
    kernel = check.kernel(kernel, x, groups)
    n, channels, features, ndim = x.shape[0], x.shape[-1], kernel.shape[-1], x.ndim - 2
    taps = kernel.shape[:-2]
    check.divides("offset_groups", offset_groups, "channels of x", channels)
    strides = geometry.spatial_tuple(strides, ndim, "strides")
    dilation = geometry.spatial_tuple(dilation, ndim, "dilation")
    x, zeros = pad_boundary(x, geometry.resolve_padding(padding, x.shape[1:-1], taps, strides, dilation))
    rows = [
        np.array(geometry.tap_rows(size, k, stride=stride, padding=pair, dilation=gap))
        for size, k, stride, pair, gap in zip(x.shape[1:-1], taps, strides, zeros, dilation, strict=True)
    ]
    outputs, count = tuple(len(axis) for axis in rows), prod(taps)
    places = prod(outputs)
    offset = check.shape(offset, (n, *outputs, offset_groups * count * ndim), "offset")
    displacement = jnp.swapaxes(offset.reshape(n, places, offset_groups, count, ndim), 2, 3)
    positions = jnp.asarray(_grid(rows), jnp.float32).reshape(1, places, count, 1, ndim) + displacement
    grouped = x.reshape(*x.shape[:-1], offset_groups, channels // offset_groups)
    values = sample(grouped, jnp.arange(n), positions.reshape(n, places * count, offset_groups, ndim))
    if mask is not None:
        mask = check.shape(mask, (n, *outputs, offset_groups * count), "mask")
        factor = jnp.swapaxes(mask.reshape(n, places, offset_groups, count), 2, 3)
        values = values * factor.reshape(*values.shape[:-1], 1).astype(values.dtype)
    dtype = jnp.result_type(x, kernel)
    values = values.reshape(n * places, count, groups, channels // groups).astype(dtype)
    weights = kernel.reshape(count, channels // groups, groups, features // groups).astype(dtype)
    y = jnp.einsum("pkgc,kcgf->pgf", values, weights)
    return check.add_bias(y.reshape(n, *outputs, features), bias)


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
      Regions, bins, channels. A point more than a pixel outside counts as zero, one nearer as the edge.

    Raises:
      TypeError: ``image`` does not hold integers.
      ValueError: wrong ranks or shapes, sizes below 1.

    Example:
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> roi_align(x, jnp.array([[0.0, 0, 4, 4]]), jnp.array([0]), 2)[0, ..., 0].tolist()
      [[2.5, 4.5], [10.5, 12.5]]

    Paper: He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870.
    """
    return _roi(x, boxes, image, None, size, scale, samples, aligned, 0.0)


def deform_roi_pool(
    x: Float[Array, "n *spatial c"],
    boxes: Float[Array, "rois two_ndim"],
    image: Int[Array, " rois"],
    offset: Float[Array, "rois *size ndim"],
    mask: Float[Array, "rois *size"] | None = None,
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
      Regions, bins, channels.

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
    y = _roi(x, boxes, image, offset, size, scale, samples, True, gamma)
    if mask is None:
        return y
    mask = check.shape(mask, y.shape[:-1], "mask")
    return y * mask[..., None].astype(y.dtype)


def _roi(x, boxes, image, offset, size, scale, samples, aligned, gamma):
    x, boxes = check.image(x), jnp.asarray(boxes)
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
    # points as fractions of the box: (1, *bins, *samples, ndim)
    points = jnp.asarray(
        _grid([(np.arange(b * s) + 0.5).reshape(b, s) / (b * s) for b, s in zip(size, samples, strict=True)])
    ).astype(boxes.dtype)
    places = points.reshape(1, prod(size), prod(samples), ndim)
    if offset is not None:
        offset = check.shape(offset, (rois, *size, ndim), "offset")
        places = places + gamma * offset.reshape(rois, prod(size), 1, ndim)
    positions = start[:, None, None] + places * extent[:, None, None]
    values = sample(
        x[..., None, :], image, positions.reshape(rois, prod(size) * prod(samples), 1, ndim), edge="replicate"
    )
    top = jnp.array(x.shape[1:-1], positions.dtype).reshape(1, 1, 1, ndim)
    near = ((positions >= -1) & (positions <= top)).all(-1)
    values = values.reshape(*near.shape, x.shape[-1]) * near[..., None].astype(x.dtype)
    return values.mean(2).reshape(rois, *size, x.shape[-1])


def _grid(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Combine positions (outer, inner) of every axis: outer of all, inner of all, then the axis itself."""
    ndim = len(rows)
    axes = []
    for axis, table in enumerate(rows):
        shape = [1] * (2 * ndim)
        shape[axis], shape[axis + ndim] = table.shape
        axes.append(table.reshape(shape))
    return np.stack(np.broadcast_arrays(*axes), axis=-1)
