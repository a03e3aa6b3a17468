"""TCN: a residual network over time that never looks ahead."""

from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice


class TemporalBlock(linen.Module):
    """Two causal dilated convolutions, each with activation and dropout, and the input added.

    Attributes:
      features: channels of the output.
      kernel_size, dilation: of both convolutions.
      dropout: rate of dropping a channel behind each.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      dtype: of the computation; None is that of the input.
    """

    features: int
    kernel_size: int
    dilation: int
    dropout: float = 0.2
    norm: Choice = "none"
    activation: Choice = "relu"
    conv: Choice = "weight_norm"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        activation, y = choices.activation(self.activation), x
        for i in (1, 2):
            conv = nn.ConvNorm(
                self.features,
                self.kernel_size,
                dilation=self.dilation,
                padding="CAUSAL",
                norm=self.norm,
                conv=self.conv,
                dtype=self.dtype,
                name=f"conv{i}",
            )
            y = activation(conv(y, train=train))
            y = nn.SpatialDropout(self.dropout, name=f"dropout{i}")(y, train=train)
        if x.shape[-1] != self.features:
            x = nn.Conv(self.features, 1, dtype=self.dtype, name="shortcut")(x)
        return activation(x + y)


@register
class TCN(Network):
    """Blocks of causal convolutions whose dilation doubles: 1, 2, 4, …

    Output t reads inputs t − r + 1 to t, with the receptive field r = 1 + Σ (k − 1)·d over all convolutions,
    that is 1 + 2 (k − 1) (2ᴮ − 1) for B blocks and kernels of k: 1,021 as it stands.

    Convolutions start He normal by fan-out with their lengths learned apart from their directions, the head
    LeCun normal, biases at zero.

    Attributes:
      num_classes: logits.
      num_filters: channels of each block.
      kernel_size: taps of every convolution.
      dropout: rate of dropping a channel behind each convolution.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is that of the causal convolutions.
      head: ``last`` (logits of the last time), ``dense`` (of every time, shape (n, length, num_classes)),
        ``pooled``, or a callable from the number of classes.
      dtype: of the computation; parameters and logits are float32.

    Reference: Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks
    for Sequence Modeling, 2018.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("tcn(num_filters=[4, 4], head='dense')", num_classes=3)
      >>> logits, _ = model.init_with_output(jax.random.key(0), jnp.ones((2, 11, 1)))
      >>> logits.shape
      (2, 11, 3)
    """

    num_classes: int = 10
    num_filters: Sequence[int] = (25,) * 8
    kernel_size: int = 3
    dropout: float = 0.2
    norm: Choice = "none"
    activation: Choice = "relu"
    conv: Choice = "weight_norm"
    head: Choice = "last"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        arguments.wholes("num_filters", self.num_filters)
        arguments.whole("kernel_size", self.kernel_size, 2)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        for i, features in enumerate(self.num_filters):
            x = TemporalBlock(
                features,
                self.kernel_size,
                2**i,
                self.dropout,
                self.norm,
                self.activation,
                self.conv,
                self.dtype,
                name=f"stage1_block{i + 1}",
            )(x, train=train)
        return heads.head(self.head, self.num_classes, name="head")(x, train=train)
