"""Convolutions axis by axis, and kernels factored so that they can be computed that way."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv


def spatially_separable_conv(
    x: Float[Array, "n *spatial c"],
    kernels: Sequence[Float[Array, "_taps _c _features"]],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve along one spatial axis after another, k + k weights in place of k².

    In two dimensions the kernel it amounts to is ``K[i, j, c, f] = Σ_r kernels[0][i, c, r] · kernels[1][j, r,
    f]``; :func:`factor_kernel` finds the kernels nearest to a given one. Padding by zeros or periodically,
    which commutes with the other axis, makes the two equal to the rims.

    Args:
      x: batch, one to three spatial axes, channels.
      kernels: one (taps, channels / groups, features) for each spatial axis, in order; each reads what the
        one before it made.
      bias: one number for each feature of the last.
      strides, padding, dilation: as in :func:`jaxcnn.ops.conv`, each axis taking its own.
      groups: of every step.
      lowering: how each step is computed.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; there is not one kernel for each spatial axis.

    Example:
      The Sobel filter is a difference along one axis and a smoothing along the other:

      >>> difference, smoothing = (jnp.array(t).reshape(3, 1, 1) for t in ([-1.0, 0, 1], [1.0, 2, 1]))
      >>> ramp = jnp.arange(25.0).reshape(1, 5, 5, 1)
      >>> float(spatially_separable_conv(ramp, [difference, smoothing])[0, 2, 2, 0])
      40.0

    Paper: Rigamonti et al., Learning separable filters, CVPR 2013; Jaderberg et al., Speeding up
    convolutional neural networks with low rank expansions, BMVC 2014, arXiv:1405.3866.
    """
    x = check.image(x)
    ndim = x.ndim - 2
    kernels = [jnp.asarray(kernel) for kernel in kernels]
    if len(kernels) != ndim or any(kernel.ndim != 3 for kernel in kernels):
        raise ValueError(
            f"kernels have shapes {[kernel.shape for kernel in kernels]}: expected {ndim} of "
            "(taps, channels / groups, features), one for each spatial axis"
        )
    strides = geometry.spatial_tuple(strides, ndim, "strides")
    dilation = geometry.spatial_tuple(dilation, ndim, "dilation")
    paddings = geometry.axis_paddings(padding, ndim)
    for axis, kernel in enumerate(kernels):
        taps, *channels = kernel.shape
        x = conv(
            x,
            kernel.reshape(_along(axis, ndim, taps, 1) + tuple(channels)),
            bias if axis == ndim - 1 else None,
            strides=_along(axis, ndim, strides[axis], 1),
            padding=_along(axis, ndim, paddings[axis], 0),
            dilation=_along(axis, ndim, dilation[axis], 1),
            groups=groups,
            lowering=lowering,
        )
    return x


def flattened_conv(
    x: Float[Array, "n *spatial c"],
    lateral: Float[Array, "c features"],
    profiles: Sequence[Float[Array, "_taps features"]],
    bias: Float[Array, " features"] | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: geometry.Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    lowering: str = "auto",
) -> Float[Array, "n *out features"]:
    """Convolve with kernels of rank one: across channels, then along each spatial axis, every feature on its
    own.

    In two dimensions the kernel it amounts to is ``K[i, j, c, f] = lateral[c, f] · profiles[0][i, f] ·
    profiles[1][j, f]``, c + k + k weights a feature in place of c·k².

    Args:
      x: batch, one to three spatial axes, channels.
      lateral: channels, features.
      profiles: one (taps, features) for each spatial axis, in order.
      bias: one number for each feature.
      strides, padding, dilation, lowering: as in :func:`spatially_separable_conv`.

    Returns:
      Batch, spatial axes, features.

    Raises:
      TypeError, ValueError: as :func:`jaxcnn.ops.conv`; there is not one profile for each spatial axis.

    Example:
      >>> y = flattened_conv(jnp.ones((1, 5, 5, 3)), jnp.ones((3, 2)), [jnp.ones((3, 2))] * 2)
      >>> y.shape, float(y[0, 2, 2, 0])
      ((1, 5, 5, 2), 27.0)

    Paper: Jin et al., Flattened convolutional neural networks for feedforward acceleration, ICLR 2015
    workshop, arXiv:1412.5474.
    """
    x, lateral = check.image(x), jnp.asarray(lateral)
    profiles = [jnp.asarray(profile) for profile in profiles]
    if lateral.ndim != 2:
        raise ValueError(f"lateral has shape {lateral.shape}: expected (channels, features)")
    if any(profile.ndim != 2 for profile in profiles):
        raise ValueError(
            f"profiles have shapes {[profile.shape for profile in profiles]}: expected (taps, features), "
            "one for each spatial axis"
        )
    mixed = conv(x, lateral.reshape((1,) * (x.ndim - 2) + lateral.shape))
    return spatially_separable_conv(
        mixed,
        [profile[:, None] for profile in profiles],
        bias,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=lateral.shape[-1],
        lowering=lowering,
    )


