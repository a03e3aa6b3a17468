"""The block of mobile networks: wide inside, narrow outside, mixing space channel by channel."""

from typing import Any

import flax.linen as nn
import jax

from jaxcnn.nn import choices
from jaxcnn.nn.blocks import ConvNorm
from jaxcnn.nn.choices import Choice
from jaxcnn.nn.gates import SqueezeExcite
from jaxcnn.nn.stochastic import DropPath


class InvertedResidual(nn.Module):
    """1×1 up, depthwise, squeeze-excite, linear 1×1 down; with the input added where the shape stays.

    Where ``inner`` is the number of input channels the first convolution is left out. ``fused`` puts one
    plain convolution, ``spatial_expand``, in place of the first two; where ``inner`` is the number of input
    channels it leaves out the last as well, and that one is ``spatial``.

    Attributes:
      features: channels of the output.
      inner: channels inside.
      kernel_size: of the depthwise convolution, odd.
      strides: of the same.
      squeeze: units of the squeeze-excite gate; 0 for no gate.
      fused: see above.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is the depthwise one, or the fused.
      squeeze_activation, gate: the activations of the squeeze-excite gate.
      drop_path: probability of leaving the branch out for an example in training.
      dtype: of the computation; None is that of the input.

    References:
      Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018.
      Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021 (fused).

    Example:
      >>> import jax.numpy as jnp
      >>> block = InvertedResidual(8, inner=24, strides=2, squeeze=2)
      >>> y, variables = jax.eval_shape(block.init_with_output, jax.random.key(0), jnp.ones((1, 6, 6, 4)))
      >>> y.shape, sorted(variables["params"])
      ((1, 3, 3, 8), ['depthwise', 'expand', 'project', 'squeeze_excite'])
    """

    features: int
    inner: int
    kernel_size: int = 3
    strides: int = 1
    squeeze: int = 0
    fused: bool = False
    norm: Choice = "batch"
    activation: Choice = "relu6"
    conv: Choice = "conv"
    squeeze_activation: Choice = "relu"
    gate: Choice = "sigmoid"
    drop_path: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        branch = self._fused(x, train) if self.fused else self._separate(x, train)
        if self.strides != 1 or x.shape[-1] != self.features:
            return branch
        return x + DropPath(self.drop_path, name="drop_path")(branch, train=train)

    def _separate(self, x: jax.Array, train: bool) -> jax.Array:
        activation = choices.activation(self.activation)
        if self.inner != x.shape[-1]:
            x = activation(self._conv_norm(self.inner, 1, name="expand")(x, train=train))
        window = {"strides": self.strides, "groups": self.inner, "conv": self.conv}
        x = self._conv_norm(self.inner, self.kernel_size, **window, name="depthwise")(x, train=train)
        x = activation(x)
        if self.squeeze:
            x = SqueezeExcite(
                reduced=self.squeeze,
                activation=choices.activation(self.squeeze_activation),
                gate=choices.activation(self.gate),
                dtype=self.dtype,
                name="squeeze_excite",
            )(x)
        return self._conv_norm(self.features, 1, name="project")(x, train=train)

    def _fused(self, x: jax.Array, train: bool) -> jax.Array:
        activation = choices.activation(self.activation)
        window = {"strides": self.strides, "conv": self.conv}
        if self.inner == x.shape[-1]:
            x = self._conv_norm(self.features, self.kernel_size, **window, name="spatial")(x, train=train)
            return activation(x)
        x = self._conv_norm(self.inner, self.kernel_size, **window, name="spatial_expand")(x, train=train)
        return self._conv_norm(self.features, 1, name="project")(activation(x), train=train)

    def _conv_norm(self, features: int, kernel_size: int, **options: Any) -> ConvNorm:
        return ConvNorm(features, kernel_size, norm=self.norm, dtype=self.dtype, **options)
