"""MobileNet v2: inverted residuals with depthwise convolutions."""

from collections.abc import Sequence

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.mobile import MobileNetwork, divisible
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn.choices import Choice

SETTING = (
    # expansion, channels, blocks, strides of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

TORCH_NAMES = {
    "torchvision": (
        Rule("(stem|last|expand|depthwise)/conv", "{1}/0"),
        Rule("(stem|last|expand|depthwise)/norm", "{1}/1"),
        Rule(("stem", r"stage\d+_block\d+", "last"), "features/{#}"),
        Rule(("expand", "depthwise", "project/conv", "project/norm"), "conv/{#}"),
        Rule("head/dense", "classifier/1"),
    ),
    "timm": (
        Rule("stem/conv", "conv_stem"),
        Rule("stem/norm", "bn1"),
        Rule("last/conv", "conv_head"),
        Rule("last/norm", "bn2"),
        Rule(r"stage(\d+)_block(\d+)", "blocks/{1:n-1}/{2:n-1}"),
        Rule("depthwise/conv", "conv_dw"),
        Rule(("expand/conv", "project/conv"), lambda match, count: ("conv_pw", "conv_pwl")[count]),
        Rule(("expand/norm", "depthwise/norm", "project/norm"), "bn{#:n+1}"),
        Rule("head/dense", "classifier"),
    ),
}


@register(name="mobilenet_v2")
class MobileNetV2(MobileNetwork, kw_only=True):
    """MobileNet v2: a strided stem, 17 inverted residuals, a 1×1 convolution to 1,280 channels, and a head.

    ``mobilenet_v2`` has torchvision's 3,504,872 parameters on 1,000 classes. Convolutions start He normal by
    fan-out, norms at scale 1 and bias 0, the head normal with deviation 0.01.

    Attributes: those of :class:`jaxcnn.models.mobile.MobileNetwork`, and
      setting: (expansion, channels, blocks, strides) of each stage.
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`.

    Reference: Sandler, Howard, Zhu, Zhmoginov and Chen, MobileNetV2: Inverted Residuals and Linear
    Bottlenecks, 2018.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("mobilenet_v2(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 64, 48, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    setting: Sequence[Sequence[int]] = SETTING
    activation: Choice = "relu6"
    dropout: float = 0.2
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        arguments.listed("setting", self.setting)
        for i, stage in enumerate(self.setting):
            arguments.wholes(f"setting[{i}]", stage)
            if len(stage) != 4:
                raise ValueError(f"setting[{i}]={stage!r}: expected (expansion, channels, blocks, strides)")
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.begin(x, 32, train)
        total, done = sum(blocks for _, _, blocks, _ in self.setting), 0
        for stage, (expansion, channels, blocks, strides) in enumerate(self.setting):
            for block in range(blocks):
                done += 1
                x = nn.InvertedResidual(
                    self.scaled(channels),
                    x.shape[-1] * expansion,
                    strides=strides if block == 0 else 1,
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage + 1}_block{block + 1}",
                    **self.parts,
                )(x, train=train)
        x = self.widen(x, divisible(1280 * max(1.0, self.width)), train)
        return self.scores(x, train, dropout=self.dropout, kernel_init=linen.initializers.normal(0.01))
