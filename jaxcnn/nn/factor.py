"""Modules whose kernels are products of smaller ones."""

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import WindowOwner
from jaxcnn.ops.check import whole


class SeparableConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.separable_conv`, with kernels ``depthwise`` and ``pointwise``.

    Attributes:
      multiplier: features the depthwise step makes of each channel it reads.
      pointwise_first: mix the channels before the spatial step; ``multiplier`` then divides the features.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = SeparableConv(8, 3, use_bias=False), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'depthwise': (3, 3, 1, 4), 'pointwise': (4, 8)})
    """

    multiplier: int = 1
    pointwise_first: bool = False
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps, channels = self.taps(x), x.shape[-1]
        if self.pointwise_first:
            ops.check.divides("multiplier", self.multiplier, "features", self.features)
            middle, last = self.features // self.multiplier, self.features
            kernels = {"pointwise": (channels, middle), "depthwise": (*taps, 1, last)}
        else:
            middle = channels * whole("multiplier", self.multiplier)
            kernels = {"depthwise": (*taps, 1, middle), "pointwise": (middle, self.features)}
        x, first, second, bias = self.own(x, kernels, (self.features,))
        depthwise, pointwise = (second, first) if self.pointwise_first else (first, second)
        return ops.separable_conv(
            x,
            depthwise,
            pointwise,
            bias,
            **self.window(),
            pointwise_first=self.pointwise_first,
            lowering=self.lowering,
        )


class SpatiallySeparableConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.spatially_separable_conv`, with kernels ``kernel_0``, …

    Attributes:
      rank: channels between two axes; None: as many as features.
      groups: of every step.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = SpatiallySeparableConv(8, 3, rank=2, use_bias=False), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'kernel_0': (3, 4, 2), 'kernel_1': (3, 2, 8)})
    """

    rank: int | None = None
    groups: int = 1
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps = self.taps(x)
        rank = self.features if self.rank is None else whole("rank", self.rank)
        widths = [x.shape[-1], *(rank,) * (len(taps) - 1), self.features]
        kernels = {}
        for axis, k in enumerate(taps):
            ops.check.divides("groups", self.groups, f"channels read along axis {axis}", widths[axis])
            kernels[f"kernel_{axis}"] = (k, widths[axis] // self.groups, widths[axis + 1])
        x, *chain, bias = self.own(x, kernels, (self.features,))
        return ops.spatially_separable_conv(
            x, chain, bias, **self.window(), groups=self.groups, lowering=self.lowering
        )


class FlattenedConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.flattened_conv`, with kernels ``lateral``, ``profile_0``, …

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> layer, x = FlattenedConv(8, 3, use_bias=False), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'lateral': (4, 8), 'profile_0': (3, 8), 'profile_1': (3, 8)})
    """

    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps = self.taps(x)
        kernels = {"lateral": (x.shape[-1], self.features)}
        kernels |= {f"profile_{axis}": (k, self.features) for axis, k in enumerate(taps)}
        x, lateral, *profiles, bias = self.own(x, kernels, (self.features,))
        return ops.flattened_conv(x, lateral, profiles, bias, **self.window(), lowering=self.lowering)
