"""What every network of the zoo has in common: how it is called."""

from typing import Any

import flax.linen as linen
import jax


class Network(linen.Module):
    """A network; a subclass says in :meth:`forward` what it computes.

    It is called as ``network.apply(variables, x, train=False)`` and returns logits.
    """

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> Any:
        return self.forward(x, train)

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> Any:
        """The network itself, with submodules made in place, as in a compact method."""
        raise TypeError(f"{type(self).__name__} defines no forward")
