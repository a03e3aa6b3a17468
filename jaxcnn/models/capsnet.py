"""CapsNet: classes as vectors, found by agreement, and images drawn from them."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn, ops
from jaxcnn.models import arguments
from jaxcnn.models.chain import scaled
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class Decoder(linen.Module):
    """An image from the capsule of one class: all others set to zero, then dense layers.

    Attributes:
      shape: (*spatial, channels) of the image.
      hidden: units of each hidden layer.
      dtype: of the hidden layers; the image is float32.
    """

    shape: Sequence[int]
    hidden: Sequence[int] = (512, 1024)
    dtype: Any = None

    @linen.compact
    def __call__(self, capsules: jax.Array, labels: jax.Array) -> jax.Array:
        """Images (n, *shape), pixels between 0 and 1, from capsules (n, classes, dim) and labels (n)."""
        chosen = jax.nn.one_hot(labels, capsules.shape[1], dtype=capsules.dtype)
        x = (capsules * chosen[..., None]).reshape(capsules.shape[0], -1)
        for i, units in enumerate(self.hidden, start=1):
            dense = nn.Dense(
                units, dtype=self.dtype, kernel_init=linen.initializers.he_normal(), name=f"dense{i}"
            )
            x = jax.nn.relu(dense(x))
        pixels = nn.Dense(math.prod(self.shape), dtype=jnp.float32, name="pixels")(x)
        return jax.nn.sigmoid(pixels).reshape(-1, *self.shape)


@register
class CapsNet(Network):
    """A convolution, primary capsules, one capsule for each class, and a decoder; logits are capsule lengths.

    On 28×28 pixels, one channel and 10 classes it is the paper's network: 6,804,224 parameters and 1,411,344
    of the decoder, 8,215,568 together. The lengths lie between 0 and 1; train them with
    :func:`jaxcnn.ops.margin_loss`. The intermediate ``decoder`` is the image that the longest capsule means;
    in training the paper decodes that of the label, see :meth:`reconstruct`.

    Convolutions and the transformations between capsules start LeCun normal and with deviation 0.1, hidden
    layers of the decoder He normal, biases at zero.

    Attributes:
      num_classes: capsules of the last layer.
      num_filters: channels of the first convolution.
      width: multiplies them and the types of primary capsules.
      kernel_size: of both convolutions; the image has at least ``2 * kernel_size - 1`` pixels on each axis.
      types, dim: primary capsules at each position, and the length of their vectors.
      digit_dim: length of a class's vector.
      iterations: of routing.
      hidden: units of the decoder's hidden layers.
      decoder: have one.
      norm, activation, conv: of the first convolution, see :mod:`jaxcnn.nn.choices`.
      dtype: of the computation; parameters and logits are float32.

    Reference: Sabour, Frosst and Hinton, Dynamic Routing Between Capsules, 2017.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("capsnet(num_filters=8, types=2, kernel_size=3)", num_classes=5)
      >>> logits, variables = model.init_with_output(jax.random.key(0), jnp.ones((2, 8, 8, 1)))
      >>> logits.shape, sorted(variables["params"])
      ((2, 5), ['decoder', 'digit', 'primary', 'stem'])
    """

    input_shape = (28, 28, 1)

    num_classes: int = 10
    num_filters: int = 256
    width: float = 1.0
    kernel_size: int = 9
    types: int = 32
    dim: int = 8
    digit_dim: int = 16
    iterations: int = 3
    hidden: Sequence[int] = (512, 1024)
    decoder: bool = True
    norm: Choice = "none"
    activation: Choice = "relu"
    conv: Choice = "conv"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        for name in ("num_filters", "kernel_size", "types", "dim", "digit_dim", "iterations"):
            arguments.whole(name, getattr(self, name))
        arguments.wholes("hidden", self.hidden)
        arguments.flag("decoder", self.decoder)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        shape, least = x.shape[1:], 2 * self.kernel_size - 1
        if min(shape[:-1]) < least:
            raise ValueError(
                f"kernel_size={self.kernel_size}: expected images of {least} or more pixels on each axis, "
                f"not {shape[:-1]}; use a smaller kernel"
            )
        x = nn.ConvNorm(
            scaled(self.num_filters, self.width),
            self.kernel_size,
            padding="VALID",
            norm=self.norm,
            conv=self.conv,
            kernel_init=linen.initializers.lecun_normal(),
            dtype=self.dtype,
            name="stem",
        )(x, train=train)
        x = choices.activation(self.activation)(x)
        types = scaled(self.types, self.width)
        primary = nn.PrimaryCapsules(types, self.dim, self.kernel_size, dtype=self.dtype, name="primary")
        routed = nn.RoutedCapsules(
            self.num_classes, self.digit_dim, self.iterations, dtype=self.dtype, name="digit"
        )
        capsules = routed(primary(x))
        lengths = ops.capsule_lengths(capsules.astype(jnp.float32))
        if self.decoder:
            self._decoder(shape, name="decoder")(capsules, lengths.argmax(-1))
        return lengths

    @linen.nowrap
    def reconstruct(
        self, variables: Any, capsules: jax.Array, labels: jax.Array, shape: Sequence[int]
    ) -> jax.Array:
        """The images (n, *shape), pixels between 0 and 1, that the capsules of ``labels`` mean.

        Args:
          variables: of the network.
          capsules: shape (n, classes, digit_dim): the intermediate ``digit``.
          labels: which capsule is decoded, shape (n).
          shape: (*spatial, channels) of the images the network was made for.

        Example:
          >>> model = CapsNet(num_classes=3, num_filters=4, types=2, kernel_size=3)
          >>> variables = model.init(jax.random.key(0), jnp.ones((1, 8, 8, 1)))
          >>> model.reconstruct(variables, jnp.ones((2, 3, 16)), jnp.array([0, 2]), (8, 8, 1)).shape
          (2, 8, 8, 1)
        """
        if not self.decoder:
            raise ValueError("decoder=False: this network cannot reconstruct; use decoder=True")
        decoder = self._decoder(shape, parent=None)
        images: Any = decoder.apply({"params": variables["params"]["decoder"]}, capsules, labels)
        return images

    @linen.nowrap
    def _decoder(self, shape: Sequence[int], **options: Any) -> Decoder:
        return Decoder(tuple(shape), self.hidden, self.dtype, **options)
