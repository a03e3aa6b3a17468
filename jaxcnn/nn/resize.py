"""Module over :mod:`jaxcnn.ops.resize`."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.ops.spread import Sizes


class Resize(nn.Module):
    """Module form of :func:`jaxcnn.ops.resize`."""

    size: int | Sequence[int]

    def __call__(self, x: Array, train: bool = False, sizes: Sizes | None = None) -> Array:
        return ops.resize(x, self.size, sizes=sizes)
