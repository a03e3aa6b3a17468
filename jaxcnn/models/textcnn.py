"""TextCNN: words side by side, the strongest response wherever it is."""

from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import scaled
from jaxcnn.models.masking import AtLeast
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


def _uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -0.25, 0.25)


@register
class TextCNN(Network):
    """Convolutions of several widths over a sequence, the maximum of each feature over time, and a head.

    Sequences are embedded already, (n, length, channels), or tokens (n, length) of ``vocabulary`` kinds, for
    which it learns vectors. Any length fits; one shorter than the widest convolution has zeros behind it.
    Vectors start uniform between −0.25 and 0.25 as the paper's do, convolutions He normal by fan-out, the
    dense layer LeCun normal, biases at zero.

    With 300 channels, the paper's widths and two classes it has 360,902 parameters beside the vectors.

    Attributes:
      num_classes: logits.
      widths: words that each convolution sees.
      num_filters: features of each width.
      width: multiplies them.
      vocabulary: kinds of tokens; None where sequences are embedded already.
      embedding: channels of a token's vector.
      dropout: rate before the dense layer.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      dtype: of the computation; parameters and logits are float32.

    Reference: Kim, Convolutional Neural Networks for Sentence Classification, 2014.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("textcnn(vocabulary=50, embedding=8, num_filters=4)", num_classes=3)
      >>> logits, _ = model.init_with_output(jax.random.key(0), jnp.ones((2, 11), jnp.int32))
      >>> logits.shape
      (2, 3)
    """

    num_classes: int = 2
    widths: Sequence[int] = (3, 4, 5)
    num_filters: int = 100
    width: float = 1.0
    vocabulary: int | None = None
    embedding: int = 300
    dropout: float = 0.5
    norm: Choice = "none"
    activation: Choice = "relu"
    conv: Choice = "conv"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        arguments.wholes("widths", self.widths)
        if not self.widths:
            raise ValueError("widths=[]: expected one width or more")
        arguments.whole("num_filters", self.num_filters)
        arguments.whole("embedding", self.embedding)
        if self.vocabulary is not None:
            arguments.whole("vocabulary", self.vocabulary)
        super().__post_init__()

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (64,) if self.vocabulary is not None else (64, self.embedding)

    @linen.nowrap
    def places(self, x: jax.Array) -> tuple[int, ...]:
        return x.shape if self.vocabulary is not None else x.shape[:-1]

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        if self.vocabulary is not None:
            x = linen.Embed(
                self.vocabulary, self.embedding, dtype=self.dtype, embedding_init=_uniform, name="embed"
            )(x.astype(jnp.int32))
        if x.ndim != 3:
            raise ValueError(
                f"vocabulary={self.vocabulary}: expected sequences (n, length, channels), or tokens (n, "
                f"length) with a vocabulary; not {x.shape}"
            )
        x = AtLeast(max(self.widths), name="at_least")(x)
        found = []
        for width in self.widths:
            conv = nn.ConvNorm(
                scaled(self.num_filters, self.width),
                width,
                padding="VALID",
                norm=self.norm,
                conv=self.conv,
                dtype=self.dtype,
                name=f"width{width}",
            )
            y = choices.activation(self.activation)(conv(x, train=train))
            found.append(nn.GlobalMaxPool(name=f"max{width}")(y))
        code = nn.Dropout(self.dropout, name="dropout")(jnp.concatenate(found, axis=-1), train=train)
        return nn.Dense(self.num_classes, dtype=jnp.float32, name="head")(code)
