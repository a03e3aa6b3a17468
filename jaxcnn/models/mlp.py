"""The fully connected baseline."""

from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


@register
class MLP(Network):
    """Dense layers over all pixels at once: no locality, no shared weights, one input size.

    Kernels start He normal by fan-in (the last LeCun normal), biases at zero.

    Attributes:
      num_classes: logits.
      hidden: units of each hidden layer.
      activation: see :mod:`jaxcnn.nn.choices`.
      dropout: probability of dropping a hidden unit in training.
      dtype: of the hidden layers; parameters and logits are float32.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("mlp(hidden=[32, 16])", num_classes=4)
      >>> logits, _ = model.init_with_output(jax.random.key(0), jnp.ones((2, 8, 8, 1)))
      >>> logits.shape
      (2, 4)
    """

    num_classes: int = 10
    hidden: Sequence[int] = (256, 256)
    activation: Choice = "relu"
    dropout: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.whole("num_classes", self.num_classes)
        arguments.wholes("hidden", self.hidden)
        arguments.rate("dropout", self.dropout)
        choices.activation(self.activation)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for i, units in enumerate(self.hidden, start=1):
            he_normal = linen.initializers.he_normal()
            x = nn.Dense(units, dtype=self.dtype, kernel_init=he_normal, name=f"dense{i}")(x)
            x = choices.activation(self.activation)(x)
            x = nn.Dropout(self.dropout, name=f"dropout{i}")(x, train=train)
        return nn.Dense(self.num_classes, dtype=jnp.float32, name="head")(x)
