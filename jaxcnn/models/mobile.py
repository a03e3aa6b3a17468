"""What networks for small devices have in common."""

import flax.linen as linen
import jax

from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.stem import stem
from jaxcnn.nn.choices import Choice


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of ``by``, but not more than a tenth below ``channels``.

    >>> divisible(32 * 0.35), divisible(24 * 0.75)
    (16, 24)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


class MobileNetwork(ConvNet, kw_only=True):
    """A stem, depthwise convolutions between 1×1 convolutions, and a head.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, where ``width`` makes multiples of 8 and
    ``conv`` is that of the depthwise convolutions, and
      stem: see :func:`jaxcnn.models.stem.stem`.
      dropout: rate before the head's last layer.
    """

    stem: Choice = "mobilenet"
    dropout: float = 0.0

    @linen.nowrap
    def scaled(self, features: int) -> int:
        return divisible(features * self.width)

    @linen.nowrap
    def begin(self, x: jax.Array, features: int, train: bool) -> jax.Array:
        """The stem, with ``features`` at this width."""
        return stem(self.stem, x, self.scaled(features), train=train, **self.plain)

    @linen.nowrap
    def widen(self, x: jax.Array, features: int, train: bool) -> jax.Array:
        """A 1×1 convolution to ``features``, the submodule ``last``."""
        return self.convolved(x, train, features, 1, name="last", conv="conv")
