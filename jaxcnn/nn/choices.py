"""The parts of a network that a call string can name, as in ``resnet20(norm="group", activation="gelu")``."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcnn.errors import nearest
from jaxcnn.nn.conv import Conv
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm

Choice = str | Callable[..., Any]
"""A name, or the part itself."""

GROUP_CHANNELS = 8  # the usual 32 groups do not fit networks of 16 channels

NORMS: dict[str, Callable[..., nn.Module] | None] = {
    "batch": BatchNorm,
    "group": lambda features, **options: GroupNorm(
        groups=features // math.gcd(features, GROUP_CHANNELS), **options
    ),
    "layer": lambda features, **options: GroupNorm(groups=1, **options),
    "instance": InstanceNorm,
    "none": None,
}

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": jax.nn.gelu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}

CONVS: dict[str, Callable[..., nn.Module]] = {"conv": Conv}

SHORTCUTS = ("identity", "pad", "projection")


def norm(choice: Choice, features: int, **options: Any) -> nn.Module | None:
    """The normalization of ``features`` channels.

    Args:
      choice: ``batch``; ``group`` (8 channels a group, or the greatest common divisor of 8 and ``features``);
        ``layer`` (one mean and variance for each image); ``instance``; ``none``; or a callable that takes
        ``options`` and returns a module.
      features: channels of what is normalized.
      **options: ``dtype``, ``scale_init``, ``name`` and the like.

    Returns:
      A module called ``(x, train=...)``; None for ``none``.

    Raises:
      TypeError, ValueError: ``choice`` is neither a known name nor a callable.

    Example:
      >>> norm("group", 24).groups
      3
    """
    make = pick("norm", choice, NORMS)
    if make is None:
        return None
    if choice in ("group", "layer"):
        return make(features, **options)
    return make(**options)


def activation(choice: Choice) -> Callable[[jax.Array], jax.Array]:
    """The activation function that a name of :data:`ACTIVATIONS`, or the function itself, means."""
    return pick("activation", choice, ACTIVATIONS)


def conv(choice: Choice) -> Callable[..., nn.Module]:
    """The module class that takes the place of :class:`jaxcnn.nn.Conv`, with its arguments."""
    return pick("conv", choice, CONVS)


def shortcut(choice: str) -> str:
    """A name of :data:`SHORTCUTS`, checked; see :class:`jaxcnn.nn.ResidualBlock`."""
    if choice not in SHORTCUTS:
        raise ValueError(f"shortcut={choice!r} is unknown; {nearest(str(choice), SHORTCUTS)}")
    return choice


def pick(argument: str, choice: Choice, known: Mapping[str, Any]) -> Any:
    """What ``choice`` names among ``known``; a callable stands for itself.

    Raises:
      TypeError: ``choice`` is neither a string nor a callable.
      ValueError: no such name.
    """
    if isinstance(choice, str):
        if choice not in known:
            raise ValueError(f"{argument}={choice!r} is unknown; {nearest(choice, known)}")
        return known[choice]
    if not callable(choice):
        raise TypeError(f"{argument}={choice!r}: expected one of {', '.join(sorted(known))}, or a callable")
    return choice