class Factors(NamedTuple):
    """A kernel as a chain of kernels along one axis each.

    Attributes:
      kernels: one (taps, channels / groups, features) for each spatial axis, for
        :func:`spatially_separable_conv`.
      relative_error: Frobenius norm of what is missing over that of the kernel.
    """

    kernels: tuple[Float[Array, "_taps _c _features"], ...]
    relative_error: Float[Array, ""]


def factor_kernel(
    kernel: Float[Array, "*taps c_per_group features"], rank: int | Sequence[int], *, groups: int = 1
) -> Factors:
    """Factor a kernel into one along each spatial axis, of low rank.

    In two dimensions the matrix ``M[(i, c), (j, f)] = K[i, j, c, f]`` is cut to its ``rank`` largest singular
    values, ``U √S`` becoming the first kernel and ``√S V`` the second: no two kernels of that rank come
    nearer. In three dimensions the second is factored again (the tensor train, within √2 of the best).

    Args:
      kernel: taps of two or three spatial axes, channels / groups, features.
      rank: channels kept between two axes, in each group; an int, or one for each step.
      groups: of the convolution the kernel belongs to; each is factored on its own.

    Returns:
      The kernels, for :func:`spatially_separable_conv` with the same groups, dtype of the kernel, float32 for
      integers; and the relative error.

    Raises:
      TypeError: a rank is not an int.
      ValueError: other than two or three spatial axes, a rank beyond what the kernel can have, or groups that
        do not divide the features.

    Example:
      >>> outer = jnp.array([1.0, 2, 1])[:, None] * jnp.array([-1.0, 0, 1])[None]
      >>> factors = factor_kernel(outer.reshape(3, 3, 1, 1), rank=1)
      >>> [k.shape for k in factors.kernels], bool(factors.relative_error < 1e-5)
      ([(3, 1, 1), (3, 1, 1)], True)

    Paper: Jaderberg et al., Speeding up convolutional neural networks with low rank expansions, BMVC 2014,
    arXiv:1405.3866. Oseledets, Tensor-train decomposition, SIAM J. Sci. Comput. 33 (2011).
    """
    kernel = check.floats(kernel)
    ndim = kernel.ndim - 2
    if ndim not in (2, 3):
        raise ValueError(f"kernel has shape {kernel.shape}: expected 2 or 3 spatial axes to factor")
    *taps, channels, features = kernel.shape
    check.divides("groups", groups, "features of the kernel", features)
    each = rank if isinstance(rank, Sequence) else (rank,) * (ndim - 1)
    ranks = tuple(check.whole("rank", limit) for limit in each)
    if len(ranks) != ndim - 1:
        raise ValueError(f"rank={rank!r}: expected an int or {ndim - 1}, one for each step")
    width = channels
    for axis, limit in enumerate(ranks):
        most = min(taps[axis] * width, prod(taps[axis + 1 :]) * features // groups)
        if limit > most:
            raise ValueError(f"rank={rank!r}: expected at most {most} between axes {axis} and {axis + 1}")
        width = limit
    grouped = jnp.moveaxis(kernel.reshape(*taps, channels, groups, features // groups), -2, 0)
    kernels, squared = jax.vmap(lambda part: _tensor_train(part, ranks))(grouped)
    # each (groups, taps, c, rank) becomes (taps, c, groups·rank)
    joined = tuple(jnp.moveaxis(k, 0, -2).reshape(k.shape[1], k.shape[2], -1) for k in kernels)
    norm = jnp.square(kernel.astype(squared.dtype)).sum()
    return Factors(joined, jnp.sqrt(squared.sum() / jnp.where(norm > 0, norm, 1)))


def _tensor_train(kernel: jax.Array, ranks: Sequence[int]) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Kernels of the given ranks, and the squared Frobenius norm of what they miss."""
    taps = kernel.shape[:-2]
    ndim = len(taps)
    dtype = kernel.dtype
    kernel = kernel.astype(jnp.promote_types(dtype, jnp.float32))  # LAPACK knows no half precision
    rest = jnp.moveaxis(kernel, -2, 0)  # (c, *taps, f): the axis left of the taps counts channels read
    kernels = []
    for k, rank in zip(taps, ranks, strict=False):
        width = rest.shape[0]
        matrix = jnp.swapaxes(rest.reshape(width, k, -1), 0, 1).reshape(k * width, -1)
        left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
        root = jnp.sqrt(values[:rank])
        kernels.append((left[:, :rank] * root[None]).reshape(k, width, rank))
        rest = (root[:, None] * right[:rank]).reshape(rank, *rest.shape[2:])
    kernels.append(jnp.swapaxes(rest, 0, 1))
    factors = tuple(each.astype(dtype) for each in kernels)
    letters = "xyz"[:ndim]
    between = "c" + "pq"[: ndim - 1] + "f"
    chain = ",".join(axis + between[i : i + 2] for i, axis in enumerate(letters))
    rebuilt = jnp.einsum(f"{chain}->{letters}cf", *(each.astype(kernel.dtype) for each in factors))
    return factors, jnp.square(kernel - rebuilt).sum()


def _along(axis: int, ndim: int, value: Any, other: Any) -> tuple[Any, ...]:
    """``value`` on one axis and ``other`` on the rest."""
    return tuple(value if i == axis else other for i in range(ndim))
