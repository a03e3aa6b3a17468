"""Normalisation of each example on its own: the same in training and evaluation.

Subtract a mean, divide by a standard deviation, scale and shift per channel; which values share one mean and
variance is the only difference between the layers.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcnn.ops import check
from jaxcnn.ops.moments import check_rank, moments, normalize, positions


def layer_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, " c"] | None = None,
    bias: Float[Array, " c"] | None = None,
    *,
    axis: int | Sequence[int] = -1,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Layer normalisation: one mean and variance for each example, over the given axes.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over ``axis``. The default,
    channels alone at each position, is what ConvNeXt uses; ``axis=(1, 2, 3)`` takes a whole image, as in the
    paper. Scale and bias are per channel in both, so that the layer does not depend on the size of the image.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      axis: axes that share one mean and variance; not the batch axis.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x, float32 for integers.

    Raises:
      ValueError: an axis is out of range, repeated or the batch axis, a parameter's shape is not (c,), or
        epsilon is negative.

    Example:
      >>> layer_norm(jnp.array([[1.0, 3.0], [10.0, 30.0]])).round(2)
      Array([[-1.,  1.],
             [-1.,  1.]], dtype=float32)

    Paper: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
    """
    x = check_rank(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    positive = tuple(a + x.ndim if a < 0 else a for a in axes)
    if not axes or len(set(positive)) < len(axes) or not all(0 < a < x.ndim for a in positive):
        raise ValueError(f"axis={axis!r}: expected each of the axes 1 to {x.ndim - 1}, or -1, at most once")
    mean, var, _ = moments(x, positive)
    return normalize(x, mean, var, scale, bias, epsilon)


def group_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, " c"] | None = None,
    bias: Float[Array, " c"] | None = None,
    *,
    groups: int = 32,
    mask: Bool[Array, " n *spatial"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Group normalisation: one mean and variance for each example and group of neighbouring channels.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over all positions and the c/groups
    channels of a group. One group is layer normalisation over the whole image; c groups are instance
    normalisation.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      groups: number of groups; divides c.
      mask: shape (n,) or (n, *spatial), True where values count towards the statistics; other values are
        taken for zeros.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x, float32 for integers.

    Raises:
      ValueError: groups does not divide c, a parameter's or the mask's shape does not fit, or epsilon
        is negative.

    Example:
      >>> group_norm(jnp.array([[1.0, 3.0, 10.0, 30.0]]), groups=2).round(2)
      Array([[-1.,  1., -1.,  1.]], dtype=float32)

    Paper: Wu and He, "Group Normalization", 2018, arXiv:1803.08494.
    """
    x = check_rank(x)
    channels = x.shape[-1]
    check.divides("groups", groups, "channels", channels)
    mask = positions(mask, x)
    if mask is not None:
        x = jnp.where(mask, x, 0)

    # Channels are summed first and groups among the few sums: the large array is never reshaped.
    def over_group(per_channel: Array) -> Array:
        grouped = per_channel.reshape(-1, groups, channels // groups).mean(-1)
        return jnp.repeat(grouped, channels // groups, axis=-1).reshape(per_channel.shape)

    axes = tuple(range(1, x.ndim - 1))
    mean, var, _ = moments(x, axes, mask=mask, share=over_group)
    return normalize(x, mean, var, scale, bias, epsilon)


def instance_norm(
    x: Float[Array, "n *spatial c"],
    scale: Float[Array, " c"] | None = None,
    bias: Float[Array, " c"] | None = None,
    *,
    mask: Bool[Array, " n *spatial"] | None = None,
    epsilon: float = 1e-5,
) -> Float[Array, "n *spatial c"]:
    """Instance normalisation: one mean and variance for each example and channel.

    y = scale · (x − mean) / √(var + ε) + bias, mean and (biased) variance over all positions: group
    normalisation with one channel a group. Statistics are the same in training and evaluation.

    Args:
      x: values, shape (n, *spatial, c).
      scale: shape (c,), or None for 1.
      bias: shape (c,), or None for 0.
      mask: shape (n,) or (n, *spatial), True where values count towards the statistics; other values are
        taken for zeros.
      epsilon: added to the variance.

    Returns:
      Normalised values, shape and dtype of x, float32 for integers.

    Raises:
      ValueError: a parameter's or the mask's shape does not fit, or epsilon is negative.

    Example:
      >>> instance_norm(jnp.array([[[1.0], [3.0]]])).round(2).ravel()
      Array([-1.,  1.], dtype=float32)

    Paper: Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016, arXiv:1607.08022.
    """
    x = check_rank(x)
    return group_norm(x, scale, bias, groups=max(x.shape[-1], 1), mask=mask, epsilon=epsilon)


def local_response_norm(
    x: Float[Array, "n *spatial c"],
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Float[Array, "n *spatial c"]:
    """Local response normalisation: each value divided by the activity of neighbouring channels.

    y_c = x_c / (k + α/size · Σ_j x_j²)^β, over the channels from c − ⌊size/2⌋ to c + ⌊(size − 1)/2⌋ that
    exist. As in torch the sum is divided by the full ``size`` even at the ends; the paper does not divide at
    all, so its α = 10⁻⁴ with 5 channels and k = 2 is ``alpha=5e-4, k=2`` here.

    Args:
      x: values, shape (n, *spatial, c).
      size: channels that compete.
      alpha: strength.
      beta: exponent.
      k: added to the mean square.

    Returns:
      Normalised values, shape and dtype of x, float32 for integers.

    Raises:
      TypeError, ValueError: size is not a positive int, or x has no channel axis.

    Example:
      >>> local_response_norm(jnp.array([[1.0, 1.0]]), 2, alpha=2.0, beta=1.0, k=0.0)
      Array([[1. , 0.5]], dtype=float32)

    Paper: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 3.3.
    """
    x = check_rank(x)
    size = check.whole("size", size)
    squares = jnp.square(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    widths = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    padded = jnp.pad(squares, widths)
    near = functools.reduce(jnp.add, (padded[..., i : i + x.shape[-1]] for i in range(size)))
    return (x * (k + alpha / size * near) ** -beta).astype(x.dtype)


def weight_standardize(
    kernel: Float[Array, "*taps c features"],
    gain: Float[Array, " features"] | None = None,
    *,
    epsilon: float = 1e-5,
) -> Float[Array, "*taps c features"]:
    """Weight standardisation: a kernel with mean 0 and variance 1 over what each feature sums.

    w_f = gain_f · (w_f − mean) / √(var + ε), mean and (biased) variance over all axes but the last. It
    smooths the loss as batch normalisation does but does not look at the batch.

    Args:
      kernel: shape (*taps, c / groups, features).
      gain: shape (features,), or None for 1; 1 / √fan_in with a learned factor is the scaled form of
        normaliser-free networks (arXiv:2101.08692).
      epsilon: added to the variance.

    Returns:
      The standardised kernel, shape and dtype of the kernel, float32 for integers.

    Raises:
      ValueError: gain's shape is not (features,), the kernel has fewer than two axes, or epsilon is negative.

    Example:
      >>> weight_standardize(jnp.array([[1.0], [3.0]])).round(2).ravel()
      Array([-1.,  1.], dtype=float32)

    Paper: Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
    2019, arXiv:1903.10520.
    """
    kernel = check.floats(kernel)
    if kernel.ndim < 2:
        raise ValueError(f"kernel has shape {kernel.shape}: expected (*taps, channels, features)")
    if gain is not None:
        gain = check.shape(gain, kernel.shape[-1:], "gain")
    mean, var, _ = moments(kernel, range(kernel.ndim - 1))
    return normalize(kernel, mean, var, gain, None, epsilon)


def weight_normalize(
    kernel: Float[Array, "*taps c features"], gain: Float[Array, " features"]
) -> Float[Array, "*taps c features"]:
    """Weight normalisation: length and direction of a kernel apart, ŵ_f = g_f · w_f / |w_f|.

    Args:
      kernel: directions, shape (*taps, channels, features).
      gain: lengths, shape (features,).

    Returns:
      The kernel, shape and dtype of ``kernel``, float32 for integers; a feature of zeros stays zero.

    Raises:
      ValueError: the kernel has no channels and features, or there is not one gain for each feature.

    Example:
      >>> weight_normalize(jnp.array([[3.0], [4.0]]), jnp.array([10.0])).ravel()
      Array([6., 8.], dtype=float32)

    Paper: Salimans and Kingma, "Weight Normalization", 2016, arXiv:1602.07868.
    """
    kernel = check.floats(kernel)
    if kernel.ndim < 2:
        raise ValueError(f"kernel has shape {kernel.shape}: expected (*taps, channels, features)")
    gain = check.shape(gain, kernel.shape[-1:], "gain")
    wide = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    square = jnp.sum(wide * wide, axis=tuple(range(kernel.ndim - 1)), keepdims=True)
    shrink = jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return (wide * shrink * gain.astype(wide.dtype).reshape(square.shape)).astype(kernel.dtype)
