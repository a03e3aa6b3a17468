"""The residual networks for photographs: ResNet, ResNeXt, wide ResNet, SE-ResNet and ResNet-D."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as linen

from jaxcnn.models import arguments
from jaxcnn.models.registry import register
from jaxcnn.models.residual import BLOCKS, ResidualNetwork
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

_RULES = (
    Rule("stem/conv3/norm", "bn1"),
    Rule(r"stem/conv(\d)/conv", "conv1/{1:3n-3}"),
    Rule(r"stem/conv(\d)/norm", "conv1/{1:3n-2}"),
    Rule("stem/conv", "conv1"),
    Rule("stem/norm", "bn1"),
    Rule(r"stage(\d+)_block(\d+)", "layer{1}/{2:n-1}"),
    Rule(r"conv(\d)/conv", "conv{1}"),
    Rule(r"conv(\d)/norm", "bn{1}"),
    Rule("gate/squeeze", "se/fc1", Layout(ones=2)),
    Rule("gate/excite", "se/fc2", Layout(ones=2)),
    Rule("shortcut/conv", "downsample/0"),
    Rule("shortcut/norm", "downsample/1"),
    Rule("average_shortcut/conv", "downsample/1"),  # the pooling is 0
    Rule("average_shortcut/norm", "downsample/2"),
    Rule("head/dense", "fc"),
)
TORCH_NAMES: Mapping[str, Sequence[Rule]] = {"torchvision": _RULES, "timm": _RULES}


@register(name="resnet")
class ResNet(ResidualNetwork):
    """A residual network from the number of its blocks and the block: ``ResNet(3, block)``.

    Names and defaults are torchvision's and timm's: ``resnet18``, 11,689,512 parameters on 1,000 classes, is
    ``resnet(stages=(2, 2, 2, 2), block="basic")``; ``resnet50`` has 25,557,032; ``seresnet50``, which is
    ``resnet50(gate="se")``, 28,088,024; ``resnet50d``, ``resnet50(stem="deep", shortcut="average")``,
    25,576,264. The stride of a bottleneck is on its 3×3 convolution; those of ``deform_resnet50`` are
    deformable in all stages but the first. For initialization see
    :class:`jaxcnn.models.residual.ResidualNetwork`.

    Attributes: those of :class:`jaxcnn.models.residual.ResidualNetwork`, and
      stages: blocks of each stage; a number: of the only stage.
      block: ``basic``, ``bottleneck``, or a callable that takes the arguments of
        :class:`jaxcnn.nn.ResidualBlock`, such as a subclass of it.
      groups, width_per_group: of a bottleneck's 3×3 convolution, which has as many channels as the stage's
        ``groups · width_per_group`` for every 64.

    References:
      He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016.
      Xie, Girshick, Dollár, Tu and He, Aggregated Residual Transformations, 2017.
      Zagoruyko and Komodakis, Wide Residual Networks, 2016.
      Hu, Shen and Sun, Squeeze-and-Excitation Networks, 2018.
      Dai et al., Deformable Convolutional Networks, 2017; Zhu et al., Deformable ConvNets v2, 2019.
      Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017 (``output_stride``).
      He et al., Bag of Tricks for Image Classification with Convolutional Neural Networks, 2019 (ResNet-D).

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models, nn
      >>> class Plain(nn.ResidualBlock):
      ...     def branch(self, x, train):
      ...         return self.last(self.features, 3, self.strides, name="conv")(x, train=train)
      >>> model = models.ResNet(3, Plain, num_filters=8, num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> list(variables["params"])
      ['head', 'stage1_block1', 'stage1_block2', 'stage1_block3', 'stem']
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    stages: int | Sequence[int] = (2, 2, 2, 2)
    block: Choice = "basic"
    groups: int = 1
    width_per_group: int = 64

    def __post_init__(self) -> None:
        arguments.wholes("stages", (self.stages,) if isinstance(self.stages, int) else self.stages)
        arguments.whole("groups", self.groups)
        arguments.whole("width_per_group", self.width_per_group)
        choices.pick("block", self.block, BLOCKS)
        if self.block == "basic" and (self.groups, self.width_per_group) != (1, 64):
            raise ValueError(
                f"groups={self.groups}, width_per_group={self.width_per_group}: basic blocks have neither; "
                f"use bottleneck"
            )
        super().__post_init__()

    @linen.nowrap
    def plan(self) -> tuple[Sequence[int], Callable[..., Any], dict[str, Any]]:
        stages = (self.stages,) if isinstance(self.stages, int) else self.stages
        own: dict[str, Any] = {}
        if (self.groups, self.width_per_group) != (1, 64):  # which every block is
            own = {"groups": self.groups, "width": self.groups * self.width_per_group / 64}
        return stages, choices.pick("block", self.block, BLOCKS), own


_DEPTHS: dict[int, dict[str, Any]] = {
    18: {"stages": (2, 2, 2, 2), "block": "basic"},
    34: {"stages": (3, 4, 6, 3), "block": "basic"},
    26: {"stages": (2, 2, 2, 2), "block": "bottleneck"},
    50: {"stages": (3, 4, 6, 3), "block": "bottleneck"},
    101: {"stages": (3, 4, 23, 3), "block": "bottleneck"},
    152: {"stages": (3, 8, 36, 3), "block": "bottleneck"},
}
_D: dict[str, Any] = {"stem": "deep", "shortcut": "average"}
_SE: dict[str, Any] = {"gate": "se"}
for _name, _options in {
    **{f"resnet{depth}": _DEPTHS[depth] for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}d": _DEPTHS[depth] | _D for depth in (18, 26, 34, 50, 101, 152)},
    **{f"seresnet{depth}": _DEPTHS[depth] | _SE for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": _DEPTHS[50] | {"groups": 32, "width_per_group": 4},
    "resnext101_32x8d": _DEPTHS[101] | {"groups": 32, "width_per_group": 8},
    "resnext101_64x4d": _DEPTHS[101] | {"groups": 64, "width_per_group": 4},
    "seresnext50_32x4d": _DEPTHS[50] | _SE | {"groups": 32, "width_per_group": 4},
    "seresnext101_32x8d": _DEPTHS[101] | _SE | {"groups": 32, "width_per_group": 8},
    "wide_resnet50_2": _DEPTHS[50] | {"width_per_group": 128},
    "wide_resnet101_2": _DEPTHS[101] | {"width_per_group": 128},
    "deform_resnet50": _DEPTHS[50] | {"stage_convs": ("conv", "deform", "deform", "deform")},
}.items():
    register(functools.partial(ResNet, **_options), name=_name)
