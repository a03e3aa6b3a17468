"""TCN: a residual network over time that never looks ahead."""

from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class TemporalBlock(linen.Module):
    """Two causal dilated convolutions, each with activation and dropout, and the input added.

    Attributes:
      features: channels of the output.
      kernel_size, dilation: of both convolutions.
      dropout: rate of dropping a channel behind each.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      drop_path: probability of leaving both out for an example in training.
      dtype: of the computation; None is that of the input.
    """

    features: int
    kernel_size: int
    dilation: int
    dropout: float = 0.2
    norm: Choice = "none"
    activation: Choice = "relu"
    conv: Choice = "weight_norm"
    drop_path: float = 0.0
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
        return activation(x + nn.DropPath(self.drop_path, name="drop_path")(y, train=train))


@register
class TCN(ConvNet, kw_only=True):
    """Blocks of causal convolutions whose dilation doubles: 1, 2, 4, …

    Output t reads inputs t − r + 1 to t, with the receptive field r = 1 + Σ (k − 1)·d over all convolutions,
    that is 1 + 2 (k − 1) (2ᴮ − 1) for B blocks and kernels of k: 1,021 as it stands.

    Convolutions start He normal by fan-out with their lengths learned apart from their directions, the head
    LeCun normal, biases at zero.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      num_filters: channels of each block.
      kernel_size: taps of every convolution.
      dropout: rate of dropping a channel behind each convolution.
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`.
      conv: of the causal convolutions.
      head: ``last`` (logits of the last time), ``dense`` (of every time, shape (n, length, num_classes)),
        ``pooled``, or a callable from the number of classes.

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
    input_shape = (784, 1)

    num_filters: Sequence[int] = (25,) * 8
    kernel_size: int = 3
    dropout: float = 0.2
    drop_path: float = 0.0
    norm: Choice = "none"
    conv: Choice = "weight_norm"
    head: Choice = "last"

    def __post_init__(self) -> None:
        arguments.wholes("num_filters", self.num_filters)
        arguments.whole("kernel_size", self.kernel_size, 2)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        for i, features in enumerate(self.num_filters):
            x = TemporalBlock(
                self.scaled(features),
                self.kernel_size,
                2**i,
                self.dropout,
                drop_path=self.drop_path * (i + 1) / len(self.num_filters),
                name=f"stage1_block{i + 1}",
                **self.parts,
            )(x, train=train)
        return self.scores(x, train)
