"""Transposed convolution: the gradient of a convolution, used forward to enlarge images."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops import lowering as lowerings
from jaxcnn.ops.padding import take_rows


def conv_transpose(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps c features_per_group"],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    output_padding: int | Sequence[int] = 0,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve transposed: ``y[p, f] = Σ_c x[j, c] · kernel[tap, c, f]`` over ``p = j·stride - low +
    tap·dilation``.

    It is the linear map whose matrix is the transpose of that of :func:`jaxcnn.ops.conv` with the same
    numbers and the kernel's last two axes exchanged, that is, the gradient of that convolution in its input.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: taps of each spatial axis, channels, features / groups.
      bias: one number for each feature.
      strides: output pixels between inputs, an int or one for each spatial axis.
      padding: pixels cropped from the output; SAME and CIRCULAR give size·stride outputs, CAUSAL too, with
        output ``t`` reading inputs up to ⌊t / stride⌋; VALID, FULL, an int or (low, high) pairs as in torch.
        See :func:`jaxcnn.ops.geometry.resolve_transposed_padding`.
      dilation: output pixels between taps, an int or one for each spatial axis.
      groups: channels and features are split, in order, in so many independent maps.
      output_padding: further outputs at the high end, fewer than the stride or dilation.
      lowering: how it is computed, as in :func:`jaxcnn.ops.conv`; the result is the same to rounding.

    Returns:
      Batch, the spatial axes of :func:`jaxcnn.ops.geometry.transposed_size`, features.

    Raises:
      TypeError: a static argument is of the wrong kind.
      ValueError: ranks, channels or groups do not agree, a number is out of range, a name is unknown or has
        no transpose, or nothing is left after cropping.

    Example:
      >>> x, kernel = jnp.ones((1, 3, 1)), jnp.array([1.0, 2, 3]).reshape(3, 1, 1)
      >>> conv_transpose(x, kernel, strides=2, padding=0).ravel().tolist()
      [1.0, 2.0, 4.0, 2.0, 4.0, 2.0, 3.0]

    Paper: Zeiler et al., Deconvolutional networks, CVPR 2010; Dumoulin and Visin, A guide to convolution
    arithmetic for deep learning, 2016, arXiv:1603.07285.
    """
    x = check.image(x)
    kernel = check.transposed_kernel(kernel, x, groups)
    ndim = x.ndim - 2
    strides = geometry.spatial_tuple(strides, ndim, "strides")
    dilation = geometry.spatial_tuple(dilation, ndim, "dilation")
    extra = geometry.spatial_tuple(output_padding, ndim, "output_padding", minimum=0)
    taps = kernel.shape[:ndim]
    crops = geometry.resolve_transposed_padding(padding, x.shape[1:-1], taps, strides, dilation, extra)
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), jnp.swapaxes(kernel.astype(dtype), -1, -2)

    sizes, pads, missing = [], [], []
    for axis, (pad, outputs) in enumerate(crops, start=1):
        stride, span, low = strides[axis - 1], geometry.extent(taps[axis - 1], dilation[axis - 1]), pad.low
        if pad.mode == "circular":  # as much of the ring on either side as the kernel reaches
            around = -(-span // stride)
            x = take_rows(x, axis, -around, x.shape[axis] + 2 * around, circular=True)
            low += around * stride
        reached = (x.shape[axis] - 1) * stride + span - low
        sizes.append(min(outputs, reached))
        pads.append((low, reached - sizes[-1]))
        missing.append((0, outputs - sizes[-1]))  # output_padding may lie beyond the last tap
    if min(sizes) <= 0:  # all outputs do
        shape = (x.shape[0], *(outputs for _, outputs in crops), kernel.shape[-2] * groups)
        return check.add_bias(jnp.zeros(shape, dtype), bias)
    spec = lowerings.ConvSpec(strides, tuple(pads), dilation, groups)
    y = lowerings.transposed(x, kernel, tuple(sizes), spec, lowering)
    return check.add_bias(jnp.pad(y, [(0, 0), *missing, (0, 0)]), bias)
