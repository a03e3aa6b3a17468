"""The parts of a network that a call string can name, as in ``resnet20(norm="group", activation="gelu")``."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcnn.errors import nearest
from jaxcnn.nn.conv import Conv
from jaxcnn.nn.deform import DeformConv
from jaxcnn.nn.factor import FlattenedConv, SeparableConv, SpatiallySeparableConv
from jaxcnn.nn.gates import CBAM, CoordinateAttention, SqueezeExcite
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from jaxcnn.nn.standardized import StandardizedConv, WeightNormConv

Choice = str | Callable[..., Any]
"""A name, or the part itself."""

GROUP_CHANNELS = 8  # the usual 32 groups do not fit networks of 16 channels

NORMS: dict[str, Callable[..., nn.Module] | None] = {
    "batch": BatchNorm,
    "channel": LayerNorm,
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
    "scaled_tanh": lambda x: 1.7159 * jnp.tanh(2 / 3 * x),
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def _deformable(features: int, kernel_size: Any, *, modulated: bool, **options: Any) -> nn.Module:
    """Deformable where there is a neighbourhood; a 1×1 convolution, as in the papers, stays as it is."""
    if kernel_size == 1:
        return Conv(features, kernel_size, **options)
    return DeformConv(features, kernel_size, modulated=modulated, **options)


def _factored(kind: str, features: int, kernel_size: Any, **options: Any) -> nn.Module:
    """A product of smaller kernels where there is a neighbourhood."""
    make = {"flattened": FlattenedConv, "separable": SeparableConv}.get(kind, SpatiallySeparableConv)
    if "groups" in options and not hasattr(make, "groups"):
        raise ValueError(f"conv={kind!r} has no groups, and {options['groups']} are needed here; use another")
    return (Conv if kernel_size == 1 else make)(features, kernel_size, **options)


class _FinestConv(Conv):
    """In as many groups as there can be, each of one channel where the features are a multiple of them."""

    @nn.nowrap
    def split(self, channels: int) -> int:
        return math.gcd(channels, self.features)


def _depthwise(features: int, kernel_size: Any, **options: Any) -> nn.Module:
    return (Conv if kernel_size == 1 else _FinestConv)(features, kernel_size, **options)


CONVS: dict[str, Callable[..., nn.Module]] = {
    "conv": Conv,
    "deform": functools.partial(_deformable, modulated=True),
    "deform_v1": functools.partial(_deformable, modulated=False),
    "depthwise": _depthwise,
    "flattened": functools.partial(_factored, "flattened"),
    "separable": functools.partial(_factored, "separable"),
    "spatially_separable": functools.partial(_factored, "spatially_separable"),
    "standardized": StandardizedConv,
    "weight_norm": WeightNormConv,
}

GATES: dict[str, Callable[..., nn.Module] | None] = {
    "cbam": CBAM,
    "coordinate": CoordinateAttention,
    "none": None,
    "se": functools.partial(SqueezeExcite, least=8),
}

ORDERS = ("first", "post", "pre")
SHORTCUTS = ("average", "identity", "pad", "projection")


def norm(choice: Choice, features: int, **options: Any) -> nn.Module | None:
    """The normalization of ``features`` channels.

    Args:
      choice: ``batch``; ``group`` (8 channels a group, or the greatest common divisor of 8 and ``features``);
        ``layer`` (one mean and variance for each image); ``channel`` (one for each position, over channels,
        as in ConvNeXt); ``instance``; ``none``; or a callable that takes ``options`` and returns a module.
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


def normalized(choice: Choice, x: jax.Array, train: bool, **options: Any) -> jax.Array:
    """x behind the submodule that ``norm(choice, channels, **options)`` is; x itself for ``none``."""
    module = norm(choice, x.shape[-1], **options)
    return x if module is None else module(x, train=train)


def tuned(choice: Choice, default: str = "batch", **options: Any) -> Choice:
    """``choice`` as a family's authors tuned it: with these ``options`` where it is their ``default``.

    >>> tuned("group", epsilon=1e-3)
    'group'
    >>> norm(tuned("batch", epsilon=1e-3), 8).epsilon
    0.001
    """
    make = NORMS[default]
    return functools.partial(make, **options) if make is not None and choice == default else choice


def activation(choice: Choice) -> Callable[[jax.Array], jax.Array]:
    """The activation function that a name of :data:`ACTIVATIONS`, or the function itself, means."""
    return pick("activation", choice, ACTIVATIONS)


def conv(choice: Choice) -> Callable[..., nn.Module]:
    """What makes the module that takes the place of :class:`jaxcnn.nn.Conv`, from its arguments.

    Args:
      choice: ``conv``; ``deform``, modulated deformable (version 2), or ``deform_v1`` without modulation;
        ``depthwise``, every channel by itself, or where features are no multiple of the channels in as many
        groups as divide both; ``separable``, depthwise and 1×1; ``spatially_separable``, one axis after
        another; ``flattened``, 1×1 and then one axis after another of every channel by itself; all these
        where the kernel is larger than 1×1, and plain elsewhere. ``standardized`` or ``weight_norm``, with a
        kernel normalised as it is used; or a callable that takes the arguments of :class:`jaxcnn.nn.Conv` and
        returns a module.
    """
    return pick("conv", choice, CONVS)


def gate(choice: Choice, **options: Any) -> nn.Module | None:
    """The gate at the end of a branch.

    Args:
      choice: ``none``; ``se``, squeeze and excitation with a sixteenth of the channels, eight at least;
        ``cbam``; ``coordinate``; or a callable that takes ``options`` and returns a module.
      **options: ``dtype``, ``name`` and the like.

    Returns:
      A module called ``(x, train=...)``; None for ``none``.
    """
    make = pick("gate", choice, GATES)
    return None if make is None else make(**options)


def shortcut(choice: str) -> str:
    """A name of :data:`SHORTCUTS`, checked; see :class:`jaxcnn.nn.ResidualBlock`."""
    return one_of("shortcut", choice, SHORTCUTS)


def order(choice: str) -> str:
    """A name of :data:`ORDERS`, checked; see :class:`jaxcnn.nn.ResidualBlock`."""
    return one_of("order", choice, ORDERS)


def one_of(argument: str, choice: str, known: Sequence[str]) -> str:
    """``choice``, which has to be one of the names ``known``."""
    if choice not in known:
        raise ValueError(f"{argument}={choice!r} is unknown; {nearest(str(choice), known)}")
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
