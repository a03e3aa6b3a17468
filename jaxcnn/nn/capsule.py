"""Modules that own the transformations between capsules."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.nn.conv import Conv, Dtype
from jaxcnn.nn.initializers import Initializer
from jaxcnn.ops.check import whole
from jaxcnn.ops.geometry import Padding


class PrimaryCapsules(nn.Module):
    """A convolution whose outputs are read as capsules: :func:`jaxcnn.ops.primary_capsules`.

    Attributes:
      types: capsules at each position.
      dim: length of a capsule's vector.
      kernel_size, strides, padding: of the convolution, ``conv``.
      dtype: what to compute and return; None promotes input and parameters.

    Example:
      >>> import jax
      >>> layer, x = PrimaryCapsules(types=2, dim=4, kernel_size=3), jnp.ones((1, 9, 9, 3))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 32, 4), {'conv': {'bias': (8,), 'kernel': (3, 3, 3, 8)}})
    """

    types: int = 32
    dim: int = 8
    kernel_size: int | Sequence[int] = 9
    strides: int | Sequence[int] = 2
    padding: Padding = "VALID"
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        conv = Conv(
            features=whole("types", self.types) * whole("dim", self.dim),
            kernel_size=self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            dtype=self.dtype,
            name="conv",
        )
        return ops.primary_capsules(conv(x), self.dim)


class RoutedCapsules(nn.Module):
    """Capsules that hear all capsules below, by :func:`jaxcnn.ops.dynamic_routing`.

    Attributes:
      capsules: how many.
      dim: length of a capsule's vector.
      iterations: of routing.
      dtype: what to compute and return; None promotes input and parameters.
      kernel_init: of the transformations, ``kernel`` (in, out, d, dim).

    Example:
      >>> import jax
      >>> layer, x = RoutedCapsules(10, dim=4), jnp.ones((1, 32, 8))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 10, 4), {'kernel': (32, 10, 8, 4)})
    """

    capsules: int
    dim: int = 16
    iterations: int = 3
    dtype: Dtype = None
    kernel_init: Initializer = nn.initializers.normal(0.1)

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        *_, below, d = x.shape
        shape = (below, whole("capsules", self.capsules), d, whole("dim", self.dim))
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return ops.dynamic_routing(ops.capsule_votes(x, kernel), self.iterations).capsules


class EMCapsules(nn.Module):
    """Capsules that hear all capsules below, by :func:`jaxcnn.ops.em_routing`.

    Called with poses (*batch, in, d) and activations (*batch, in) it returns poses (*batch, capsules, dim)
    and activations (*batch, capsules).

    Attributes:
      capsules: how many.
      dim: length of a pose.
      iterations: of routing.
      inverse_temperature: at the last iteration.
      dtype: what to compute and return; None promotes input and parameters.
      kernel_init: of the transformations, ``kernel`` (in, out, d, dim).

    Example:
      >>> import jax
      >>> layer, poses, present = EMCapsules(10, dim=4), jnp.ones((1, 32, 8)), jnp.ones((1, 32))
      >>> (y, activations), _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), poses, present)
      >>> y.shape, activations.shape
      ((1, 10, 4), (1, 10))
    """

    capsules: int
    dim: int = 16
    iterations: int = 3
    inverse_temperature: float = 0.01
    dtype: Dtype = None
    kernel_init: Initializer = nn.initializers.normal(0.1)

    @nn.compact
    def __call__(self, x: Array, activations: Array, train: bool = False) -> tuple[Array, Array]:
        *_, below, d = x.shape
        shape = (below, whole("capsules", self.capsules), d, whole("dim", self.dim))
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        activate = self.param("beta_activate", nn.initializers.zeros, (self.capsules,), jnp.float32)
        use = self.param("beta_use", nn.initializers.zeros, (self.capsules,), jnp.float32)
        x, activations, kernel = promote_dtype(x, activations, kernel, dtype=self.dtype)
        routed = ops.em_routing(
            ops.capsule_votes(x, kernel),
            activations,
            activate,
            use,
            iterations=self.iterations,
            inverse_temperature=self.inverse_temperature,
        )
        return routed.poses, routed.activations
