"""Convolutions that keep channels apart for a while: depthwise, depthwise-separable, grouped and shuffled."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv


def depthwise_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps 1 features"],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    flip: bool = False,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve every channel on its own: :func:`jaxcnn.ops.conv` with as many groups as channels.

    Args:
      x: batch, one to three spatial axes, c channels.
      kernel: taps of each spatial axis, 1, features; with features = c·m, feature ``f`` reads channel ``f //
        m``.
      bias: one number for each feature.
      strides, padding, dilation, flip, lowering: as in :func:`jaxcnn.ops.conv`.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; the features are no multiple of the channels.

    Example:
      >>> x, kernel = jnp.ones((1, 4, 2)), jnp.array([[[1.0, 10.0]]])
      >>> depthwise_conv(x, kernel)[0, 0].tolist()
      [1.0, 10.0]

    Paper: Sifre, Rigid-motion scattering for image classification, PhD thesis, École Polytechnique, 2014.
    """
    x = check.image(x)
    return conv(
        x,
        kernel,
        bias,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=x.shape[-1],
        flip=flip,
        lowering=lowering,
    )


def separable_conv(
    x: Float[Array, "n *spatial c"],
    depthwise: Float[Array, "*taps 1 middle"],
    pointwise: Float[Array, "c_or_middle features"],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    pointwise_first: bool = False,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve in two steps, space and channels: a depthwise convolution and a map of the channels.

    The kernel it amounts to is ``kernel[tap, c, f] = Σ_m depthwise[tap, c, m] · pointwise[c·m, f]``, or
    ``depthwise[tap, f] · pointwise[c, f]`` with the pointwise map first.

    Args:
      x: batch, one to three spatial axes, channels.
      depthwise: taps of each spatial axis, 1, a multiple of the channels it reads.
      pointwise: channels in, channels out.
      bias: one number for each feature.
      strides, padding, dilation: of the depthwise step, as in :func:`jaxcnn.ops.conv`.
      pointwise_first: mix the channels before the spatial step.
      lowering: how the depthwise step is computed.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; the pointwise map does not fit.

    Example:
      >>> y = separable_conv(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 1, 2)), jnp.ones((2, 4)))
      >>> y.shape, float(y[0, 2, 2, 0])
      ((1, 5, 5, 4), 18.0)

    Paper: Chollet, Xception, CVPR 2017, arXiv:1610.02357; Howard et al., MobileNets, 2017, arXiv:1704.04861.
    Pointwise first: Haase and Amthor, Rethinking depthwise separable convolutions, CVPR 2020,
    arXiv:2003.13549.
    """
    x, depthwise, pointwise = check.image(x), jnp.asarray(depthwise), jnp.asarray(pointwise)
    if pointwise.ndim != 2:
        raise ValueError(f"pointwise has shape {pointwise.shape}: expected (channels, features)")
    read = pointwise.shape[1] if pointwise_first else x.shape[-1]
    if depthwise.ndim != x.ndim or depthwise.shape[-2] != 1 or depthwise.shape[-1] % max(read, 1):
        raise ValueError(
            f"depthwise has shape {depthwise.shape}: expected {x.ndim - 2} spatial axes, then (1, features), "
            f"a multiple of the {read} channels it reads"
        )
    mixed = x.shape[-1] if pointwise_first else depthwise.shape[-1]
    if pointwise.shape[0] != mixed:
        raise ValueError(f"pointwise has shape {pointwise.shape}: expected ({mixed}, features)")
    mix = pointwise.reshape((1,) * (x.ndim - 2) + pointwise.shape)
    spatial = partial(depthwise_conv, strides=strides, padding=padding, dilation=dilation, lowering=lowering)
    if pointwise_first:
        return spatial(conv(x, mix), depthwise, bias)
    return conv(spatial(x, depthwise), mix, bias)


def pointwise_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "c_per_group features"],
    bias: Float[Array, " features"] | None = None,
    *,
    groups: int = 1,
    lowering: str = "auto",
) -> Float[Array, "n *spatial features"]:
    """Map the channels of every pixel, in independent groups: a convolution of one tap.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: channels / groups, features.
      bias: one number for each feature.
      groups: channels and features are split, in order, in so many independent maps.
      lowering: how it is computed.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`.

    Example:
      >>> pointwise_conv(jnp.ones((1, 7, 7, 64)), jnp.ones((16, 32)), groups=4).shape
      (1, 7, 7, 32)

    Paper: Lin et al., Network in network, ICLR 2014, arXiv:1312.4400. Groups: Zhang et al., ShuffleNet, CVPR
    2018, arXiv:1707.01083.
    """
    x, kernel = check.image(x), jnp.asarray(kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel has shape {kernel.shape}: expected (channels / groups, features)")
    kernel = kernel.reshape((1,) * (x.ndim - 2) + kernel.shape)
    return conv(x, kernel, bias, groups=groups, lowering=lowering)


def channel_shuffle(x: Float[Array, "*batch c"], groups: int) -> Float[Array, "*batch c"]:
    """Deal the channels of every group to all groups: channel ``g·m + i`` goes to ``i·groups + g``, m
    channels a group.

    Args:
      x: any leading axes, channels.
      groups: divides the channels.

    Returns:
      The same channels in another order. A second shuffle with channels / groups groups undoes it.

    Raises:
      TypeError: ``groups`` is not an int.
      ValueError: ``groups`` does not divide the channels.

    Example:
      >>> channel_shuffle(jnp.arange(6), 2).tolist()
      [0, 3, 1, 4, 2, 5]

    Paper: Zhang et al., ShuffleNet, CVPR 2018, arXiv:1707.01083.
    """
    x = check.vectors(x)
    check.divides("groups", groups, "channels of x", x.shape[-1])
    dealt = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return jnp.swapaxes(dealt, -1, -2).reshape(x.shape)


def shuffled_conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps c_per_group features"],
    bias: Float[Array, " features"] | None = None,
    *,
    groups: int,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve in groups, then shuffle the features, so that the next groups each read all of these.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: taps of each spatial axis, channels / groups, features.
      bias: one number for each feature, in the order before the shuffle.
      groups: of the convolution and of :func:`channel_shuffle`.
      strides, padding, dilation, lowering: as in :func:`jaxcnn.ops.conv`.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`.

    Example:
      >>> x, kernel = jnp.arange(4.0).reshape(1, 1, 4), jnp.array([[[1.0, 10, 1, 10], [0, 0, 0, 0]]])
      >>> shuffled_conv(x, kernel, groups=2).ravel().tolist()
      [0.0, 2.0, 0.0, 20.0]

    Paper: Zhang et al., ShuffleNet, CVPR 2018, arXiv:1707.01083.
    """
    y: jax.Array = conv(
        x,
        kernel,
        bias,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=groups,
        lowering=lowering,
    )
    return channel_shuffle(y, groups)
