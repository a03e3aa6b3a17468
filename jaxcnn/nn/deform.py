"""Modules that learn where to look."""

from collections.abc import Sequence
from math import prod

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import Conv, Dense, Dtype, WindowOwner
from jaxcnn.ops.check import whole
from jaxcnn.ops.geometry import spatial_tuple

_still = nn.initializers.zeros


class DeformConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.deform_conv`, with the convolution that finds its offsets, ``offset``.

    That convolution has the same window, starts at zero and is computed in float32, for half precision would
    round positions to a fraction of a pixel that grows with the offset.

    Attributes:
      groups: of the convolution.
      offset_groups: groups of channels with offsets of their own.
      modulated: version 2: also find a mask, the logistic function of further outputs (½ at the start).

    Example:
      >>> import jax
      >>> layer, x = DeformConv(8, 3, use_bias=False), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'kernel': (3, 3, 4, 8), 'offset': {'bias': (27,), 'kernel': (3, 3, 4, 27)}})
    """

    groups: int = 1
    offset_groups: int = 1
    modulated: bool = True

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = self.kernel_shape(x, self.groups)
        samples = prod(shape[:-2]) * whole("offset_groups", self.offset_groups)
        moves = samples * (x.ndim - 2)
        found = Conv(
            features=moves + samples * self.modulated,
            kernel_size=self.kernel_size,
            dtype=jnp.float32,
            kernel_init=_still,
            name="offset",
            **self.window(),
        )(x)
        mask = nn.sigmoid(found[..., moves:]) if self.modulated else None
        x, kernel, bias = self.own(x, {"kernel": shape}, (self.features,))
        return ops.deform_conv(
            x,
            kernel,
            found[..., :moves],
            mask,
            bias,
            **self.window(),
            groups=self.groups,
            offset_groups=self.offset_groups,
        )


class RoIAlign(nn.Module):
    """Module form of :func:`jaxcnn.ops.roi_align`, called with images, boxes and the image of each box.

    Example:
      >>> import jax
      >>> x, boxes, image = jnp.ones((1, 6, 6, 4)), jnp.array([[0.5, 0.5, 4.5, 4.5]] * 3), jnp.zeros(3, int)
      >>> jax.eval_shape(RoIAlign(2).apply, {}, x, boxes, image).shape
      (3, 2, 2, 4)
    """

    size: int | Sequence[int]
    scale: float = 1.0
    samples: int | Sequence[int] = 2
    aligned: bool = True

    def __call__(self, x: Array, boxes: Array, image: Array, train: bool = False) -> Array:
        return ops.roi_align(
            x, boxes, image, self.size, scale=self.scale, samples=self.samples, aligned=self.aligned
        )


class DeformRoIPool(nn.Module):
    """Module form of :func:`jaxcnn.ops.deform_roi_pool`, with the map that finds its offsets, ``offset``.

    It pools once without displacement, finds the offsets of all bins from all of that, and pools again.

    Attributes:
      size: bins along each spatial axis.
      scale, samples, gamma: as in :func:`jaxcnn.ops.deform_roi_pool`.
      hidden: sizes of layers between the bins and their offsets.
      modulated: version 2: also find a mask, the logistic function of further outputs (½ at the start).
      dtype: what to compute and return; None keeps the input's. Offsets are float32.

    Example:
      >>> import jax
      >>> x, boxes, image = jnp.ones((1, 6, 6, 4)), jnp.array([[0.5, 0.5, 4.5, 4.5]] * 3), jnp.zeros(3, int)
      >>> arguments = jax.random.key(0), x, boxes, image
      >>> y, variables = jax.eval_shape(DeformRoIPool(2).init_with_output, *arguments)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((3, 2, 2, 4), {'offset': {'bias': (8,), 'kernel': (16, 8)}})
    """

    size: int | Sequence[int]
    scale: float = 1.0
    samples: int | Sequence[int] = 2
    gamma: float = 0.1
    hidden: Sequence[int] = ()
    modulated: bool = False
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: Array, boxes: Array, image: Array, train: bool = False) -> Array:
        ndim = ops.check.image(x).ndim - 2
        x = x if self.dtype is None else x.astype(self.dtype)
        size = spatial_tuple(self.size, ndim, "size")
        bins = prod(size)
        still = ops.roi_align(x, boxes, image, size, scale=self.scale, samples=self.samples)
        rois = boxes.shape[0]
        code = still.reshape(rois, bins * x.shape[-1])
        for i, width in enumerate(self.hidden):
            code = nn.relu(Dense(whole(f"hidden[{i}]", width), dtype=self.dtype, name=f"hidden_{i}")(code))
        outputs = bins * (ndim + self.modulated)
        found = Dense(outputs, dtype=jnp.float32, kernel_init=_still, name="offset")(code)
        offset = found[:, : bins * ndim].reshape(rois, *size, ndim)
        mask = nn.sigmoid(found[:, bins * ndim :]).reshape(rois, *size) if self.modulated else None
        return ops.deform_roi_pool(
            x,
            boxes,
            image,
            offset,
            mask,
            size=size,
            scale=self.scale,
            samples=self.samples,
            gamma=self.gamma,
        )
