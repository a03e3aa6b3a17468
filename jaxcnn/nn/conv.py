"""Modules that own the kernels of :mod:`jaxcnn.ops`: float32 whatever is computed in."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.initializers import Initializer, by_group
from jaxcnn.ops.check import whole
from jaxcnn.ops.geometry import Padding, spatial_tuple

Dtype = Any


class Owner(nn.Module, kw_only=True):
    """What every module with kernels has.

    Attributes:
      use_bias: own a bias.
      dtype: what to compute and return; None promotes input and parameters.
      kernel_init, bias_init: initialisers.
      zero: start as the zero function: the last factor of what the input is multiplied by is zero, and it
        alone, so that the gradient finds a way.
    """

    use_bias: bool = True
    dtype: Dtype = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    zero: bool = False

    def own(
        self,
        x: Array,
        kernels: Mapping[str, tuple[int, ...]],
        bias: tuple[int, ...],
        init: Initializer | None = None,
        zero: bool | None = None,
    ) -> list[Any]:
        """The input, kernels of the given names and shapes, and the bias or None, in one dtype.

        Kernels are named in the order in which they act; ``zero`` makes the last of them zero (None: as the
        module says).
        """
        inits = dict.fromkeys(kernels, init or self.kernel_init)
        if self.zero if zero is None else zero:
            inits[list(kernels)[-1]] = nn.initializers.zeros
        owned = [self.param(name, inits[name], shape, jnp.float32) for name, shape in kernels.items()]
        added = self.param("bias", self.bias_init, bias, jnp.float32) if self.use_bias else None
        return promote_dtype(x, *owned, added, dtype=self.dtype)


class WindowOwner(Owner):
    """What every module has whose kernels slide over the input.

    Attributes:
      features: channels of the output.
      kernel_size: taps, an int or one for each spatial axis.
      strides, padding, dilation: as in :func:`jaxcnn.ops.conv`.
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    dilation: int | Sequence[int] = 1

    def taps(self, x: Array) -> tuple[int, ...]:
        """The kernel's size on each spatial axis, of a checked module and input."""
        whole("features", self.features)
        return spatial_tuple(self.kernel_size, ops.check.image(x).ndim - 2, "kernel_size")

    def kernel_shape(self, x: Array, groups: int) -> tuple[int, ...]:
        """That of a kernel (*taps, channels / groups, features)."""
        taps = self.taps(x)
        ops.check.divides("groups", groups, "channels of x", x.shape[-1])
        return (*taps, x.shape[-1] // groups, self.features)

    def window(self) -> dict[str, Any]:
        """The arguments that all windows share."""
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}


class Dense(Owner):
    """Module form of :func:`jaxcnn.ops.dense`.

    Example:
      >>> import jax
      >>> layer, x = Dense(5), jnp.ones((2, 3))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((2, 5), {'bias': (5,), 'kernel': (3, 5)})
    """

    features: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = (x.shape[-1], whole("features", self.features))
        return ops.dense(*self.own(x, {"kernel": shape}, (self.features,)))


class Conv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.conv`.

    Example:
      >>> import jax
      >>> layer, x = Conv(8, kernel_size=3, strides=2), jnp.ones((1, 6, 6, 3))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 3, 3, 8), {'bias': (8,), 'kernel': (3, 3, 3, 8)})
    """

    groups: int = 1
    flip: bool = False
    lowering: str = "auto"

    @nn.nowrap
    def split(self, channels: int) -> int:
        """Groups for so many channels."""
        return self.groups

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        groups = self.split(ops.check.image(x).shape[-1])
        arrays = self.own(x, {"kernel": self.kernel_shape(x, groups)}, (self.features,))
        return ops.conv(*arrays, **self.window(), groups=groups, flip=self.flip, lowering=self.lowering)


class ShuffledConv(WindowOwner):
    """Module form of :func:`jaxcnn.ops.shuffled_conv`.

    Example:
      >>> import jax
      >>> layer, x = ShuffledConv(8, 3, groups=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'bias': (8,), 'kernel': (3, 3, 2, 8)})
    """

    groups: int = 2
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        arrays = self.own(x, {"kernel": self.kernel_shape(x, self.groups)}, (self.features,))
        return ops.shuffled_conv(*arrays, **self.window(), groups=self.groups, lowering=self.lowering)


class ConvTranspose(WindowOwner):
    """Module form of :func:`jaxcnn.ops.conv_transpose`; each group is initialised as a kernel of its own.

    Example:
      >>> import jax
      >>> layer, x = ConvTranspose(8, 3, strides=2), jnp.ones((1, 6, 6, 3))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 12, 12, 8), {'bias': (8,), 'kernel': (3, 3, 3, 8)})
    """

    groups: int = 1
    output_padding: int | Sequence[int] = 0
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps, channels = self.taps(x), x.shape[-1]
        ops.check.divides("groups", self.groups, "channels of x", channels)
        ops.check.divides("groups", self.groups, "features", self.features)
        shape, init = (*taps, channels, self.features // self.groups), by_group(self.kernel_init, self.groups)
        return ops.conv_transpose(
            *self.own(x, {"kernel": shape}, (self.features,), init),
            **self.window(),
            groups=self.groups,
            output_padding=self.output_padding,
            lowering=self.lowering,
        )


class DepthwiseConv(Owner):
    """Module form of :func:`jaxcnn.ops.depthwise_conv`.

    Attributes:
      kernel_size: taps, an int or one for each spatial axis.
      strides, padding, dilation, flip, lowering: as in :func:`jaxcnn.ops.conv`.
      multiplier: features for each channel.

    Example:
      >>> import jax
      >>> layer, x = DepthwiseConv(3, multiplier=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'bias': (8,), 'kernel': (3, 3, 1, 8)})
    """

    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    dilation: int | Sequence[int] = 1
    multiplier: int = 1
    flip: bool = False
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        taps = spatial_tuple(self.kernel_size, ops.check.image(x).ndim - 2, "kernel_size")
        features = x.shape[-1] * whole("multiplier", self.multiplier)
        return ops.depthwise_conv(
            *self.own(x, {"kernel": (*taps, 1, features)}, (features,)),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            flip=self.flip,
            lowering=self.lowering,
        )


class PointwiseConv(Owner):
    """Module form of :func:`jaxcnn.ops.pointwise_conv`.

    Attributes:
      features: channels of the output.
      groups: independent maps that channels and features are split into.
      lowering: as in :func:`jaxcnn.ops.conv`.

    Example:
      >>> import jax
      >>> layer, x = PointwiseConv(6, groups=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 6), {'bias': (6,), 'kernel': (2, 6)})
    """

    features: int
    groups: int = 1
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        channels = ops.check.image(x).shape[-1]
        ops.check.divides("groups", self.groups, "channels of x", channels)
        shape = (channels // self.groups, whole("features", self.features))
        arrays = self.own(x, {"kernel": shape}, (self.features,))
        return ops.pointwise_conv(*arrays, groups=self.groups, lowering=self.lowering)
