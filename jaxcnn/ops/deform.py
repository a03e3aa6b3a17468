"""Convolution that chooses where it looks."""

from collections.abc import Sequence
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.padding import pad_boundary
from jaxcnn.ops.sampling import sample


@jax.named_scope("ops.deform_conv")  # one layer, whatever it is computed by
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
    x = check.floats(check.image(x))
    kernel = check.kernel(kernel, x, groups)
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
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
    offset = check.shape(offset, (n, *outputs, offset_groups * count * ndim), "offset")
    offset = jnp.moveaxis(offset.reshape(n, *outputs, offset_groups, count, ndim), -2, 0)
    if mask is not None:
        mask = check.shape(mask, (n, *outputs, offset_groups * count), "mask")
        mask = jnp.moveaxis(mask.reshape(n, *outputs, offset_groups, count), -1, 0)
    places = [axis.T[tap] for axis, tap in zip(rows, np.unravel_index(range(count), taps), strict=True)]
    weights = kernel.reshape(count, channels // groups, groups, features // groups)
    weights = jnp.swapaxes(weights, 1, 2)
    grouped = x.reshape(*x.shape[:-1], offset_groups, channels // offset_groups)
    exact = jnp.promote_types(dtype, jnp.float32)

    def add_tap(y, tap):
        offset, mask, places, weights = tap
        still = jnp.stack(jnp.meshgrid(*places, indexing="ij"), axis=-1)[None, ..., None, :]
        positions = (offset + still.astype(exact)).reshape(n, prod(outputs), offset_groups, ndim)
        factor = None if mask is None else mask.reshape(positions.shape[:-1])
        values = sample(grouped, jnp.arange(n), positions, factor)
        values = values.reshape(n * prod(outputs), groups, channels // groups)
        batched = (((2,), (1,)), ((1,), (0,)))
        return y + lax.dot_general(values, weights, batched, preferred_element_type=exact), None

    y = jnp.zeros((groups, n * prod(outputs), features // groups), exact)
    y, _ = lax.scan(jax.checkpoint(add_tap, prevent_cse=False), y, (offset, mask, places, weights))
    y = jnp.swapaxes(y, 0, 1)
    return check.add_bias(y.reshape(n, *outputs, features).astype(dtype), bias)
