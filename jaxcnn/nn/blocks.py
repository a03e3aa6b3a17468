"""Residual blocks: h = f(x) + shortcut(x)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxcnn import ops
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice
from jaxcnn.nn.initializers import Initializer
from jaxcnn.nn.stochastic import DropPath
from jaxcnn.ops import geometry

he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""Normal with variance 2/(taps · output channels), which keeps the size of gradients through ReLUs."""


class ConvNorm(nn.Module):
    """A convolution without bias and its normalization; with ``norm="none"``, a convolution with bias.

    Attributes:
      features: channels of the output.
      kernel_size: odd, an int or one for each spatial axis; the zeros around the input are those of
        :func:`jaxcnn.ops.geometry.middle_padding`, so that with every stride the result has the centre
        pixels of the unstrided one.
      strides: pixels between outputs, an int or one for each spatial axis.
      groups: of the convolution.
      norm, conv: see :mod:`jaxcnn.nn.choices`.
      zero: start as the zero function: the last factor (the norm's scale, or the kernel) is zero.
      dilation: pixels between taps.
      kernel_init: of the convolution; He normal by fan-out.
      dtype: of the computation; None is that of the input.

    Example:
      >>> import jax.numpy as jnp
      >>> y, variables = ConvNorm(8).init_with_output(jax.random.key(0), jnp.ones((1, 6, 6, 3)))
      >>> y.shape, sorted(variables["params"])
      ((1, 6, 6, 8), ['conv', 'norm'])
    """

    features: int
    kernel_size: int | Sequence[int] = 3
    strides: int | Sequence[int] = 1
    groups: int = 1
    norm: Choice = "batch"
    conv: Choice = "conv"
    zero: bool = False
    dtype: Any = None
    dilation: int = 1
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        ones, zeros = nn.initializers.ones_init(), nn.initializers.zeros_init()
        norm = choices.norm(
            self.norm, self.features, dtype=self.dtype, scale_init=zeros if self.zero else ones, name="norm"
        )
        options = {"groups": self.groups, "dilation": self.dilation}
        options = {name: value for name, value in options.items() if value != 1}  # not every conv has them
        x = choices.conv(self.conv)(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=geometry.middle_padding(self.kernel_size, self.dilation),
            **options,
            use_bias=norm is None,
            kernel_init=zeros if norm is None and self.zero else self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return x if norm is None else norm(x, train=train)


class ResidualBlock(nn.Module):
    """What residual blocks share: h = activation(f(x) + shortcut(x)); a subclass says what f is.

    Attributes:
      features: channels inside f.
      strides: pixels between outputs.
      dilation: pixels between the taps of f.
      first_dilation: of the convolution that has the strides, where it differs: a stage that dilates instead
        of striding begins with a block that reads as densely as before.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      shortcut: the way past f where f changes the shape (elsewhere it is the identity). ``pad``:
        :func:`jaxcnn.ops.zero_pad_shortcut`, option A of the paper. ``projection``: a 1×1 convolution with
        normalization, option B. ``identity``: refuse to change the shape.
      drop_path: probability of leaving f out for an example in training.
      zero_init: start with f = 0, so that the block is at first the activation of its shortcut.
      dtype: of the computation; None is that of the input.

    Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016.
    """

    features: int
    strides: int = 1
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    shortcut: str = "projection"
    drop_path: float = 0.0
    zero_init: bool = False
    dtype: Any = None
    dilation: int = 1
    first_dilation: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        branch = DropPath(self.drop_path, name="drop_path")(self._branch(x, train), train=train)
        return choices.activation(self.activation)(branch + self._past(x, branch.shape[-1], train))

    def _branch(self, x: jax.Array, train: bool) -> jax.Array:
        raise NotImplementedError

    def _past(self, x: jax.Array, features: int, train: bool) -> jax.Array:
        kind = choices.shortcut(self.shortcut)
        if self.strides == 1 and x.shape[-1] == features:
            return x
        if kind == "identity":
            raise ValueError(
                f"shortcut='identity' cannot lead from {x.shape[-1]} to {features} channels with strides "
                f"{self.strides}; use 'pad' or 'projection'"
            )
        if kind == "pad":
            return ops.zero_pad_shortcut(x, features, strides=self.strides)
        return self._conv_norm(features, 1, self.strides, name="shortcut")(x, train=train)

    @property
    def _strided(self) -> dict[str, int]:
        """Strides and dilation of the convolution that has the strides."""
        return {"strides": self.strides, "dilation": self.first_dilation or self.dilation}

    def _conv_norm(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> ConvNorm:
        options = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype} | options
        return ConvNorm(features, kernel_size, strides, **options)


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions, the first strided: f = norm · conv · activation · norm · conv.

    Attributes: those of :class:`ResidualBlock`; the output has ``features`` channels.

    Example:
      >>> import jax.numpy as jnp
      >>> y, _ = BasicBlock(16, strides=2).init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
      >>> y.shape
      (1, 4, 4, 16)
    """

    def _branch(self, x: jax.Array, train: bool) -> jax.Array:
        x = self._conv_norm(self.features, 3, **self._strided, name="conv1")(x, train=train)
        x = choices.activation(self.activation)(x)
        conv2 = self._conv_norm(self.features, 3, dilation=self.dilation, zero=self.zero_init, name="conv2")
        return conv2(x, train=train)


class BottleneckBlock(ResidualBlock):
    """1×1 down, 3×3 strided, 1×1 up to ``expansion`` times the channels, with norms and activations between.

    The stride is on the 3×3 convolution, where every pixel is read, not on the first 1×1 as in the paper.

    Attributes: those of :class:`ResidualBlock`, and
      expansion: the output has ``features · expansion`` channels.
      groups: of the 3×3 convolution.
      width: of the 3×3 convolution, as a multiple of ``features``; 32 groups and width 2 are ResNeXt 32x4d.

    References:
      Xie, Girshick, Dollár, Tu and He, Aggregated Residual Transformations, 2017 (groups).
      Zagoruyko and Komodakis, Wide Residual Networks, 2016 (width).

    Example:
      >>> import jax.numpy as jnp
      >>> y, _ = BottleneckBlock(4).init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
      >>> y.shape
      (1, 8, 8, 16)
    """

    expansion: int = 4
    groups: int = 1
    width: float = 1.0

    def _branch(self, x: jax.Array, train: bool) -> jax.Array:
        activation, inner = choices.activation(self.activation), int(self.features * self.width)
        x = activation(self._conv_norm(inner, 1, name="conv1")(x, train=train))
        grouped = self._conv_norm(inner, 3, **self._strided, groups=self.groups, name="conv2")
        x = activation(grouped(x, train=train))
        features = self.features * self.expansion
        return self._conv_norm(features, 1, zero=self.zero_init, name="conv3")(x, train=train)
