"""ConvNeXt: a residual network with the habits of vision transformers."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

truncated = linen.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0)  # cut at ±2, not at ±2·0.02
TORCH_NAMES = {
    "torchvision": (
        Rule("stem", "features/0/0"),
        Rule("stem_norm", "features/0/1"),
        Rule(r"down(\d+)_norm", "features/{1:2n}/0"),
        Rule(r"down(\d+)", "features/{1:2n}/1"),
        Rule(r"stage(\d+)_block(\d+)/scale", "features/{1:2n-1}/{2:n-1}/layer_scale", Layout(ones=2)),
        Rule(r"stage(\d+)_block(\d+)", "features/{1:2n-1}/{2:n-1}/block"),
        Rule("depthwise", "0"),
        Rule("norm", "2"),
        Rule("up", "3"),
        Rule("down", "5"),
        Rule("head_norm", "classifier/0"),
        Rule("head", "classifier/2"),
    ),
    "timm": (
        Rule("stem", "stem/0"),
        Rule("stem_norm", "stem/1"),
        Rule(r"down(\d+)_norm", "stages/{1}/downsample/0"),
        Rule(r"down(\d+)", "stages/{1}/downsample/1"),
        Rule(r"stage(\d+)_block(\d+)", "stages/{1:n-1}/blocks/{2:n-1}"),
        Rule(r"blocks/(\d+)/scale", "blocks/{1}/gamma"),
        Rule("depthwise", "conv_dw"),
        Rule("up", "mlp/fc1"),
        Rule("down", "mlp/fc2"),
        Rule("head_norm", "head/norm"),
        Rule("head/(kernel|bias)", "head/fc/{1}"),
    ),
}
LayerNorm = functools.partial(nn.LayerNorm, epsilon=1e-6)


class ConvNeXtBlock(linen.Module):
    """x + γ · down(gelu(up(norm(depthwise 7×7 (x))))), up to four times the channels and back.

    Attributes:
      layer_scale: γ at the start, one number for each channel.
      kernel_size: of the depthwise convolution.
      activation: see :mod:`jaxcnn.nn.choices`.
      drop_path: probability of leaving the branch out for an example in training.
      dtype: of the computation; None is that of the input.
    """

    layer_scale: float = 1e-6
    kernel_size: int = 7
    activation: Choice = "gelu"
    drop_path: float = 0.0
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        features = x.shape[-1]
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=truncated)
        y = nn.DepthwiseConv(
            self.kernel_size,
            padding=self.kernel_size // 2,
            dtype=self.dtype,
            kernel_init=truncated,
            name="depthwise",
        )(x)
        y = LayerNorm(dtype=self.dtype, name="norm")(y)
        y = dense(features=4 * features, name="up")(y)
        y = dense(features=features, name="down")(choices.activation(self.activation)(y))
        scale = self.param("scale", linen.initializers.constant(self.layer_scale), (features,), jnp.float32)
        y = y * scale.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
        return x + nn.DropPath(self.drop_path, name="drop_path")(y, train=train)


@register(name="convnext")
class ConvNeXt(Network):
    """A 4×4 patch stem, four stages of blocks with 2×2 strided convolutions between them, and a head.

    Names and defaults are torchvision's: ``convnext_tiny`` has 28,589,128 parameters on 1,000 classes.
    ``drop_path`` is 0.1 in it, 0.4 in ``convnext_small`` and 0.5 in larger ones; give 0 for timm's default.
    Kernels start truncated normal with deviation 0.02, the scale of each branch at ``layer_scale``. With
    ``drop_path`` the probability grows linearly from 0 to that of the last block.

    Attributes:
      num_classes: logits.
      stages: blocks of each stage.
      num_filters: channels of each stage.
      layer_scale: see :class:`ConvNeXtBlock`.
      kernel_size: of the depthwise convolutions, odd.
      activation: see :mod:`jaxcnn.nn.choices`.
      drop_path: probability that the last block is left out for an example in training.
      dtype: of the computation; parameters and logits are float32.

    Reference: Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, A ConvNet for the 2020s, 2022.

    Example:
      >>> from jaxcnn import models
      >>> model = models.create("convnext(stages=[1, 1], num_filters=[8, 16])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 64, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    num_classes: int = 1000
    stages: Sequence[int] = (3, 3, 9, 3)
    num_filters: Sequence[int] = (96, 192, 384, 768)
    layer_scale: float = 1e-6
    kernel_size: int = 7
    activation: Choice = "gelu"
    drop_path: float = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.whole("num_classes", self.num_classes)
        arguments.wholes("stages", self.stages)
        arguments.wholes("num_filters", self.num_filters)
        if len(self.stages) != len(self.num_filters):
            raise ValueError(
                f"num_filters={self.num_filters!r}: expected one for each of the {len(self.stages)} stages"
            )
        arguments.odd("kernel_size", self.kernel_size)
        choices.activation(self.activation)
        arguments.rate("drop_path", self.drop_path)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        conv = functools.partial(nn.Conv, padding="VALID", kernel_init=truncated, dtype=self.dtype)
        last, done = max(sum(self.stages) - 1, 1), 0
        for stage, (blocks, features) in enumerate(zip(self.stages, self.num_filters, strict=True)):
            if stage == 0:
                x = conv(features, 4, strides=4, name="stem")(x)
                x = LayerNorm(dtype=self.dtype, name="stem_norm")(x)
            else:
                x = LayerNorm(dtype=self.dtype, name=f"down{stage}_norm")(x)
                x = conv(features, 2, strides=2, name=f"down{stage}")(x)
            for block in range(blocks):
                x = ConvNeXtBlock(
                    self.layer_scale,
                    self.kernel_size,
                    self.activation,
                    self.drop_path * done / last,
                    self.dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x, train=train)
                done += 1
        x = LayerNorm(dtype=jnp.float32, name="head_norm")(
            nn.GlobalAvgPool(name="pool")(x.astype(jnp.float32))
        )
        return nn.Dense(features=self.num_classes, dtype=jnp.float32, kernel_init=truncated, name="head")(x)


for _name, _stages, _filters, _drop_path in (
    ("convnext_tiny", (3, 3, 9, 3), (96, 192, 384, 768), 0.1),
    ("convnext_small", (3, 3, 27, 3), (96, 192, 384, 768), 0.4),
    ("convnext_base", (3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
    ("convnext_large", (3, 3, 27, 3), (192, 384, 768, 1536), 0.5),
):
    register(
        functools.partial(ConvNeXt, stages=_stages, num_filters=_filters, drop_path=_drop_path), name=_name
    )
