"""ConvNeXt: a residual network with the habits of vision transformers."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.stem import stem
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

truncated = linen.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0)  # cut at ±2, not at ±2·0.02
TORCH_NAMES = {
    "torchvision": (
        Rule("stem/conv", "features/0/0"),
        Rule("stem/norm", "features/0/1"),
        Rule("head/norm", "classifier/0"),
        Rule("head/dense", "classifier/2"),
        Rule(r"down(\d+)_norm", "features/{1:2n}/0"),
        Rule(r"down(\d+)", "features/{1:2n}/1"),
        Rule(r"stage(\d+)_block(\d+)/scale", "features/{1:2n-1}/{2:n-1}/layer_scale", Layout(ones=2)),
        Rule(r"stage(\d+)_block(\d+)", "features/{1:2n-1}/{2:n-1}/block"),
        Rule("depthwise", "0"),
        Rule("norm", "2"),
        Rule("up", "3"),
        Rule("down", "5"),
    ),
    "timm": (
        Rule("stem/conv", "stem/0"),
        Rule("stem/norm", "stem/1"),
        Rule(r"down(\d+)_norm", "stages/{1}/downsample/0"),
        Rule(r"down(\d+)", "stages/{1}/downsample/1"),
        Rule(r"stage(\d+)_block(\d+)", "stages/{1:n-1}/blocks/{2:n-1}"),
        Rule(r"blocks/(\d+)/scale", "blocks/{1}/gamma"),
        Rule("depthwise", "conv_dw"),
        Rule("up", "mlp/fc1"),
        Rule("down", "mlp/fc2"),
        Rule("head/dense", "head/fc"),
    ),
}


class ConvNeXtBlock(linen.Module):
    """x + γ · down(gelu(up(norm(depthwise 7×7 (x))))), up to four times the channels and back.

    Attributes:
      layer_scale: γ at the start, one number for each channel.
      kernel_size: of the depthwise convolution.
      norm, activation, conv: see :mod:`jaxcnn.nn.choices`; ``conv`` is the depthwise one.
      drop_path: probability of leaving the branch out for an example in training.
      dtype: of the computation; None is that of the input.
    """

    layer_scale: float = 1e-6
    kernel_size: int = 7
    norm: Choice = "channel"
    activation: Choice = "gelu"
    conv: Choice = "conv"
    drop_path: float = 0.0
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        features = x.shape[-1]
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=truncated)
        y = choices.conv(self.conv)(
            features,
            self.kernel_size,
            groups=features,
            padding=self.kernel_size // 2,
            dtype=self.dtype,
            kernel_init=truncated,
            name="depthwise",
        )(x)
        y = choices.normalized(self.norm, y, train, dtype=self.dtype, name="norm")
        y = dense(features=4 * features, name="up")(y)
        y = dense(features=features, name="down")(choices.activation(self.activation)(y))
        scale = self.param("scale", linen.initializers.constant(self.layer_scale), (features,), jnp.float32)
        y = y * scale.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
        return x + nn.DropPath(self.drop_path, name="drop_path")(y, train=train)


@register(name="convnext")
class ConvNeXt(ConvNet, kw_only=True):
    """A 4×4 patch stem, four stages of blocks with 2×2 strided convolutions between them, and a head.

    Names and defaults are torchvision's: ``convnext_tiny`` has 28,589,128 parameters on 1,000 classes.
    ``drop_path`` is 0.1 in it, 0.4 in ``convnext_small`` and 0.5 in larger ones; give 0 for timm's default.
    Kernels start truncated normal with deviation 0.02, the scale of each branch at ``layer_scale``.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      stages: blocks of each stage.
      num_filters: channels of each stage.
      layer_scale: see :class:`ConvNeXtBlock`.
      kernel_size: of the depthwise convolutions, odd.
      stem: see :func:`jaxcnn.models.stem.stem`.
      norm: in front of the pooled head it stands behind the pooling where it is ``channel``.
      epsilon: of ``channel`` normalization, too.
      conv: of the depthwise convolutions.
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`; that of the first block is 0.

    Reference: Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, A ConvNet for the 2020s, 2022.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("convnext(stages=[1, 1], num_filters=[8, 16])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 64, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    stages: Sequence[int] = (3, 3, 9, 3)
    num_filters: Sequence[int] = (96, 192, 384, 768)
    layer_scale: float = 1e-6
    kernel_size: int = 7
    stem: Choice = "patch"
    norm: Choice = "channel"
    epsilon: float = 1e-6
    activation: Choice = "gelu"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        arguments.wholes("stages", self.stages)
        arguments.wholes("num_filters", self.num_filters)
        if len(self.stages) != len(self.num_filters):
            raise ValueError(
                f"num_filters={self.num_filters!r}: expected one for each of the {len(self.stages)} stages"
            )
        arguments.odd("kernel_size", self.kernel_size)
        super().__post_init__()

    @property
    def parts(self) -> dict[str, Any]:
        parts = super().parts
        return parts | {"norm": choices.tuned(parts["norm"], "channel", epsilon=self.epsilon)}

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        parts = self.parts
        last, done = max(sum(self.stages) - 1, 1), 0
        for stage, (blocks, features) in enumerate(zip(self.stages, self.num_filters, strict=True)):
            features = self.scaled(features)
            if stage == 0:
                x = stem(self.stem, x, features, train=train, kernel_init=truncated, **self.plain)
            else:
                x = self.normalized(x, train, f"down{stage}_norm")
                down = {"padding": "VALID", "kernel_init": truncated, "dtype": self.dtype}
                x = nn.Conv(features, 2, strides=2, name=f"down{stage}", **down)(x)
            for block in range(blocks):
                x = ConvNeXtBlock(
                    self.layer_scale,
                    self.kernel_size,
                    drop_path=self.drop_path * done / last,
                    name=f"stage{stage + 1}_block{block + 1}",
                    **parts,
                )(x, train=train)
                done += 1
        if (self.head, self.norm) == ("pooled", "channel"):
            return self.scores(x, train, norm=parts["norm"], kernel_init=truncated)
        return self.scores(self.normalized(x, train), train, kernel_init=truncated)


for _name, _stages, _filters, _drop_path in (
    ("convnext_tiny", (3, 3, 9, 3), (96, 192, 384, 768), 0.1),
    ("convnext_small", (3, 3, 27, 3), (96, 192, 384, 768), 0.4),
    ("convnext_base", (3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
    ("convnext_large", (3, 3, 27, 3), (192, 384, 768, 1536), 0.5),
):
    register(
        functools.partial(ConvNeXt, stages=_stages, num_filters=_filters, drop_path=_drop_path), name=_name
    )
