"""Xception: the Inception hypothesis at its extreme, channels and places mixed one after the other."""

from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models.chain import Chain, Conv
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.stem import stem
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices
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
class Xception(ConvNet, kw_only=True):
    """A stem, twelve residual blocks of depthwise-separable convolutions, two more such, and a head.

    timm's, 22,855,952 parameters on 1,000 classes; the convolutions of the stem are not padded. ``stage1`` is
    the entry flow, ``stage2`` the eight equal blocks of the middle flow, ``stage3`` and ``last`` the exit
    flow. The paper's images have 299 pixels.

    Kernels start Glorot uniform, as in the author's own code; the paper does not say.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      conv: what mixes places in the blocks and behind them; ``"conv"`` in the place of ``"separable"`` is an
        ordinary convolution.
      stem: see :func:`jaxcnn.models.stem.stem`.
      dropout: rate before the dense layer (the paper's is 0.5, timm's 0).
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`.

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
    input_shape = (299, 299, 3)

    conv: Choice = "separable"
    stem: Choice = "xception"
    dropout: float = 0.0
    drop_path: float = 0.0

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        parts = self.parts
        x = stem(self.stem, x, self.scaled(64), train=train, kernel_init=glorot, **self.plain)
        total, done = sum(len(blocks) for blocks in STAGES), 0
        for stage, blocks in enumerate(STAGES, start=1):
            for block, features in enumerate(blocks, start=1):
                done += 1
                x = XceptionBlock(
                    tuple(map(self.scaled, features)),
                    strides=1 if stage == 2 else 2,
                    begin=done > 1,
                    drop_path=self.drop_path * done / total,
                    name=f"stage{stage}_block{block}",
                    **parts,
                )(x, train=train)
        last = [Conv(self.scaled(features), 3) for features in LAST]
        x = Chain(last, kernel_init=glorot, name="last", **parts)(x, train=train)
        return self.scores(x, train, dropout=self.dropout, kernel_init=glorot)
