"""What every network of the zoo has in common: how it is called."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as linen
import jax

from jaxcnn.models.torch_names import Rule


class Network(linen.Module):
    """A network; a subclass says in :meth:`forward` what it computes.

    It is called as ``network.apply(variables, x, train=False)`` and returns logits.

    Attributes:
      torch_names: what its numbers are called in torchvision and timm, see :mod:`jaxcnn.models.torch_names`.
    """

    torch_names: ClassVar[Mapping[str, Sequence[Rule]]] = {}

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> Any:
        return self.forward(x, train)

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> Any:
        """The network itself, with submodules made in place, as in a compact method."""
        raise TypeError(f"{type(self).__name__} defines no forward")
