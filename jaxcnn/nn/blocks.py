"""Residual blocks: h = f(x) + shortcut(x)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxcnn import ops
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice
from jaxcnn.nn.initializers import Initializer
from jaxcnn.nn.pool import AvgPool
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
      zero: start as the zero function: the last factor (the norm's scale, or the convolution's) is zero.
      dilation: pixels between taps.
      padding: in place of those zeros, as in :func:`jaxcnn.ops.conv`.
      use_bias: own a bias; None: only where no normalization does.
      kernel_init, bias_init: of the convolution; He normal by fan-out, and zero.
      dtype: of the computation; None is that of the input.

    Example:
      >>> import jax.numpy as jnp
      >>> layer, x = ConvNorm(8), jnp.ones((1, 6, 6, 3))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
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
    padding: geometry.Padding | None = None
    use_bias: bool | None = None
    kernel_init: Initializer = he_normal
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        ones, zeros = nn.initializers.ones_init(), nn.initializers.zeros_init()
        norm = choices.norm(
            self.norm, self.features, dtype=self.dtype, scale_init=zeros if self.zero else ones, name="norm"
        )
        padding = self.padding
        if padding is None:
            padding = geometry.middle_padding(self.kernel_size, self.dilation)
        options: dict[str, Any] = {"groups": self.groups, "dilation": self.dilation}
        options = {name: value for name, value in options.items() if value != 1}  # not every conv has them
        if norm is None and self.zero:
            options["zero"] = True
        x = choices.conv(self.conv)(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=padding,
            **options,
            use_bias=norm is None if self.use_bias is None else self.use_bias,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
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
        normalization, option B. ``average``: the same without strides, behind average pooling (ResNet-D), so
        that every pixel counts. ``identity``: refuse to change the shape.
      order: ``post``, norm behind each convolution and an activation behind the sum. ``pre``: norm and
        activation in front of each convolution and nothing behind the sum; a projection reads what the first
        of them made. ``first``: as ``pre``, of an x that is normalized and activated already.
      gate: of f's output, see :mod:`jaxcnn.nn.choices`.
      drop_path: probability of leaving f out for an example in training.
      zero_init: start with f = 0, so that the block is at first the activation of its shortcut.
      dtype: of the computation; None is that of the input.

    References:
      He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016.
      He, Zhang, Ren and Sun, Identity Mappings in Deep Residual Networks, 2016 (order).
      Hu, Shen and Sun, Squeeze-and-Excitation Networks, 2018 (gate).
      He et al., Bag of Tricks for Image Classification with Convolutional Neural Networks, 2019 (average).
    """

    features: int
    strides: int = 1
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    shortcut: str = "projection"
    order: str = "post"
    gate: Choice = "none"
    drop_path: float = 0.0
    zero_init: bool = False
    dtype: Any = None
    dilation: int = 1
    first_dilation: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        choices.order(self.order)
        activation, active = choices.activation(self.activation), x
        if self.order == "pre":
            active = activation(choices.normalized(self.norm, x, train, dtype=self.dtype, name="norm"))
        branch = self.branch(active, train)
        gate = choices.gate(self.gate, dtype=self.dtype, name="gate")
        branch = branch if gate is None else gate(branch, train=train)
        branch = DropPath(self.drop_path, name="drop_path")(branch, train=train)
        h = branch + self._past(x, active, branch.shape[-1], train)
        return activation(h) if self.order == "post" else h

    @nn.nowrap
    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        """f without what ``order`` puts in front of it, made of :meth:`convolution` and :meth:`last`."""
        raise TypeError(f"{type(self).__name__} defines no branch")

    @nn.nowrap
    def _past(self, x: jax.Array, active: jax.Array, features: int, train: bool) -> jax.Array:
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
        if kind == "projection":
            return self.last(features, 1, self.strides, name="shortcut")(active, train=train)
        if self.strides != 1:
            active = AvgPool(self.strides, ceil_mode=True, count_include_pad=False)(active)
        return self.last(features, 1, name="average_shortcut")(active, train=train)

    @nn.nowrap
    def convolution(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> ConvNorm:
        """A convolution of f, with the norm behind it and the block's parts."""
        options = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype} | options
        return ConvNorm(features, kernel_size, strides, **options)

    @nn.nowrap
    def last(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> ConvNorm:
        """The convolution in front of the sum, with a norm behind it where ``order`` is ``post``."""
        if self.order != "post":
            options |= {"norm": "none", "use_bias": self.norm == "none"}
        return self.convolution(features, kernel_size, strides, **options)

    @property
    def _strided(self) -> dict[str, int]:
        """Strides and dilation of the convolution that has the strides."""
        return {"strides": self.strides, "dilation": self.first_dilation or self.dilation}


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions, the first strided: f = norm · conv · activation · norm · conv.

    Attributes: those of :class:`ResidualBlock`; the output has ``features`` channels.

    Example:
      >>> import jax.numpy as jnp
      >>> block, x = BasicBlock(16, strides=2), jnp.ones((1, 8, 8, 3))
      >>> y, _ = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
      >>> y.shape
      (1, 4, 4, 16)
    """

    @nn.nowrap
    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.convolution(self.features, 3, **self._strided, name="conv1")(x, train=train)
        x = choices.activation(self.activation)(x)
        conv2 = self.last(self.features, 3, dilation=self.dilation, zero=self.zero_init, name="conv2")
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
      >>> block, x = BottleneckBlock(4), jnp.ones((1, 8, 8, 3))
      >>> y, _ = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
      >>> y.shape
      (1, 8, 8, 16)
    """

    expansion: int = 4
    groups: int = 1
    width: float = 1.0

    @nn.nowrap
    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        activation, inner = choices.activation(self.activation), int(self.features * self.width)
        x = activation(self.convolution(inner, 1, name="conv1")(x, train=train))
        grouped = self.convolution(inner, 3, **self._strided, groups=self.groups, name="conv2")
        x = activation(grouped(x, train=train))
        features = self.features * self.expansion
        return self.last(features, 1, zero=self.zero_init, name="conv3")(x, train=train)
