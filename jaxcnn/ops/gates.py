"""Attention that rescales: y = x · g, with a gate g in (0, 1) computed from x."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcnn.ops import check
from jaxcnn.ops.conv import conv
from jaxcnn.ops.dense import dense
from jaxcnn.ops.pool import global_avg_pool, global_max_pool

Affine = tuple[Float[Array, "c features"], Float[Array, " features"] | None]
"""Kernel and bias of a dense layer over channels."""

Function = Callable[[Array], Array]
Mask = Bool[Array, " n *spatial"] | None


def squeeze_excite(
    x: Float[Array, "n *spatial c"],
    squeeze: Affine,
    excite: Affine,
    *,
    activation: Function = jax.nn.relu,
    gate: Function = jax.nn.sigmoid,
    mask: Mask = None,
) -> Float[Array, "n *spatial c"]:
    """Squeeze and excitation: one gate for each example and channel.

    y = x · σ(excite(relu(squeeze(mean over positions of x)))), with dense layers c → r → c.

    Args:
      x: values, shape (n, *spatial, c).
      squeeze: kernel (c, r) and bias (r,) or None.
      excite: kernel (r, c) and bias (c,) or None.
      activation: between the two.
      gate: of the result, such as ``jax.nn.hard_sigmoid``.
      mask: as in :func:`jaxcnn.ops.global_avg_pool`.

    Returns:
      Gated values, shape of x.

    Raises:
      ValueError: shapes do not agree.

    Example:
      >>> zeros = (jnp.zeros((4, 2)), None), (jnp.zeros((2, 4)), None)
      >>> squeeze_excite(jnp.ones((1, 3, 3, 4)), *zeros)[0, 0, 0]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    Paper: Hu, Shen and Sun, "Squeeze-and-Excitation Networks", 2018, arXiv:1709.01507.
    """
    x, mask = _inside(x, mask)
    pooled = global_avg_pool(x, mask=mask, keepdims=True)
    return x * gate(_bottleneck(pooled, squeeze, excite, activation))


def channel_attention(
    x: Float[Array, "n *spatial c"],
    squeeze: Affine,
    excite: Affine,
    *,
    activation: Function = jax.nn.relu,
    mask: Mask = None,
) -> Float[Array, "n *spatial c"]:
    """The first half of CBAM: one gate for each example and channel, from means and maxima.

    y = x · σ(f(mean over positions) + f(max over positions)) with f = excite ∘ relu ∘ squeeze.

    Args:
      x: values, shape (n, *spatial, c).
      squeeze: kernel (c, r) and bias (r,) or None.
      excite: kernel (r, c) and bias (c,) or None.
      activation: between the two.
      mask: as in :func:`jaxcnn.ops.global_avg_pool`.

    Returns:
      Gated values, shape of x.

    Raises:
      ValueError: shapes do not agree.

    Example:
      >>> zeros = (jnp.zeros((4, 2)), None), (jnp.zeros((2, 4)), None)
      >>> channel_attention(jnp.ones((1, 3, 3, 4)), *zeros)[0, 0, 0]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    Paper: Woo et al., "CBAM: Convolutional Block Attention Module", 2018, arXiv:1807.06521.
    """
    x, mask = _inside(x, mask)
    pooled = [pool(x, mask=mask, keepdims=True) for pool in (global_avg_pool, global_max_pool)]
    return x * jax.nn.sigmoid(sum(_bottleneck(each, squeeze, excite, activation) for each in pooled))


def spatial_attention(
    x: Float[Array, "n *spatial c"],
    kernel: Float[Array, "*taps 2 1"],
    bias: Float[Array, "1"] | None = None,
    *,
    mask: Mask = None,
) -> Float[Array, "n *spatial c"]:
    """The second half of CBAM: one gate for each example and position.

    y = x · σ(conv([mean over channels, max over channels])).

    Args:
      x: values, shape (n, *spatial, c).
      kernel: shape (*taps, 2, 1): first the mean's channel, then the maximum's.
      bias: shape (1,).
      mask: as in :func:`jaxcnn.ops.global_avg_pool`; elsewhere the convolution reads zeros.

    Returns:
      Gated values, shape of x.

    Raises:
      ValueError: shapes do not agree.

    Example:
      >>> spatial_attention(jnp.ones((1, 3, 3, 4)), jnp.zeros((7, 7, 2, 1)))[0, 0, 0]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    Paper: Woo et al., "CBAM: Convolutional Block Attention Module", 2018, arXiv:1807.06521.
    """
    x, _ = _inside(x, mask)
    kernel = jnp.asarray(kernel)
    if kernel.ndim != x.ndim or kernel.shape[-2:] != (2, 1):
        raise ValueError(f"kernel has shape {kernel.shape}: expected {x.ndim - 2} spatial axes, then (2, 1)")
    maps = jnp.concatenate([x.mean(-1, keepdims=True), x.max(-1, keepdims=True)], axis=-1)
    return x * jax.nn.sigmoid(conv(maps, kernel, bias, padding="SAME"))


def cbam(
    x: Float[Array, "n *spatial c"],
    squeeze: Affine,
    excite: Affine,
    kernel: Float[Array, "*taps 2 1"],
    bias: Float[Array, "1"] | None = None,
    *,
    activation: Function = jax.nn.relu,
    mask: Mask = None,
) -> Float[Array, "n *spatial c"]:
    """Convolutional block attention: :func:`channel_attention`, then :func:`spatial_attention`.

    Args:
      x: values, shape (n, *spatial, c).
      squeeze: kernel (c, r) and bias (r,) or None.
      excite: kernel (r, c) and bias (c,) or None.
      kernel: shape (*taps, 2, 1).
      bias: shape (1,).
      activation: between squeeze and excite.
      mask: as in :func:`jaxcnn.ops.global_avg_pool`.

    Returns:
      Gated values, shape of x.

    Raises:
      ValueError: shapes do not agree.

    Example:
      >>> zeros = (jnp.zeros((4, 2)), None), (jnp.zeros((2, 4)), None)
      >>> cbam(jnp.ones((1, 3, 3, 4)), *zeros, jnp.zeros((7, 7, 2, 1)))[0, 0, 0]
      Array([0.25, 0.25, 0.25, 0.25], dtype=float32)

    Paper: Woo et al., "CBAM: Convolutional Block Attention Module", 2018, arXiv:1807.06521.
    """
    x = channel_attention(x, squeeze, excite, activation=activation, mask=mask)
    return spatial_attention(x, kernel, bias, mask=mask)


def coordinate_attention(
    x: Float[Array, "n *spatial c"],
    reduce: Affine,
    expand: Sequence[Affine],
    *,
    norm: Callable[..., Array] | None = None,
    activation: Function = jax.nn.hard_swish,
    mask: Mask = None,
) -> Float[Array, "n *spatial c"]:
    """Coordinate attention: for each spatial axis a gate that knows the place along it.

    For each axis a, x is averaged over the other axes; all profiles, one after the other, pass through one
    dense layer c → r, a normalisation and an activation, and each through its own dense layer r → c:
    y = x · Π_a σ(expand_a(activation(norm(reduce(profile_a))))).

    Args:
      x: values, shape (n, *spatial, c).
      reduce: kernel (c, r) and bias (r,) or None.
      expand: for each spatial axis kernel (r, c) and bias (c,) or None.
      norm: normalisation of the profiles, shape (n, Σ spatial, r); none by default. The paper's is batch
        normalisation. With ``mask`` it is called with a second argument, which profiles count, shape (n,
        Σ spatial).
      activation: behind it.
      mask: as in :func:`jaxcnn.ops.global_avg_pool`.

    Returns:
      Gated values, shape of x.

    Raises:
      ValueError: shapes do not agree, or there is not one ``expand`` for each spatial axis.

    Example:
      >>> zeros = (jnp.zeros((4, 2)), None), [(jnp.zeros((2, 4)), None)] * 2
      >>> coordinate_attention(jnp.ones((1, 3, 3, 4)), *zeros)[0, 0, 0]
      Array([0.25, 0.25, 0.25, 0.25], dtype=float32)

    Paper: Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design", 2021,
    arXiv:2103.02907.
    """
    x, mask = _inside(x, mask)
    axes = range(1, x.ndim - 1)
    if len(expand) != len(axes):
        raise ValueError(
            f"expand has {len(expand)} layers: expected {len(axes)}, one for each spatial axis of x"
        )
    across = [tuple(a for a in axes if a != axis) for axis in axes]
    if mask is None:
        counted: tuple[Array, ...] = ()
        profiles = jnp.concatenate([x.mean(others) for others in across], axis=1)
    else:
        counts = jnp.concatenate([mask.sum(others, dtype=x.dtype) for others in across], axis=1)
        counted = (counts > 0,)
        sums = jnp.concatenate([x.sum(others) for others in across], axis=1)
        profiles = sums / jnp.maximum(counts, 1)[..., None]
    codes = _dense(profiles, reduce, "reduce")
    codes = activation(codes if norm is None else norm(codes, *counted))
    start = 0
    for axis, layer in zip(axes, expand, strict=True):
        code = codes[:, start : start + x.shape[axis]]
        start += x.shape[axis]
        gate = jax.nn.sigmoid(_dense(code, layer, f"expand[{axis - 1}]", x.shape[-1]))
        x = x * gate.reshape([n if a in (0, axis, x.ndim - 1) else 1 for a, n in enumerate(x.shape)])
    return x


def _inside(x: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """x with zeros where it does not count: NaN would come back as the gradient of a gate."""
    x = check.floats(check.image(x))
    if mask is None:
        return x, None
    mask = check.mask(mask, x)
    return jnp.where(mask[..., None], x, 0), mask


def _bottleneck(pooled: Array, squeeze: Affine, excite: Affine, activation: Function) -> Array:
    codes = activation(_dense(pooled, squeeze, "squeeze"))
    return _dense(codes, excite, "excite", pooled.shape[-1])


def _dense(x: Array, layer: Affine, name: str, features: int | None = None) -> Array:
    """The layer of that name, which must not be broadcast to the features that a gate needs."""
    kernel, bias = layer
    kernel = jnp.asarray(kernel)
    if kernel.ndim != 2 or kernel.shape[0] != x.shape[-1] or features not in (None, kernel.shape[1]):
        expected = f"({x.shape[-1]}, {'features' if features is None else features})"
        raise ValueError(f"the kernel of {name} has shape {kernel.shape}: expected {expected}")
    if bias is not None:
        bias = check.shape(bias, kernel.shape[1:], f"the bias of {name}")
    return dense(x, kernel, bias)
