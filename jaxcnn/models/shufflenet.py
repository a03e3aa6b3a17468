"""ShuffleNet v2: half of the channels pass by, then halves are shuffled."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import scaled
from jaxcnn.models.mobile import MobileNetwork
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice


class ShuffleBlock(linen.Module):
    """Half of the channels through 1×1, depthwise 3×3 and 1×1; the other half as it is; both shuffled.

    With strides both halves are made of all channels, the other one by depthwise 3×3 and 1×1.

    Attributes:
      features: channels of the output, even; without strides also of the input.
      strides: of the depthwise convolutions.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is that of the depthwise convolutions.
      dtype: of the computation; None is that of the input.
    """

    features: int
    strides: int = 1
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "conv"
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        activation, half = choices.activation(self.activation), self.features // 2

        def mixed(x: jax.Array, name: str) -> jax.Array:
            return activation(self._conv_norm(half, 1, name=name)(x, train=train))

        def spread(x: jax.Array, name: str) -> jax.Array:
            window = {"strides": self.strides, "groups": x.shape[-1], "conv": self.conv}
            return self._conv_norm(x.shape[-1], 3, **window, name=name)(x, train=train)

        if self.strides == 1:
            past, x = x[..., :half], x[..., half:]
        else:
            past = mixed(spread(x, "past_depthwise"), "past_project")
        x = mixed(spread(mixed(x, "expand"), "depthwise"), "project")
        return nn.ChannelShuffle(2, name="shuffle")(jnp.concatenate([past, x], axis=-1))

    def _conv_norm(self, features: int, kernel_size: int, **options: Any) -> nn.ConvNorm:
        return nn.ConvNorm(features, kernel_size, norm=self.norm, dtype=self.dtype, **options)


TORCH_NAMES = {
    "torchvision": (
        Rule("stem", "conv1"),
        Rule("last", "conv5"),
        Rule(r"(conv\d)/conv", "{1}/0"),
        Rule(r"(conv\d)/norm", "{1}/1"),
        Rule(r"stage(\d+)_block(\d+)", "stage{1:n+1}/{2:n-1}"),
        Rule(
            ("past_depthwise/conv", "past_depthwise/norm", "past_project/conv", "past_project/norm"),
            "branch1/{#}",
        ),
        Rule("expand/conv", "branch2/0"),
        Rule("expand/norm", "branch2/1"),
        Rule("depthwise/conv", "branch2/3"),
        Rule("depthwise/norm", "branch2/4"),
        Rule("project/conv", "branch2/5"),
        Rule("project/norm", "branch2/6"),
        Rule("head/dense", "fc"),
    ),
}


@register(name="shufflenet_v2")
class ShuffleNetV2(MobileNetwork, kw_only=True):
    """ShuffleNet v2: a strided stem with max pooling, three stages of blocks, a 1×1 convolution, and a head.

    Names and sizes are torchvision's: ``shufflenet_v2_x1_0`` has 2,278,604 parameters on 1,000 classes. The
    first block of every stage halves the map. Convolutions start He normal by fan-out, norms at scale 1 and
    bias 0, the head LeCun normal.

    Attributes: those of :class:`jaxcnn.models.mobile.MobileNetwork`, where ``width`` makes even numbers, and
      stages: blocks of each stage.
      num_filters: channels of the stem, of each stage, and of the last convolution; those of stages even.

    Reference: Ma, Zhang, Zheng and Sun, ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
    Design, 2018.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("shufflenet_v2(stages=[1, 2], num_filters=[4, 8, 16, 32])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    stages: Sequence[int] = (4, 8, 4)
    num_filters: Sequence[int] = (24, 116, 232, 464, 1024)
    stem: Choice = "shufflenet"

    def __post_init__(self) -> None:
        arguments.wholes("stages", self.stages)
        arguments.wholes("num_filters", self.num_filters)
        if len(self.num_filters) != len(self.stages) + 2:
            raise ValueError(
                f"num_filters={self.num_filters!r}: expected {len(self.stages) + 2} numbers: of the stem, of "
                f"each of the {len(self.stages)} stages, and of the last convolution"
            )
        if any(features % 2 for features in self.num_filters[1:-1]):
            raise ValueError(f"num_filters={self.num_filters!r}: expected even numbers for the stages")
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        first, *middle, last = self.num_filters
        x = self.begin(x, first, train)
        for stage, (features, blocks) in enumerate(zip(middle, self.stages, strict=True), start=1):
            for block in range(1, blocks + 1):
                x = ShuffleBlock(
                    self.scaled(features),
                    2 if block == 1 else 1,
                    name=f"stage{stage}_block{block}",
                    **self.parts,
                )(x, train=train)
        x = self.widen(x, self.scaled(last), train)
        return self.scores(x, train, dropout=self.dropout)

    @linen.nowrap
    def scaled(self, features: int) -> int:
        return features if self.width == 1 else 2 * scaled(features, self.width / 2)


for _name, _filters in {
    "shufflenet_v2_x0_5": (24, 48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (24, 116, 232, 464, 1024),
    "shufflenet_v2_x1_5": (24, 176, 352, 704, 1024),
    "shufflenet_v2_x2_0": (24, 244, 488, 976, 2048),
}.items():
    register(functools.partial(ShuffleNetV2, num_filters=_filters), name=_name)
