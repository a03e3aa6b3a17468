"""Pooling as weighted and power means."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.depthwise import depthwise_conv
from jaxcnn.ops.filters import Number, binomial_filter, gaussian_filter
from jaxcnn.ops.pool import max_pool, window_sum
from jaxcnn.ops.window import slide


def lp_pool(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    p: Number = 2.0,
    strides: int | Sequence[int] | None = None,
    padding: geometry.Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Array, "n *pooled c"]:
    """Norm of each window: y = (Σ_window |x|^p)^(1/p).

    p = 1 sums absolute values, 2 is the Euclidean norm, ∞ the largest absolute value. Sums are float32; where
    a window holds zeros alone the gradient is 0.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each spatial axis.
      p: exponent, 1 or more; may be traced, and learned, where finite.
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.

    Returns:
      Norms, shape (n, *pooled, c), dtype of x, float32 for integers.

    Raises:
      ValueError: p is below 1, or what :func:`max_pool` refuses.

    Example:
      >>> lp_pool(jnp.array([3.0, -4.0]).reshape(1, 2, 1), 2).ravel()
      Array([5.], dtype=float32)

    Paper: Sermanet, Chintala and LeCun, "Convolutional Neural Networks Applied to House Numbers Digit
    Classification", 2012, arXiv:1204.3968.
    """
    check.number("p", p, lambda p: p >= 1, "1 or more, or infinity")
    numbers: dict[str, Any] = {
        "strides": strides,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    x = check.floats(x)
    if isinstance(p, Real) and p == float("inf"):
        return max_pool(jnp.abs(x), window, **numbers)
    powers, windows = slide(
        jnp.abs(x.astype(jnp.promote_types(x.dtype, jnp.float32))) ** p, window, **numbers
    )
    total = window_sum(powers, windows)
    return jnp.where(total > 0, jnp.where(total > 0, total, 1) ** (1 / p), 0).astype(x.dtype)


def weighted_pool(
    x: Float[Array, "n *spatial c"],
    weights: Float[Array, "*window"],
    *,
    strides: int | Sequence[int] | None = None,
    padding: geometry.Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Array, "n *pooled c"]:
    """Weighted sum of each window, channel by channel: y[i] = Σ_t w[t] · x[i·stride − low + t·dilation].

    A depthwise convolution whose kernel the channels share: average pooling where all weights are 1/Πk.

    Args:
      x: values, shape (n, *spatial, c).
      weights: shape (*window), for all channels, or (*window, c).
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.

    Returns:
      Weighted sums, shape (n, *pooled, c), of the promoted dtype.

    Raises:
      ValueError: the weights' shape fits neither form, or what :func:`max_pool` refuses.

    Example:
      >>> x = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
      >>> weighted_pool(x, jnp.array([0.75, 0.25])).ravel()
      Array([1.25, 3.25], dtype=float32)
    """
    x, weights = check.image(x), jnp.asarray(weights)
    ndim = x.ndim - 2
    if weights.ndim not in (ndim, ndim + 1) or weights.shape[ndim:] not in ((), x.shape[-1:]):
        raise ValueError(
            f"weights have shape {weights.shape}: expected {ndim} axes of taps, and the channels or nothing "
            f"behind them, for x of shape {x.shape}"
        )
    x, windows = slide(
        x, weights.shape[:ndim], strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
    kernel = weights.reshape(*weights.shape[:ndim], 1, -1)
    return depthwise_conv(
        x,
        jnp.broadcast_to(kernel, (*kernel.shape[:-1], x.shape[-1])),
        strides=[each.stride for each in windows.values()],
        padding=[each.reach() for each in windows.values()],
        dilation=dilation,
    )


def gaussian_pool(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    sigma: float | Sequence[float] | None = None,
    strides: int | Sequence[int] | None = None,
    padding: geometry.Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Array, "n *pooled c"]:
    """Mean of each window weighted by a Gaussian about its middle; padding counts as zeros.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each spatial axis.
      sigma: standard deviation in taps, one for all axes or one each; a quarter of the window by default.
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.

    Returns:
      Weighted means, shape (n, *pooled, c), dtype of x, float32 for integers.

    Raises:
      ValueError: sigma is not positive, or has another number of entries than the window, or what
        :func:`max_pool` refuses.

    Example:
      >>> gaussian_pool(jnp.array([0.0, 1.0, 0.0]).reshape(1, 3, 1), 3, sigma=0.8).ravel().round(2)
      Array([0.52], dtype=float32)
    """
    x = check.floats(check.image(x))
    weights = gaussian_filter(geometry.spatial_tuple(window, x.ndim - 2, "window"), sigma)[..., 0, 0]
    return weighted_pool(
        x, weights.astype(x.dtype), strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


def blur_pool(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int] = 3,
    *,
    strides: int | Sequence[int] = 2,
    padding: geometry.Padding = "REFLECT",
) -> Float[Array, "n *pooled c"]:
    """Subsampling after a binomial low-pass filter, so that what is too fine for the new grid does not alias.

    Behind a dense max-pool or convolution it replaces their stride and makes the network nearly equivariant
    to shifts.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps of the filter; 1 only subsamples, 3 is (1, 2, 1)/4.
      strides: pixels between outputs.
      padding: as in :func:`jaxcnn.ops.geometry.resolve_padding`.

    Returns:
      Filtered values, shape (n, *⌈spatial/strides⌉, c) with the default padding, dtype of x,
      float32 for integers.

    Raises:
      ValueError: a size is not positive, or the padding does not fit.

    Example:
      >>> blur_pool(jnp.array([0.0, 4.0, 0.0, 4.0]).reshape(1, 4, 1)).ravel()
      Array([2., 2.], dtype=float32)

    Paper: Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019, arXiv:1904.11486.
    """
    x = check.floats(check.image(x))
    weights = binomial_filter(geometry.spatial_tuple(window, x.ndim - 2, "window"))[..., 0, 0]
    return weighted_pool(x, weights.astype(x.dtype), strides=strides, padding=padding)
