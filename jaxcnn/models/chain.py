"""Layers one after another, and such chains side by side: what stems and Inception modules are made of."""

import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.nn import choices
from jaxcnn.nn.blocks import he_normal
from jaxcnn.nn.choices import Choice
from jaxcnn.nn.initializers import Initializer
from jaxcnn.ops.geometry import Padding


class Conv(NamedTuple):
    """A convolution with its normalization and activation; the arguments of :class:`jaxcnn.nn.ConvNorm`."""

    features: int
    kernel_size: int | tuple[int, ...] = 1
    strides: int | tuple[int, ...] = 1
    padding: Padding | None = None


class Fork(NamedTuple):
    """Convolutions that all read what came before, and whose outputs are concatenated."""

    tines: tuple[Conv, ...]


class Pool(NamedTuple):
    """Pooling; the arguments of :class:`jaxcnn.nn.MaxPool`, or of :class:`jaxcnn.nn.AvgPool`."""

    kind: str
    window: int = 3
    strides: int = 1
    padding: int = 1
    ceil_mode: bool = False

    def module(self) -> linen.Module:
        pool = nn.MaxPool if self.kind == "max" else nn.AvgPool
        return pool(self.window, self.strides, self.padding, ceil_mode=self.ceil_mode)


Step = Conv | Fork | Pool


class Chain(linen.Module):
    """Steps one after another; convolutions are ``conv1``, ``conv2``, …, in a fork ``conv3a``, ``conv3b``, ….

    Attributes:
      steps: what is done.
      width: multiplies every number of channels.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      kernel_init: of the convolutions.
      dtype: of the computation; None is that of the input.

    Example:
      >>> chain = Chain([Conv(8, 3, strides=2), Pool("max"), Fork((Conv(4), Conv(6)))])
      >>> y, variables = chain.init_with_output(jax.random.key(0), jnp.ones((1, 9, 9, 3)))
      >>> y.shape, sorted(variables["params"])
      ((1, 5, 5, 10), ['conv1', 'conv2a', 'conv2b'])
    """

    steps: Sequence[Step]
    width: float = 1.0
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    kernel_init: Initializer = he_normal
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        convolutions = 0
        for step in self.steps:
            if isinstance(step, Pool):
                x = step.module()(x)
                continue
            convolutions += 1
            if isinstance(step, Fork):
                outputs = [
                    self._convolution(tine, f"conv{convolutions}{letter}")(x, train)
                    for tine, letter in zip(step.tines, string.ascii_lowercase, strict=False)
                ]
                x = jnp.concatenate(outputs, axis=-1)
            else:
                x = self._convolution(step, f"conv{convolutions}")(x, train)
        return x

    def _convolution(self, step: Conv, name: str) -> Any:
        module = nn.ConvNorm(
            scaled(step.features, self.width),
            step.kernel_size,
            step.strides,
            padding=step.padding,
            norm=self.norm,
            conv=self.conv,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name=name,
        )
        activation = choices.activation(self.activation)
        return lambda x, train: activation(module(x, train=train))


class Branches(linen.Module):
    """Chains that all read the input, and whose outputs are concatenated.

    Attributes:
      branches: the steps of each chain, by its name.
      options: of every chain, see :class:`Chain`.
    """

    branches: Mapping[str, Sequence[Step]]
    options: Mapping[str, Any]

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        outputs = [
            Chain(steps, **self.options, name=name)(x, train=train) for name, steps in self.branches.items()
        ]
        return jnp.concatenate(outputs, axis=-1)


def scaled(features: int, width: float) -> int:
    """``width`` times as many channels, to the nearest, and one at least.

    >>> scaled(64, 0.5), scaled(64, 0.001)
    (32, 1)
    """
    return max(1, round(features * width))
