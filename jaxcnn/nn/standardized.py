"""Convolutions whose kernel is normalised as it is used."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import WindowOwner


class StandardizedConv(WindowOwner):
    """A convolution by :func:`jaxcnn.ops.weight_standardize` of its kernel.

    Attributes:
      groups, lowering: as in :func:`jaxcnn.ops.conv`.
      use_gain: own a factor ``gain`` for each feature, which begins as 1; with ``zero`` as 0, and is there
        in any case.
      epsilon: added to the kernel's variance.

    Example:
      >>> import jax
      >>> layer, x = StandardizedConv(8, 3, use_gain=True), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'bias': (8,), 'gain': (8,), 'kernel': (3, 3, 4, 8)})
    """

    groups: int = 1
    lowering: str = "auto"
    use_gain: bool = False
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = self.kernel_shape(x, self.groups)
        gain = None
        if self.use_gain or self.zero:
            init = nn.initializers.zeros if self.zero else nn.initializers.ones
            gain = self.param("gain", init, (self.features,), jnp.float32)
        x, kernel, bias = self.own(x, {"kernel": shape}, (self.features,), zero=False)
        return ops.conv(
            x,
            ops.weight_standardize(kernel, gain, epsilon=self.epsilon),
            bias,
            **self.window(),
            groups=self.groups,
            lowering=self.lowering,
        )


class WeightNormConv(WindowOwner):
    """A convolution by :func:`jaxcnn.ops.weight_normalize` of its kernel.

    Its ``gain`` begins as the lengths of the kernel, so that the convolution begins as without it; with
    ``zero`` as 0.

    Attributes:
      groups, lowering: as in :func:`jaxcnn.ops.conv`.

    Example:
      >>> import jax
      >>> layer, x = WeightNormConv(8, 3), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 8), {'bias': (8,), 'gain': (8,), 'kernel': (3, 3, 4, 8)})
    """

    groups: int = 1
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = self.kernel_shape(x, self.groups)
        x, kernel, bias = self.own(x, {"kernel": shape}, (self.features,), zero=False)

        def lengths(key: Array) -> Array:
            wide = kernel.astype(jnp.float32)
            squares = jnp.sum(wide * wide, axis=tuple(range(wide.ndim - 1)))
            return jnp.zeros_like(squares) if self.zero else jnp.sqrt(squares)

        gain = self.param("gain", lengths)
        return ops.conv(
            x,
            ops.weight_normalize(kernel, gain),
            bias,
            **self.window(),
            groups=self.groups,
            lowering=self.lowering,
        )
