"""EfficientNet: mobile blocks, with depth, width and resolution scaled together."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.mobile import MobileNetwork, divisible
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn.choices import Choice


class Stage(NamedTuple):
    """A row of the papers' tables."""

    fused: bool
    expansion: int
    kernel_size: int
    strides: int
    features: int
    blocks: int


V1 = (
    Stage(False, 1, 3, 1, 16, 1),
    Stage(False, 6, 3, 2, 24, 2),
    Stage(False, 6, 5, 2, 40, 2),
    Stage(False, 6, 3, 2, 80, 3),
    Stage(False, 6, 5, 1, 112, 3),
    Stage(False, 6, 5, 2, 192, 4),
    Stage(False, 6, 3, 1, 320, 1),
)
V2_S = (
    Stage(True, 1, 3, 1, 24, 2),
    Stage(True, 4, 3, 2, 48, 4),
    Stage(True, 4, 3, 2, 64, 4),
    Stage(False, 4, 3, 2, 128, 6),
    Stage(False, 6, 3, 1, 160, 9),
    Stage(False, 6, 3, 2, 256, 15),
)

SIZES = {1.1: 240, 1.2: 260, 1.4: 300, 1.8: 380, 2.2: 456, 2.6: 528, 3.1: 600}
"""Pixels of the papers' images, by depth; 224 for others, and 384 for V2-S."""

DROPOUT = ((1.0, 0.2), (1.1, 0.3), (1.4, 0.4), (1.8, 0.5))
"""Rates of the papers' networks, from each width on."""

TORCH_NAMES = {
    "torchvision": (
        Rule(r"stage(\d+)_block(\d+)", "stage{1}/{2:n-1}"),
        Rule(("stem", r"stage\d+", "last"), "features/{#}"),
        Rule(("spatial", "spatial_expand", "expand", "depthwise", "squeeze_excite", "project"), "block/{#}"),
        Rule("squeeze", "fc1", Layout(ones=2)),
        Rule("excite", "fc2", Layout(ones=2)),
        Rule("conv", "0"),
        Rule("norm", "1"),
        Rule("head/dense", "classifier/1"),
    ),
    "timm": (
        Rule("stem/conv", "conv_stem"),
        Rule("stem/norm", "bn1"),
        Rule("last/conv", "conv_head"),
        Rule("last/norm", "bn2"),
        Rule(r"stage(\d+)_block(\d+)", "blocks/{1:n-1}/{2:n-1}"),
        Rule("spatial/conv", "conv"),
        Rule("depthwise/conv", "conv_dw"),
        Rule(
            ("spatial_expand/norm", "spatial/norm", "expand/norm", "depthwise/norm", "project/norm"),
            "bn{#:n+1}",
        ),
        Rule(
            ("spatial_expand/conv", "expand/conv", "project/conv"),
            lambda match, count: "conv_exp" if "spatial" in match[0] else ("conv_pw", "conv_pwl")[count],
        ),
        Rule("squeeze_excite/squeeze", "se/conv_reduce", Layout(ones=2)),
        Rule("squeeze_excite/excite", "se/conv_expand", Layout(ones=2)),
        Rule("head/dense", "classifier"),
    ),
}
TORCH_OPTIONS = {"timm": {"epsilon": 1e-5, "momentum": 0.9}}


@register(name="efficientnet")
class EfficientNet(MobileNetwork, kw_only=True):
    """A strided stem, stages of gated inverted residuals, plain or fused, a 1×1 convolution, and a head.

    Names and sizes are torchvision's: ``efficientnet_b0`` has 5,288,548 parameters on 1,000 classes,
    ``efficientnet_v2_s`` 21,458,488. Convolutions start He normal by fan-out, norms at scale 1 and bias 0,
    gates LeCun normal, the head uniform with variance 1/(3 · classes).

    B5 to B7 and V2-S have torchvision's ``epsilon=1e-3``, and B5 to B7 its ``momentum=0.99``. Weights of timm
    go with ``epsilon=1e-5, momentum=0.9`` in all of them.

    Attributes: those of :class:`jaxcnn.models.mobile.MobileNetwork`, where ``conv`` is that of fused
    convolutions, too, and
      depth: multiplies the blocks of each stage, rounded up.
      stages: (fused, expansion, kernel size, strides, channels, blocks) of each; gates are in plain blocks.
      stem_features: channels of the stem.
      last: channels of the last convolution; None: four times those of the last stage.
      dropout: rate before the head's dense layer; None: 0.2 to 0.5 by the width, see :data:`DROPOUT`.
      drop_path: probability of leaving out a block for an example in training, which begins at 0 and would be
        this behind the last.

    References:
      Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019.
      Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("efficientnet(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES
    torch_options = TORCH_OPTIONS

    depth: float = 1.0
    stages: Sequence[Sequence[Any]] = V1
    stem_features: int = 32
    last: int | None = None
    dropout: float | None = None  # type: ignore[assignment]
    activation: Choice = "silu"
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        arguments.factor("width", self.width)
        if self.dropout is None:
            self.dropout = max(rate for width, rate in DROPOUT if width <= max(self.width, 1.0))
        arguments.factor("depth", self.depth)
        arguments.whole("stem_features", self.stem_features)
        if self.last is not None:
            arguments.whole("last", self.last)
        arguments.rows("stages", self.stages, Stage)
        super().__post_init__()

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        size = 384 if self.stages == V2_S else SIZES.get(self.depth, 224)
        return size, size, 3

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.begin(x, self.stem_features, train)
        stages = [Stage(*row) for row in self.stages]
        counts = [math.ceil(stage.blocks * self.depth) for stage in stages]
        done = 0
        for number, (stage, blocks) in enumerate(zip(stages, counts, strict=True), start=1):
            for block in range(1, blocks + 1):
                channels = x.shape[-1]
                x = nn.InvertedResidual(
                    self.scaled(stage.features),
                    divisible(channels * stage.expansion),
                    stage.kernel_size,
                    stage.strides if block == 1 else 1,
                    squeeze=0 if stage.fused else max(channels // 4, 1),
                    fused=stage.fused,
                    squeeze_activation=self.activation,
                    drop_path=self.drop_path * done / sum(counts),
                    name=f"stage{number}_block{block}",
                    **self.parts,
                )(x, train=train)
                done += 1
        x = self.widen(x, self.scaled(self.last) if self.last else 4 * x.shape[-1], train)
        uniform = linen.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        return self.scores(x, train, dropout=self.dropout, kernel_init=uniform)


_later = {"epsilon": 1e-3, "momentum": 0.99}
for _name, _width, _depth, _options in (
    ("efficientnet_b0", 1.0, 1.0, {}),
    ("efficientnet_b1", 1.0, 1.1, {}),
    ("efficientnet_b2", 1.1, 1.2, {}),
    ("efficientnet_b3", 1.2, 1.4, {}),
    ("efficientnet_b4", 1.4, 1.8, {}),
    ("efficientnet_b5", 1.6, 2.2, _later),
    ("efficientnet_b6", 1.8, 2.6, _later),
    ("efficientnet_b7", 2.0, 3.1, _later),
    ("efficientnet_v2_s", 1.0, 1.0, {"stages": V2_S, "stem_features": 24, "last": 1280, "epsilon": 1e-3}),
):
    register(functools.partial(EfficientNet, width=_width, depth=_depth, **_options), name=_name)
