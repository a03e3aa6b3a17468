"""Transposed convolution: the gradient of a convolution, used forward to enlarge images."""

from collections.abc import Sequence
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry
from jaxcnn.ops import lowering as lowerings
from jaxcnn.ops.padding import take_rows
from jaxcnn.ops.phase import interleave


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

    Outputs with one residue modulo the stride are a plain convolution with every stride-th tap, so the work
    is done by one convolution for each kind of residue and no zero is ever multiplied.

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
      lowering: how the convolutions are computed; the result is the same to rounding.

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
    arithmetic for deep learning, 2016, arXiv:1603.07285. Phases: Shi et al., Is the deconvolution layer the
    same as a convolutional layer?, 2016, arXiv:1609.07009.
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
    x, kernel = x.astype(dtype), _split_groups(kernel.astype(dtype), groups)

    axes = [
        geometry.transposed_phases(size, stride=stride, low=pads.low, outputs=outputs, dilation=gap)
        for size, stride, gap, (pads, outputs) in zip(taps, strides, dilation, crops, strict=True)
    ]
    counts = [count for _, count, _ in axes]
    circular = [pads.mode == "circular" for pads, _ in crops]
    phases = list(product(*(phases for phases, _, _ in axes)))
    alike: dict[tuple, list[int]] = {}
    for index, phase in enumerate(phases):
        alike.setdefault(tuple((axis.start, len(axis.taps)) for axis in phase), []).append(index)
    parts: dict[int, jax.Array] = {}
    for indices in alike.values():
        y = _correlate(x, kernel, [phases[i] for i in indices], counts, circular, lowering)
        parts |= {index: y[..., place, :] for place, index in enumerate(indices)}
    y = jnp.stack([parts[i] for i in range(len(phases))], axis=-2)
    y = interleave(y.reshape(x.shape[0], *counts, *strides, y.shape[-1]), ndim)
    for axis, ((_, _, drop), (_, outputs)) in enumerate(zip(axes, crops, strict=True), start=1):
        y = lax.slice_in_dim(y, drop, drop + outputs, axis=axis)
    return check.add_bias(y, bias)


def _split_groups(kernel: jax.Array, groups: int) -> jax.Array:
    """(*taps, c, f / groups) to (*taps, c / groups, groups, f / groups)."""
    *taps, channels, features = kernel.shape
    return jnp.swapaxes(kernel.reshape(*taps, groups, channels // groups, features), -3, -2)


def _correlate(
    x: jax.Array,
    kernel: jax.Array,
    phases: Sequence[tuple[geometry.Phase, ...]],
    counts: Sequence[int],
    circular: Sequence[bool],
    lowering: str,
) -> jax.Array:
    """Phases that read the same inputs: one convolution with their features side by side.

    Returns:
      Batch, ``counts`` pixels, phases, features.
    """
    groups, features = kernel.shape[-2:]
    ndim = len(counts)
    shape = (x.shape[0], *counts, len(phases), groups * features)
    if not all(axis.taps for axis in phases[0]):
        return jnp.zeros(shape, x.dtype)
    padding = []
    for i, (axis, count) in enumerate(zip(phases[0], counts, strict=True), start=1):
        rows = geometry.input_size(count, len(axis.taps), dilation=axis.dilation)
        low, high = -axis.start, axis.start + rows - x.shape[i]
        if circular[i - 1] or low < 0 or high < 0:
            x = take_rows(x, i, axis.start, rows, circular=circular[i - 1])
            low = high = 0
        padding.append((low, high))
    kernels = [kernel[tuple(slice(a.taps.start, None, a.taps.step) for a in phase)] for phase in phases]
    kernel = jnp.flip(jnp.stack(kernels, axis=-2), tuple(range(ndim)))
    spec = lowerings.ConvSpec((1,) * ndim, tuple(padding), tuple(a.dilation for a in phases[0]), groups)
    y = lowerings.compute(x, kernel.reshape(*kernel.shape[: ndim + 1], -1), spec, lowering)
    y = y.reshape(*shape[: ndim + 1], groups, len(phases), features)
    return jnp.swapaxes(y, -3, -2).reshape(shape)
