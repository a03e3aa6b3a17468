"""Xception: the Inception hypothesis at its extreme, channels and places mixed one after the other."""

from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import Chain, Conv, scaled
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice

STAGES = (
    # of each block: the features of its separable convolutions
    ((128, 128), (256, 256), (728, 728)),
    ((728, 728, 728),) * 8,
    ((728, 1024),),
)
LAST = (1536, 2048)
glorot = linen.initializers.glorot_uniform()
TORCH_NAMES = {
    "timm": (
        Rule(r"stem/conv(\d)/conv", "conv{1}"),
        Rule(r"stem/conv(\d)/norm", "bn{1}"),
        Rule(r"last/conv(\d)/conv", "conv{1:n+2}"),
        Rule(r"last/conv(\d)/norm", "bn{1:n+2}"),
        Rule(r"stage1_block(\d)", "block{1}"),
        Rule(r"stage2_block(\d)", "block{1:n+3}"),
        Rule("stage3_block1", "block12"),
        # an activation comes first, but not in the first block
        Rule(r"block1/conv(\d)/conv", "block1/rep/{1:3n-3}"),
        Rule(r"block1/conv(\d)/norm", "block1/rep/{1:3n-2}"),
        Rule(r"conv(\d)/conv", "rep/{1:3n-2}"),
        Rule(r"conv(\d)/norm", "rep/{1:3n-1}"),
        Rule("shortcut/conv", "skip"),
        Rule("shortcut/norm", "skipbn"),
        Rule("depthwise", "conv1/weight"),
        Rule("pointwise", "pointwise/weight", Layout(ones=2)),
        Rule("head/dense", "fc"),
    )
}


class XceptionBlock(linen.Module):
    """Separable convolutions, an activation in front of each, beside a shortcut.

    Attributes:
      features: channels behind each convolution.
      strides: 1, or 2: 3×3 max pooling at the end, and a 1×1 convolution with norm as shortcut.
      begin: with an activation, which the first block has behind the stem already.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`.
      drop_path: probability of leaving the branch out for an example in training.
      dtype: of the computation; None is that of the input.
    """

    features: tuple[int, ...]
    strides: int = 1
    begin: bool = True
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "separable"
    drop_path: float = 0.0
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        parts: dict[str, Any] = {"norm": self.norm, "kernel_init": glorot, "dtype": self.dtype}
        y = x
        for i, features in enumerate(self.features, start=1):
            if i > 1 or self.begin:
                y = choices.activation(self.activation)(y)
            y = nn.ConvNorm(features, conv=self.conv, name=f"conv{i}", **parts)(y, train=train)
        if self.strides != 1:
            y = nn.MaxPool(3, self.strides, 1)(y)
        if y.shape != x.shape:
            x = nn.ConvNorm(y.shape[-1], 1, self.strides, name="shortcut", **parts)(x, train=train)
        return x + nn.DropPath(self.drop_path, name="drop_path")(y, train=train)


@register(name="xception")
class Xception(Network):
    """A stem, twelve residual blocks of depthwise-separable convolutions, two more such, and a head.

    timm's, 22,855,952 parameters on 1,000 classes; the convolutions of the stem are not padded. ``stage1`` is
    the entry flow, ``stage2`` the eight equal blocks of the middle flow, ``stage3`` and ``last`` the exit
    flow. The paper's images have 299 pixels.

    Kernels start Glorot uniform, as in the author's own code; the paper does not say.

    Attributes:
      num_classes: logits.
      width: multiplies every number of channels.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is what mixes places in the blocks and
        behind them, ``conv="conv"`` in the place of ``"separable"`` an ordinary convolution.
      head: ``pooled``, ``fc``, ``flatten`` (one input size), or a callable from the number of classes.
      dropout: rate before the dense layer (the paper's is 0.5, timm's 0).
      drop_path: probability that the last block is left out for an example in training.
      dtype: of the computation; parameters and logits are float32.

    Reference: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2017.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("xception(width=0.1)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    num_classes: int = 1000
    width: float = 1.0
    norm: Choice = "batch"
    activation: Choice = "relu"
    conv: Choice = "separable"
    head: Choice = "pooled"
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.common(self)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        parts: dict[str, Any] = {"norm": self.norm, "activation": self.activation, "dtype": self.dtype}
        chain: dict[str, Any] = parts | {"width": self.width, "kernel_init": glorot}
        x = Chain((Conv(32, 3, 2, 0), Conv(64, 3, 1, 0)), **chain, name="stem")(x, train=train)
        total, done = sum(len(blocks) for blocks in STAGES), 0
        for stage, blocks in enumerate(STAGES, start=1):
            for block, features in enumerate(blocks, start=1):
                done += 1
                x = XceptionBlock(
                    tuple(scaled(count, self.width) for count in features),
                    strides=1 if stage == 2 else 2,
                    begin=done > 1,
                    conv=self.conv,
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage}_block{block}",
                    **parts,
                )(x, train=train)
        x = Chain([Conv(features, 3) for features in LAST], **chain, conv=self.conv, name="last")(
            x, train=train
        )
        return heads.head(self.head, self.num_classes, dropout=self.dropout, kernel_init=glorot, name="head")(
            x, train=train
        )
