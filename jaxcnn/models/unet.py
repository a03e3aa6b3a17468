"""U-Net: down to see much, up to see sharply, with bridges between."""

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.nn.choices import Choice

he_normal = linen.initializers.he_normal()  # by fan-in, as the paper has it


@register(name="unet")
class UNet(ConvNet, kw_only=True):
    """Levels of two 3×3 convolutions with 2×2 max pooling between; up again with 2×2 transposed convolutions.

    On the way up each level also reads what its counterpart on the way down found. The logits are one for
    every pixel, shape (n, *spatial, num_classes). Convolutions are padded, where the paper's shrink the map;
    so any size fits: pooling keeps a last odd pixel, and what comes up is cropped to its counterpart.

    With one input channel and two classes it has 31,030,658 parameters. Kernels start He normal by fan-in as
    in the paper (deviation √(2/N) for N incoming), biases at zero, the head LeCun normal.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      num_filters: channels of the first level; they double with each level down.
      levels: of resolution.
      dropout: rate behind the last level down.
      head: ``dense``, or another for one answer from the whole map.

    Reference: Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation,
    2015.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("unet(num_filters=4, levels=3)", num_classes=2)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 16, 16, 1)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 13, 10, 1))).shape
      (2, 13, 10, 2)
    """

    input_shape = (572, 572, 1)

    num_classes: int = 2
    num_filters: int = 64
    levels: int = 5
    dropout: float = 0.5
    norm: Choice = "none"
    head: Choice = "dense"

    def __post_init__(self) -> None:
        arguments.whole("num_filters", self.num_filters)
        arguments.whole("levels", self.levels)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        bridges = []
        for level in range(1, self.levels + 1):
            x = self._level(x, level, f"stage{level}", train)
            if level < self.levels:
                bridges.append(x)
                x = nn.MaxPool(2, strides=2, ceil_mode=True, name=f"pool{level}")(x)
        x = nn.Dropout(self.dropout, name="dropout")(x, train=train)
        for level in range(self.levels - 1, 0, -1):
            bridge = bridges.pop()
            # each pixel sees one of the taps, of which the fan counts all
            init = linen.initializers.variance_scaling(2.0 * 2 ** (x.ndim - 2), "fan_in", "truncated_normal")
            up = nn.ConvTranspose(
                bridge.shape[-1], 2, strides=2, dtype=self.dtype, kernel_init=init, name=f"up{level}"
            )
            x = up(x)[(slice(None), *(slice(size) for size in bridge.shape[1:-1]))]
            x = self._level(jnp.concatenate([bridge, x], axis=-1), level, f"up{level}", train)
        return self.scores(x, train)

    @linen.nowrap
    def _level(self, x: jax.Array, level: int, name: str, train: bool) -> jax.Array:
        features = self.scaled(self.num_filters * 2 ** (level - 1))
        for block in (1, 2):
            x = self.convolved(x, train, features, 3, kernel_init=he_normal, name=f"{name}_block{block}")
        return x
