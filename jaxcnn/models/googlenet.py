"""GoogLeNet: modules of convolutions side by side."""

from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import Branches, Chain, Conv, Pool, Step
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.stem import stem
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn.choices import Choice

STAGES = (
    # of each module: 1×1; 1×1 and 3×3; 1×1 and the larger kernel; 1×1 behind pooling
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
POOLED = {1: 3, 2: 2}  # the window behind a stage
AUXILIARY = {"stage2_block1": "aux1", "stage2_block4": "aux2"}
truncated = linen.initializers.truncated_normal(0.01)
TORCH_NAMES = {
    "torchvision": (
        Rule(r"(aux\d)/stem/conv1", "{1}/conv"),
        Rule(r"(aux\d)/head/hidden1", "{1}/fc1", Layout(flat=True)),
        Rule(r"(aux\d)/head/dense", "{1}/fc2"),
        Rule(r"stem/conv(\d)", "conv{1}"),
        Rule(
            r"stage(\d)_block(\d)",
            lambda match, _: f"inception{int(match[1]) + 2}{'abcde'[int(match[2]) - 1]}",
        ),
        Rule("branch1/conv1", "branch1"),
        Rule(r"branch([23])/conv(\d)", "branch{1}/{2:n-1}"),
        Rule("branch4/conv1", "branch4/1"),
        Rule("norm", "bn"),
        Rule("head/dense", "fc"),
    )
}


class Auxiliary(linen.Module):
    """Scores from half-way: average pooling to 4×4, 1×1 convolution, a hidden dense layer.

    Attributes:
      num_classes: logits.
      features, hidden: channels of the convolution, units of the dense layer.
      dropout: rate behind the hidden layer.
      options: of the convolution, see :class:`jaxcnn.models.chain.Chain`.
    """

    num_classes: int
    features: int
    hidden: int
    dropout: float
    options: dict[str, Any]

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.AdaptiveAvgPool(4)(x)
        x = Chain((Conv(self.features),), **self.options, name="stem")(x, train=train)
        return nn.FullyConnectedHead(
            self.num_classes,
            size=4,
            hidden=(self.hidden,),
            dropout=self.dropout,
            kernel_init=truncated,
            dtype=self.options["dtype"],
            name="head",
        )(x, train=train)


@register(name="googlenet")
class GoogLeNet(ConvNet, kw_only=True):
    """A stem, nine modules of four branches in three stages with max pooling between them, and a head.

    As torchvision's, with batch normalization behind every convolution: 6,624,904 parameters on 1,000
    classes, and 13,004,888 with the auxiliary heads. ``stage1`` holds the paper's modules 3a and 3b,
    ``stage2`` 4a to 4e, ``stage3`` 5a and 5b.

    With ``aux_logits`` two more heads score the outputs of 4a and 4d. Their logits are the intermediates
    ``aux1`` and ``aux2``; what the network returns stays the same. As in the paper their losses count 0.3 in
    training.

    Kernels start normal with scale 0.01, cut off at twice that. The scale is torchvision's; the paper has
    none.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      aux_logits: have the auxiliary heads.
      kernel_size: of the third branch, 3 as in torchvision and its weights, or the paper's 5.
      stem: see :func:`jaxcnn.models.stem.stem`.
      dropout: rate before the dense layer.
      aux_dropout: rate behind the hidden layers of the auxiliary heads.

    Reference: Szegedy et al., Going Deeper with Convolutions, 2015.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("googlenet(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES
    torch_spare = ("aux1.", "aux2.")

    aux_logits: bool = False
    kernel_size: int = 3
    stem: Choice = "googlenet"
    epsilon: float = 1e-3
    dropout: float = 0.2
    aux_dropout: float = 0.7

    def __post_init__(self) -> None:
        arguments.flag("aux_logits", self.aux_logits)
        arguments.odd("kernel_size", self.kernel_size)
        arguments.rate("aux_dropout", self.aux_dropout)
        super().__post_init__()

    @property
    def auxiliary(self) -> dict[str, float]:
        return dict.fromkeys(AUXILIARY.values(), 0.3) if self.aux_logits else {}

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        options = self.parts | {"width": self.width, "kernel_init": truncated}
        x = stem(self.stem, x, self.scaled(192), train=train, kernel_init=truncated, **self.parts)
        for stage, modules in enumerate(STAGES, start=1):
            for block, channels in enumerate(modules, start=1):
                name = f"stage{stage}_block{block}"
                x = Branches(self._branches(*channels), options, name=name)(x, train=train)
                if self.aux_logits and name in AUXILIARY:
                    Auxiliary(
                        self.num_classes,
                        128,
                        self.scaled(1024),
                        self.aux_dropout,
                        options,
                        name=AUXILIARY[name],
                    )(x, train=train)
            if stage < len(STAGES):
                x = nn.MaxPool(POOLED[stage], strides=2, ceil_mode=True)(x)
        return self.scores(x, train, dropout=self.dropout, kernel_init=truncated)

    @linen.nowrap
    def _branches(self, one: int, *rest: int) -> dict[str, tuple[Step, ...]]:
        before, three, less, larger, pooled = rest
        return {
            "branch1": (Conv(one),),
            "branch2": (Conv(before), Conv(three, 3)),
            "branch3": (Conv(less), Conv(larger, self.kernel_size)),
            "branch4": (Pool("max"), Conv(pooled)),
        }
