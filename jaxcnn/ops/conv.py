"""Convolution, over one, two or three spatial axes by the rank of the input."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops import lowering as lowerings
from jaxcnn.ops.padding import pad_boundary


def conv(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps c_per_group features"],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = False,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve: ``y[i, f] = bias[f] + Σ_tap Σ_c x[i·stride - low + tap·dilation, c] · kernel[tap, c, f]``.

    This slides the kernel as it is (cross-correlation, the field's convolution); ``flip=True`` reverses its
    taps first, which is the convolution of mathematics: with ``padding="FULL"`` the product of two
    polynomials.

    Args:
      x: batch, one to three spatial axes, channels.
      kernel: taps of each spatial axis, channels / groups, features.
      bias: one number for each feature.
      strides: pixels between outputs, an int or one for each spatial axis.
      padding: VALID, SAME, CAUSAL, FULL (zeros), CIRCULAR, REFLECT, REPLICATE (the input continued), an int,
        or one name, int or (low, high) pair for each spatial axis; see
        :func:`jaxcnn.ops.geometry.resolve_padding`.
      dilation: pixels between taps, an int or one for each spatial axis.
      groups: channels and features are split, in order, in so many independent convolutions.
      flip: reverse the kernel along its spatial axes.
      lowering: how it is computed; ``"auto"`` chooses by backend and shape. The result is the same to
        rounding.

    Returns:
      Batch, the spatial axes of :func:`jaxcnn.ops.geometry.output_size`, features; in the promoted dtype of
      the arguments. Half precision accumulates in float32 and rounds once.

    Raises:
      TypeError: a static argument is of the wrong kind.
      ValueError: ranks, channels or groups do not agree, a number is too small, a name is unknown, or the
        kernel does not fit the padded input.

    Example:
      The product of 1 + 2z + 3z² and 4 + 5z + 6z²:

      >>> x, kernel = jnp.array([1.0, 2, 3]), jnp.array([4.0, 5, 6])
      >>> conv(x.reshape(1, 3, 1), kernel.reshape(3, 1, 1), padding="FULL", flip=True).ravel().tolist()
      [4.0, 13.0, 28.0, 27.0, 18.0]

    Paper: Fukushima, Neocognitron, Biological Cybernetics 36 (1980); LeCun et al., Gradient-based learning
    applied to document recognition, Proc. IEEE 86 (1998). Dilation: Yu and Koltun, ICLR 2016,
    arXiv:1511.07122.
    """
    x = check.image(x)
    kernel = check.kernel(kernel, x, groups)
    ndim = x.ndim - 2
    strides = geometry.spatial_tuple(strides, ndim, "strides")
    dilation = geometry.spatial_tuple(dilation, ndim, "dilation")
    pads = geometry.resolve_padding(padding, x.shape[1:-1], kernel.shape[:-2], strides, dilation)
    x, zeros = pad_boundary(x, pads)
    if flip:
        kernel = jnp.flip(kernel, tuple(range(ndim)))
    dtype = jnp.result_type(x, kernel)
    spec = lowerings.ConvSpec(strides, zeros, dilation, groups)
    geometry.output_sizes(  # refuses a kernel that does not fit
        x.shape[1:-1], kernel.shape[:-2], strides=strides, padding=zeros, dilation=dilation
    )
    return check.add_bias(lowerings.compute(x.astype(dtype), kernel.astype(dtype), spec, lowering), bias)
