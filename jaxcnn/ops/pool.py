"""Pooling: one value for each window of a feature map, channel by channel.

Windows are combined one axis after another from strided slices, which XLA fuses on every backend. Sizes and
padding mean what they mean in torch: ``strides=None`` is the window's size, ``ceil_mode`` keeps a last window
that hangs over the end.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxcnn.ops import check
from jaxcnn.ops.geometry import Padding
from jaxcnn.ops.geometry.window import Window
from jaxcnn.ops.shifted import shifted_max, shifted_sum
from jaxcnn.ops.window import lowest, reduce_window, slide

MOST_TAPS = 32
"""Longer windows are left to ``lax.reduce_window``: a slice for each tap would be much to compile."""


def max_pool(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Array, "n *pooled c"]:
    """Largest value of each window.

    y[i] = max over taps t of x[i·stride − low + t·dilation]; padding never wins. The gradient of a window
    goes to its first maximum in scan order (last axis fastest), as in torch. A NaN in a window makes its
    maximum NaN, whose gradient goes nowhere in particular.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each spatial axis.
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.

    Returns:
      Maxima, shape (n, *pooled, c), dtype of x.

    Raises:
      ValueError: x has no spatial axis, a size is not positive, no window fits, or a window lies in padding
        alone.

    Example:
      >>> x = jnp.array([1.0, 5.0, 2.0, 4.0]).reshape(1, 4, 1)
      >>> max_pool(x, 2).ravel(), max_pool(x, 3, strides=1).ravel()
      (Array([5., 4.], dtype=float32), Array([5., 5.], dtype=float32))
    """
    x, windows = slide(x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    if _shift(windows):
        return shifted_max(x, windows)
    return reduce_window(x, windows, lax.max, lowest(x.dtype))


def avg_pool(
    x: Float[Array, "n *spatial c"],
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Array, "n *pooled c"]:
    """Mean of each window.

    y[i] = Σ_t x[i·stride − low + t·dilation] / N_i. As in torch, N_i counts the taps in the input and its
    padding by default, but never those that hang over the end in ceil mode. Sums are float32.

    Args:
      x: values, shape (n, *spatial, c).
      window: taps on each spatial axis.
      strides: pixels between windows; the window's size by default.
      padding: a name of :data:`jaxcnn.ops.geometry.PADDINGS`, pixels, or (low, high) pairs.
      dilation: pixels between taps.
      ceil_mode: round the output size up, keeping a last window that hangs over the end.
      count_include_pad: whether padding zeros count in N_i; without them borders are not darkened.

    Returns:
      Means, shape (n, *pooled, c), dtype of x, float32 for integers.

    Raises:
      ValueError: x has no spatial axis, a size is not positive, no window fits, or a mean would have no
        values.

    Example:
      >>> x = jnp.array([2.0, 4.0, 6.0]).reshape(1, 3, 1)
      >>> avg_pool(x, 2, strides=1, padding=1).ravel()
      Array([1., 3., 5., 3.], dtype=float32)
      >>> avg_pool(x, 2, strides=1, padding=1, count_include_pad=False).ravel()
      Array([2., 3., 5., 6.], dtype=float32)
    """
    x = check.floats(x)
    dtype = x.dtype
    x, windows = slide(x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    x = x.astype(jnp.promote_types(dtype, jnp.float32))
    total = window_sum(x, windows)
    for axis, each in windows.items():
        counts = np.asarray(each.counts(count_include_pad), total.dtype)
        total = total * _along(1 / counts, axis, x.ndim)
    return total.astype(dtype)


def global_avg_pool(
    x: Float[Array, "n *spatial c"],
    *,
    mask: Bool[Array, " n *spatial"] | None = None,
    keepdims: bool = False,
) -> Float[Array, "n c"]:
    """Mean over all positions.

    Args:
      x: values, shape (n, *spatial, c), of any size.
      mask: shape (n, *spatial), True where values count: a batch of images of mixed sizes, padded to one.
      keepdims: keep the spatial axes with size 1.

    Returns:
      Means, shape (n, c), dtype of x, float32 for integers; 0 where an example is masked away whole.

    Raises:
      ValueError: x has no spatial axis or no pixel, or the mask's shape is not (n, *spatial).

    Example:
      >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
      Array([[1.5]], dtype=float32)
    """
    x, mask, axes = _global(check.floats(x), mask)
    values = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if mask is None:
        mean = values.mean(axes, keepdims=keepdims)
    else:
        total = jnp.where(mask[..., None], values, 0).sum(axes, keepdims=keepdims)
        mean = total / jnp.maximum(mask[..., None].sum(axes, keepdims=keepdims), 1)
    return mean.astype(x.dtype)


def global_max_pool(
    x: Float[Array, "n *spatial c"],
    *,
    mask: Bool[Array, " n *spatial"] | None = None,
    keepdims: bool = False,
) -> Float[Array, "n c"]:
    """Maximum over all positions; equal maxima share the gradient.

    Args:
      x: values, shape (n, *spatial, c), of any size.
      mask: shape (n, *spatial), True where values count: a batch of images of mixed sizes, padded to one.
      keepdims: keep the spatial axes with size 1.

    Returns:
      Maxima, shape (n, c), dtype of x; its smallest value, −∞ for floats, where an example is masked away
      whole.

    Raises:
      ValueError: x has no spatial axis or no pixel, or the mask's shape is not (n, *spatial).

    Example:
      >>> global_max_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
      Array([[3.]], dtype=float32)
    """
    x, mask, axes = _global(x, mask)
    if mask is not None:
        x = jnp.where(mask[..., None], x, lowest(x.dtype))
    return x.max(axes, keepdims=keepdims)


def window_sum(x: Array, windows: dict[int, Window]) -> Array:
    """Sum of each window, zeros outside the input, of values from :func:`jaxcnn.ops.window.slide`."""
    return shifted_sum(x, windows) if _shift(windows) else reduce_window(x, windows, lax.add, 0.0)


def _shift(windows: dict[int, Window]) -> bool:
    """Whether shifted arrays are the better form: measured on CPUs, untested elsewhere."""
    if any(each.dilation > 1 for each in windows.values()):
        return True  # JAX cannot differentiate the other
    return jax.default_backend() == "cpu" and max(each.kernel for each in windows.values()) <= MOST_TAPS


def _along(values: np.ndarray, axis: int, ndim: int) -> Array:
    if np.all(values == values[0]):
        return jnp.asarray(values[0])
    shape = [1] * ndim
    shape[axis] = -1
    return jnp.asarray(values.reshape(shape))


def _global(x: Array, mask: Array | None) -> tuple[Array, Array | None, tuple[int, ...]]:
    x = check.pixels(x)
    return x, mask if mask is None else check.mask(mask, x), tuple(range(1, x.ndim - 1))
