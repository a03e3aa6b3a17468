"""What anyone may ask of a convolutional network, whichever family it is of."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import scaled
from jaxcnn.models.network import Network
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice


class ConvNet(Network, kw_only=True):
    """A network of convolutions with a head; a family says in :meth:`forward` what is between.

    A family adds what only it has, and ``stem`` (see :func:`jaxcnn.models.stem.stem`) where its beginning can
    be exchanged, ``dropout`` where units are dropped in training, and ``drop_path`` where branches are: the
    probability that the last of them is left out for an example, from where it falls evenly to the first.

    Attributes:
      num_classes: logits.
      width: multiplies every number of channels, hidden units included.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      epsilon, momentum: of ``batch`` normalization, as in :class:`jaxcnn.nn.BatchNorm`.
      head: ``pooled``; ``fc``, hidden layers; ``flatten``, for one size of input; ``dense``, logits at every
        place; or a callable from the number of classes. See :mod:`jaxcnn.nn.heads`.
      dtype: of the computation; parameters and logits are float32.
    """

    num_classes: int = 1000
    width: float = 1.0
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    epsilon: float = 1e-5
    momentum: float = 0.9
    head: Choice = "pooled"
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        super().__post_init__()

    @property
    def parts(self) -> dict[str, Any]:
        """What modules made of convolutions take."""
        return {
            "norm": choices.tuned(self.norm, epsilon=self.epsilon, momentum=self.momentum),
            "activation": self.activation,
            "conv": self.conv,
            "dtype": self.dtype,
        }

    @property
    def plain(self) -> dict[str, Any]:
        """The same for those whose convolutions ``conv`` does not mean."""
        return {name: part for name, part in self.parts.items() if name != "conv"}

    @linen.nowrap
    def convolved(self, x: jax.Array, train: bool, features: int, *window: Any, **options: Any) -> jax.Array:
        """x behind a :class:`jaxcnn.nn.ConvNorm` and the activation."""
        parts = self.parts | options
        activation = choices.activation(parts.pop("activation"))
        return activation(nn.ConvNorm(features, *window, **parts)(x, train=train))

    @linen.nowrap
    def normalized(self, x: jax.Array, train: bool, name: str = "norm") -> jax.Array:
        """x behind the normalization."""
        return choices.normalized(self.parts["norm"], x, train, dtype=self.dtype, name=name)

    @linen.nowrap
    def scaled(self, features: int) -> int:
        """``features`` at this width."""
        return scaled(features, self.width)

    @linen.nowrap
    def hidden_layers(self, units: Sequence[int]) -> dict[str, Any]:
        """Options of an ``fc`` head with these hidden units, at this width."""
        hidden = tuple(self.scaled(each) for each in units)
        return {"hidden": hidden, "activation": self.activation, "dtype": self.dtype}

    @linen.nowrap
    def scores(
        self, x: jax.Array, train: bool, *, fc: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """What the head, the submodule ``head`` of the calling compact method, makes of the last maps.

        Args:
          x: the maps.
          train: whether this is training.
          fc: further options of the ``fc`` head.
          **options: of every head.
        """
        if self.head == "fc":
            options |= fc or {}
        return heads.head(self.head, self.num_classes, name="head", **options)(x, train=train)
