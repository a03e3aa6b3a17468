"""How networks begin."""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import jax

from jaxcnn import nn
from jaxcnn.models.chain import Chain, Conv, Fork, Pool, Step, scaled
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class Stem(NamedTuple):
    """The steps of a stem, from the channels of its result.

    Attributes:
      steps: see :class:`jaxcnn.models.chain.Chain`.
      active: with an activation behind every convolution; without one there is a bias in its place.
    """

    steps: Callable[[int], tuple[Step, ...]]
    active: bool = True


def _deep(features: int) -> tuple[Step, ...]:
    half = max(1, features // 2)
    return Conv(half, 3, 2), Conv(half, 3), Conv(features, 3), Pool("max", 3, 2)


def _googlenet(features: int) -> tuple[Step, ...]:
    third, halve = scaled(features, 1 / 3), Pool("max", 3, 2, padding=0, ceil_mode=True)
    return Conv(third, 7, 2), halve, Conv(third), Conv(features, 3), halve


def _inception(features: int) -> tuple[Step, ...]:
    sixth, halve = scaled(features, 1 / 6), Pool("max", 3, 2, padding=0)
    first = Conv(sixth, 3, 2, 0), Conv(sixth, 3, 1, 0), Conv(scaled(features, 1 / 3), 3)
    return *first, halve, Conv(scaled(features, 5 / 12)), Conv(features, 3, 1, 0), halve


STEMS: dict[str, Stem] = {
    "cifar": Stem(lambda features: (Conv(features, 3),)),
    "deep": Stem(_deep),
    "googlenet": Stem(_googlenet),
    "imagenet": Stem(lambda features: (Conv(features, 7, 2), Pool("max", 3, 2))),
    "inception": Stem(_inception),
    "mobilenet": Stem(lambda features: (Conv(features, 3, 2),)),
    "patch": Stem(lambda features: (Conv(features, 4, 4, 0),), active=False),
    "shufflenet": Stem(lambda features: (Conv(features, 3, 2), Pool("max", 3, 2))),
    "video": Stem(lambda features: (Conv(features, (3, 7, 7), (1, 2, 2)),)),
    "xception": Stem(lambda features: (Conv(max(1, features // 2), 3, 2, 0), Conv(features, 3, 1, 0))),
}


def strides(kind: str) -> int:
    """Pixels of the image, along its last axis, from one place of the stem's map to the next.

    >>> strides("imagenet"), strides("video"), strides("cifar")
    (4, 2, 1)
    """
    taken = [step.strides for step in STEMS[kind].steps(12) if not isinstance(step, Fork)]
    return prod(each if isinstance(each, int) else each[-1] for each in taken)


def stem(
    kind: Choice,
    x: jax.Array,
    features: int,
    *,
    activation: Choice = "relu",
    train: bool = False,
    **parts: Any,
) -> jax.Array:
    """What comes before the first stage, as the submodule ``stem`` of the calling compact method.

    ==============  =======================================================================  ======
    name            layers                                                                   stride
    ==============  =======================================================================  ======
    ``cifar``       3×3                                                                           1
    ``mobilenet``   3×3 of stride 2                                                               2
    ``xception``    3×3 of stride 2 to half the channels, 3×3; neither padded                     2
    ``video``       3×7×7, of stride 2 but in time                                                2
    ``shufflenet``  3×3 of stride 2, max pooling                                                  4
    ``imagenet``    7×7 of stride 2, max pooling                                                  4
    ``deep``        3×3 of stride 2 and 3×3, half the channels, 3×3, max pooling (ResNet-C, -D)   4
    ``patch``       4×4 of stride 4, with bias and without activation (ConvNeXt)                  4
    ``googlenet``   7×7 of stride 2, max pooling, 1×1, 3×3, max pooling                           8
    ``inception``   3×3 of stride 2, 3×3, 3×3, max pooling, 1×1, 3×3, max pooling                 8
    ==============  =======================================================================  ======

    Max pooling has windows of 3×3 and stride 2. The parameters of a single convolution are in ``stem/conv``
    and ``stem/norm``, those of several in ``stem/conv1/conv``, ….

    Args:
      kind: one of these names, or a callable that takes the channels of the result, ``activation``, ``parts``
        and ``name`` and returns a module.
      x: images (n, *spatial, c).
      features: channels of the result.
      activation: see :mod:`jaxcnn.nn.choices`.
      train: whether this is training.
      **parts: of the convolutions, see :class:`jaxcnn.nn.ConvNorm`.
    """
    if not isinstance(kind, str):
        return kind(features, activation=activation, **parts, name="stem")(x, train=train)
    make, active = STEMS[kind]
    steps = make(features)
    if not active:
        activation, parts = "identity", parts | {"use_bias": True}
    if sum(isinstance(step, Conv) for step in steps) > 1:
        return Chain(steps, activation=activation, **parts, name="stem")(x, train=train)
    conv, *pools = steps
    assert isinstance(conv, Conv)
    x = nn.ConvNorm(**conv._asdict(), name="stem", **parts)(x, train=train)
    x = choices.activation(activation)(x)
    for pool in pools:
        assert isinstance(pool, Pool)
        x = pool.module()(x)
    return x
