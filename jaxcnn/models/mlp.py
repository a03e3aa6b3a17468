"""The fully connected baselines."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import create, register
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

    input_shape = (28, 28, 1)

    num_classes: int = 10
    hidden: Sequence[int] = (256, 256)
    activation: Choice = "relu"
    dropout: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        arguments.wholes("hidden", self.hidden)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        return perceptron(self, x, self.hidden, train)


@register(name="mlp_matched")
class MatchedMLP(Network):
    """An :class:`MLP` with as many parameters as a convolutional network has on the same images.

    All its hidden layers have one width h, the whole number for which

        P(h) = (N + 1)·h + (L − 1)·(h + 1)·h + (h + 1)·K,

    with N numbers in an image, L hidden layers and K classes, comes nearest to the parameters of ``match``.
    With one hidden layer it is off by half a unit at most, (N + 1 + K)/2 parameters. So what the two networks
    reach can differ by locality and shared weights, not by the number of weights.

    ``lenet5`` has 61,706 on 28×28 pixels, the example 62,020. Kernels start as those of :class:`MLP`.

    Attributes:
      num_classes: logits.
      match: call string of the other network.
      layers: hidden layers.
      activation, dropout, dtype: see :class:`MLP`.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("mlp_matched(match='lenet5')", num_classes=10)
      >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 28, 28, 1)))["params"]
      >>> sum(leaf.size for leaf in jax.tree.leaves(shapes)), shapes["dense1"]["kernel"].shape
      (62020, (784, 78))
    """

    input_shape = (28, 28, 1)

    num_classes: int = 10
    match: str = "lenet5"
    layers: int = 1
    activation: Choice = "relu"
    dropout: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        arguments.whole("layers", self.layers)
        self._other()
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        with ThreadPoolExecutor(1) as aside:  # else who intercepts our modules would meet the other's
            parameters = aside.submit(self._parameters, x.shape[1:]).result()
        units = matched_units(parameters, math.prod(x.shape[1:]), self.layers, self.num_classes)
        return perceptron(self, x, (units,) * self.layers, train)

    @linen.nowrap
    def _parameters(self, shape: Sequence[int]) -> int:
        """Of the other network, for images of a shape (*spatial, c)."""
        image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        shapes = jax.eval_shape(self._other().init, jax.random.key(0), image)["params"]
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    @linen.nowrap
    def _other(self) -> linen.Module:
        """The network to match, on its own rather than a part of whatever is being called."""
        return create(self.match, num_classes=self.num_classes).clone(parent=None)


def matched_units(parameters: int, inputs: int, layers: int, num_classes: int) -> int:
    """The width of ``layers`` equal hidden layers that comes nearest to a number of parameters.

    >>> matched_units(61_706, 784, 1, 10)
    78
    """

    def count(units: int) -> int:
        between = (layers - 1) * (units + 1) * units
        return (inputs + 1) * units + between + (units + 1) * num_classes

    # a·h² + b·h + c = 0
    a, b, c = layers - 1, inputs + layers + num_classes, num_classes - parameters
    root = 2 * -c / (b + math.sqrt(max(0, b * b - 4 * a * c)))
    near = max(1, math.floor(root))
    return min(near, near + 1, key=lambda units: abs(count(units) - parameters))


def perceptron(network: Any, x: jax.Array, hidden: Sequence[int], train: bool) -> jax.Array:
    """Dense layers over all of x, as submodules of the calling compact method."""
    x = x.reshape(x.shape[0], -1)
    for i, units in enumerate(hidden, start=1):
        he_normal = linen.initializers.he_normal()
        x = nn.Dense(units, dtype=network.dtype, kernel_init=he_normal, name=f"dense{i}")(x)
        x = choices.activation(network.activation)(x)
        x = nn.Dropout(network.dropout, name=f"dropout{i}")(x, train=train)
    return nn.Dense(network.num_classes, dtype=jnp.float32, name="head")(x)
