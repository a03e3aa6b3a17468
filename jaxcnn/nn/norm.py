"""Modules that own the parameters of normalisation: float32 whatever is computed in."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxcnn import ops
from jaxcnn.ops.batch_norm import Convention

Dtype = Any
Initializer = nn.initializers.Initializer


class _Affine(nn.Module, kw_only=True):
    """What every normalisation has: a scale and a bias for each channel."""

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    dtype: Dtype = None
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros

    def _prepare(self, x: Array) -> tuple[Array, Array | None, Array | None]:
        shape = x.shape[-1:]
        scale = self.param("scale", self.scale_init, shape, jnp.float32) if self.use_scale else None
        bias = self.param("bias", self.bias_init, shape, jnp.float32) if self.use_bias else None
        return x if self.dtype is None else x.astype(self.dtype), scale, bias


class BatchNorm(_Affine):
    """Module form of :func:`jaxcnn.ops.batch_norm`, with the running statistics it keeps.

    ``train=True`` normalises by the statistics of the batch and updates the collection ``batch_stats``
    (``mean``, ``var``, float32); ``train=False`` normalises by that collection. The momentum is in Flax's
    convention and the running variance the biased one. ``BatchNorm(momentum=0.1, convention="torch",
    unbiased=True)`` keeps torch's running statistics to rounding.

    Attributes:
      momentum: m of :func:`jaxcnn.ops.update_running`.
      convention: ``"flax"``: new = m·old + (1 − m)·batch; ``"torch"``: new = (1 − m)·old + m·batch.
      unbiased: keep the running variance with N − 1.
      axis_name: mapped axes whose values count as one batch; not needed under ``jit`` with a sharded batch.
      epsilon: added to the variance.
      use_scale, use_bias: own a scale, a bias.
      dtype: what to compute and return; None keeps the input's.
      scale_init, bias_init: initialisers.

    Example:
      >>> import jax
      >>> layer, x = BatchNorm(momentum=0.5), jnp.array([[1.0], [3.0]])
      >>> variables = layer.init(jax.random.key(0), x)
      >>> _, updated = layer.apply(variables, x, train=True, mutable="batch_stats")
      >>> updated["batch_stats"]["mean"]  # ½ · 0 + ½ · 2
      Array([1.], dtype=float32)
    """

    momentum: float = 0.9
    convention: Convention = "flax"
    unbiased: bool = False
    axis_name: str | Sequence[str] | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        x, scale, bias = self._prepare(x)
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if not train:
            return ops.batch_norm(x, scale, bias, mean.value, var.value, epsilon=self.epsilon)
        axis_name = None if self.is_initializing() else self.axis_name
        moments = ops.batch_moments(x, axis_name=axis_name, mask=mask)
        if not self.is_initializing():
            mean.value, var.value = ops.update_running(
                mean.value,
                var.value,
                moments,
                momentum=self.momentum,
                convention=self.convention,
                unbiased=self.unbiased,
            )
        return ops.batch_norm(x, scale, bias, moments.mean, moments.var, epsilon=self.epsilon)


class LayerNorm(_Affine):
    """Module form of :func:`jaxcnn.ops.layer_norm`; ``axis`` shares one mean and variance.

    Example:
      >>> import jax
      >>> layer, x = LayerNorm(axis=(1, 2, 3)), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 4), {'bias': (4,), 'scale': (4,)})
    """

    axis: int | Sequence[int] = -1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        x, scale, bias = self._prepare(x)
        return ops.layer_norm(x, scale, bias, axis=self.axis, epsilon=self.epsilon)


class GroupNorm(_Affine):
    """Module form of :func:`jaxcnn.ops.group_norm`; ``groups`` divides the channels.

    Example:
      >>> import jax
      >>> layer, x = GroupNorm(groups=2), jnp.ones((1, 6, 6, 4))
      >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape, jax.tree.map(jnp.shape, variables["params"])
      ((1, 6, 6, 4), {'bias': (4,), 'scale': (4,)})
    """

    groups: int = 32

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        x, scale, bias = self._prepare(x)
        return ops.group_norm(x, scale, bias, groups=self.groups, mask=mask, epsilon=self.epsilon)


class InstanceNorm(_Affine):
    """Module form of :func:`jaxcnn.ops.instance_norm`."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False, mask: Array | None = None) -> Array:
        x, scale, bias = self._prepare(x)
        return ops.instance_norm(x, scale, bias, mask=mask, epsilon=self.epsilon)


class LocalResponseNorm(nn.Module):
    """Module form of :func:`jaxcnn.ops.local_response_norm`."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __call__(self, x: Array, train: bool = False) -> Array:
        return ops.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)
