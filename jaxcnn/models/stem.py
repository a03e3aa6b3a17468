"""How residual and dense networks begin."""

from typing import Any

import jax

from jaxcnn import nn
from jaxcnn.models.chain import Chain, Conv
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

STEMS: dict[str, tuple[Any, Any]] = {
    "cifar": (3, 1),
    "deep": (3, 2),
    "imagenet": (7, 2),
    "video": ((3, 7, 7), (1, 2, 2)),
}
"""Taps and strides of the first convolution."""

STRIDES = {"cifar": 1, "deep": 4, "imagenet": 4, "video": 2}
"""Pixels of the image from one place of the stem's map to the next, the pooling included."""


def stem(
    kind: str,
    x: jax.Array,
    features: int,
    *,
    activation: Choice = "relu",
    train: bool = False,
    **parts: Any,
) -> jax.Array:
    """What comes before the first stage, as the submodule ``stem`` of the calling compact method.

    ``imagenet``: a 7×7 convolution of stride 2, and 3×3 max pooling of stride 2. ``deep``: three 3×3
    convolutions, the first of stride 2 and the first two with half the channels, in the place of the 7×7
    (ResNet-C and -D). ``cifar``: a 3×3 convolution that keeps the size, and no pooling. ``video``: a 3×7×7
    convolution that halves height and width and keeps the time, and no pooling.

    Args:
      kind: one of these names.
      x: images (n, *spatial, c).
      features: channels of the result.
      activation: see :mod:`jaxcnn.nn.choices`.
      train: whether this is training.
      **parts: of the convolutions, see :class:`jaxcnn.nn.ConvNorm`.
    """
    taps, strides = STEMS[kind]
    if kind == "deep":
        half = max(1, features // 2)
        steps = (Conv(half, taps, strides), Conv(half, taps), Conv(features, taps))
        x = Chain(steps, activation=activation, **parts, name="stem")(x, train=train)
    else:
        x = nn.ConvNorm(features, taps, strides, name="stem", **parts)(x, train=train)
        x = choices.activation(activation)(x)
    return x if kind in ("cifar", "video") else nn.MaxPool(3, strides=2, padding=1)(x)
