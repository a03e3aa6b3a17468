"""Convolutions whose weights differ from place to place: locally connected and tiled."""

from collections.abc import Sequence
from itertools import product
from math import prod

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.padding import pad_boundary, take_rows


def local_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*out_and_taps c_per_group features"],
    bias: Float[Array, "*out features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n *out features"]:
    """Convolve with a kernel of its own for every output pixel: no weight is shared.

    ``y[i, f] = bias[i, f] + Σ_tap Σ_c x[i·stride - low + tap·dilation, c] · kernel[i, tap, c, f]``

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: outputs of each spatial axis, taps of each spatial axis, channels / groups, features.
      bias: a number for each output pixel and feature.
      strides, padding, dilation, groups: as in :func:`jaxcnn.ops.conv`.

    Returns:
      Batch, outputs of each spatial axis, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; the kernel's first axes are not the output's.

    Example:
      >>> kernel = jnp.arange(4.0).reshape(4, 1, 1, 1)
      >>> local_conv(jnp.ones((1, 4, 1)), kernel).ravel().tolist()
      [0.0, 1.0, 2.0, 3.0]

    Paper: LeCun, Generalization and network design strategies, 1989; Taigman et al., DeepFace, CVPR 2014.
    """
    y = tiled_conv(x, kernel, bias, strides=strides, padding=padding, dilation=dilation, groups=groups)
    outputs, places = y.shape[1:-1], kernel.shape[: y.ndim - 2]
    if outputs != places:
        raise ValueError(
            f"kernel has shape {kernel.shape}: expected its first axes to be the output's, {outputs}"
        )
    return y


def tiled_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*tiles_and_taps c_per_group features"],
    bias: Float[Array, "*tiles features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n *out features"]:
    """Convolve with t kernels in turn along each axis: output ``i`` uses kernel ``i mod t``.

    One tile is a convolution; as many tiles as outputs are :func:`local_conv`. Between the two, units t
    pixels apart share weights and neighbours do not, so pooling over neighbours can learn invariances of its
    own.

    The windows of all outputs are laid out in memory, taps times the input, and multiplied with their
    kernels.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: tiles of each spatial axis, taps of each spatial axis, channels / groups, features.
      bias: a number for each tile and feature.
      strides, padding, dilation, groups: as in :func:`jaxcnn.ops.conv`.

    Returns:
      Batch, outputs of each spatial axis, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`.

    Example:
      >>> kernel = jnp.array([1.0, 10.0]).reshape(2, 1, 1, 1)
      >>> tiled_conv(jnp.ones((1, 5, 1)), kernel).ravel().tolist()
      [1.0, 10.0, 1.0, 10.0, 1.0]

    Paper: Le et al., Tiled convolutional neural networks, NeurIPS 2010.
    """
    x, kernel = check.image(x), jnp.asarray(kernel)
    ndim = x.ndim - 2
    if kernel.ndim != 2 * ndim + 2 or min(kernel.shape) < 1:
        raise ValueError(
            f"kernel has shape {kernel.shape}: expected {ndim} axes of places, {ndim} of taps, then "
            f"(channels / groups, features), each 1 or more, for x of shape {x.shape}"
        )
    check.kernel_channels(kernel, x, groups)
    tiles, taps, (width, features) = kernel.shape[:ndim], kernel.shape[ndim:-2], kernel.shape[-2:]
    strides = geometry.spatial_tuple(strides, ndim, "strides")
    dilation = geometry.spatial_tuple(dilation, ndim, "dilation")
    x, zeros = pad_boundary(x, geometry.resolve_padding(padding, x.shape[1:-1], taps, strides, dilation))
    outputs, rounds = [], []
    for axis, (pair, k, stride, gap) in enumerate(zip(zeros, taps, strides, dilation, strict=True)):
        size = x.shape[axis + 1]
        outputs.append(geometry.output_size(size, k, stride=stride, padding=pair, dilation=gap))
        rounds.append(-(-outputs[axis] // tiles[axis]))
        rows = geometry.input_size(rounds[axis] * tiles[axis], k, stride=stride, dilation=gap)
        x = take_rows(x, axis + 1, -pair[0], rows)

    windows = _windows(x, taps, strides, dilation)
    by_tile = [size for pair in zip(rounds, tiles, strict=True) for size in pair]
    windows = windows.reshape(x.shape[0], *by_tile, prod(taps), groups, width)
    weights = kernel.reshape(*tiles, prod(taps), width, groups, features // groups)
    places, turns = "xyz"[:ndim], "abd"[:ndim]
    both = "".join(map("".join, zip(turns, places, strict=True)))
    y = jnp.einsum(f"n{both}kgc,{places}kcgf->n{both}gf", windows, weights)
    y = y.reshape(x.shape[0], *by_tile, features)
    if bias is not None:
        bias = check.shape(bias, (*tiles, features), "bias")
        spread = (1, *(size for t in tiles for size in (1, t)), features)
        y = y + bias.reshape(spread)
    y = y.reshape(x.shape[0], *(r * t for r, t in zip(rounds, tiles, strict=True)), features)
    return y[(slice(None), *map(slice, outputs))]


def _windows(x: jax.Array, taps: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> jax.Array:
    """What every output reads: batch, outputs, taps in one axis, channels."""
    last = [
        size - geometry.extent(k, gap) + 1 for size, k, gap in zip(x.shape[1:-1], taps, dilation, strict=True)
    ]
    slices = []
    for tap in product(*map(range, taps)):
        start = [i * gap for i, gap in zip(tap, dilation, strict=True)]
        stop = [first + count for first, count in zip(start, last, strict=True)]
        slices.append(lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *strides, 1)))
    return jnp.stack(slices, axis=-2)
