"""Inception-v3: convolutions factored into smaller and asymmetric ones."""

from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.chain import Branches, Chain, Conv, Fork, Pool, Step
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.stem import stem
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn.choices import Choice

Module = dict[str, tuple[Step, ...]]
"""The branches of a module, by the names that torchvision gives them."""

truncated = linen.initializers.truncated_normal(0.1)
average = Pool("average")
halve = Pool("max", 3, 2, padding=0)
wide, tall = (1, 7), (7, 1)
across = Fork((Conv(384, (1, 3)), Conv(384, (3, 1))))


def a(pooled: int) -> Module:
    """5×5, and two 3×3 that see as far."""
    return {
        "branch1x1": (Conv(64),),
        "branch5x5": (Conv(48), Conv(64, 5)),
        "branch3x3dbl": (Conv(64), Conv(96, 3), Conv(96, 3)),
        "branch_pool": (average, Conv(pooled)),
    }


def c(inner: int) -> Module:
    """7×7 as a row and a column, once and twice."""
    twice = (Conv(inner, tall), Conv(inner, wide), Conv(inner, tall), Conv(192, wide))
    return {
        "branch1x1": (Conv(192),),
        "branch7x7": (Conv(inner), Conv(inner, wide), Conv(192, tall)),
        "branch7x7dbl": (Conv(inner), *twice),
        "branch_pool": (average, Conv(192)),
    }


B: Module = {
    "branch3x3": (Conv(384, 3, 2, 0),),
    "branch3x3dbl": (Conv(64), Conv(96, 3), Conv(96, 3, 2, 0)),
    "branch_pool": (halve,),
}
D: Module = {
    "branch3x3": (Conv(192), Conv(320, 3, 2, 0)),
    "branch7x7x3": (Conv(192), Conv(192, wide), Conv(192, tall), Conv(192, 3, 2, 0)),
    "branch_pool": (halve,),
}
E: Module = {
    "branch1x1": (Conv(320),),
    "branch3x3": (Conv(384), across),
    "branch3x3dbl": (Conv(448), Conv(384, 3), across),
    "branch_pool": (average, Conv(192)),
}
STAGES = (
    (a(32), a(64), a(64)),
    (B, c(128), c(160), c(160), c(192)),
    (D, E, E),
)
_STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
_STAGES = ("bcd", "abcde", "abc")
_RULES = (
    Rule(r"aux/stem/conv(\d)", "AuxLogits/conv{1:n-1}"),
    Rule("aux/head/dense", "AuxLogits/fc"),
    Rule(r"stem/conv(\d)", lambda match, _: f"Conv2d_{_STEM[int(match[1]) - 1]}"),
    Rule(
        r"stage(\d)_block(\d)",
        lambda match, _: f"Mixed_{int(match[1]) + 4}{_STAGES[int(match[1]) - 1][int(match[2]) - 1]}",
    ),
    Rule("(branch1x1|branch_pool|Mixed_6a/branch3x3)/conv1", "{1}"),
    Rule(r"(branch\w+)/conv(\w+)", "{1}_{2}"),
    Rule("norm", "bn"),
    Rule("head/dense", "fc"),
)
TORCH_NAMES: dict[str, tuple[Rule, ...]] = {"torchvision": _RULES, "timm": _RULES}


class Auxiliary(linen.Module):
    """Scores from half-way: 5×5 average pooling by steps of 3, 1×1 and 5×5 convolution, global pooling.

    Attributes:
      num_classes: logits.
      options: of the convolutions, see :class:`jaxcnn.models.chain.Chain`.
    """

    num_classes: int
    options: dict[str, Any]

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        steps = (Pool("average", 5, 3, padding=0), Conv(128), Conv(768, 5, padding=0))
        x = Chain(steps, **self.options, name="stem")(x, train=train)
        return nn.PooledHead(self.num_classes, kernel_init=truncated, name="head")(x, train=train)


@register(name="inception_v3")
class InceptionV3(ConvNet, kw_only=True):
    """A stem, eleven modules of three or four branches in three stages, and a head.

    As torchvision's and timm's: 23,834,568 parameters on 1,000 classes, and 27,161,264 with the auxiliary
    head. ``stage1`` holds the modules that torchvision calls 5b to 5d, ``stage2`` 6a to 6e and ``stage3`` 7a
    to 7c. Images have two axes of 75 pixels or more (the paper's have 299), or of 15 with ``stem="cifar"``.

    With ``aux_logits`` one more head scores the output of 6e, which then has to be 17 pixels or more (299 at
    the image). Its logits are the intermediate ``aux``; what the network returns stays the same. Its loss
    counts 0.4 in training, as in the authors' code.

    Kernels start normal with scale 0.1, cut off at twice that. The scale is torchvision's; the paper has
    none.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      aux_logits: have the auxiliary head.
      stem: see :func:`jaxcnn.models.stem.stem`.
      dropout: rate before the dense layer.

    Reference: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception Architecture for Computer
    Vision, 2016.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("inception_v3(width=0.25)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 75, 75, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES
    torch_spare = ("AuxLogits.",)
    input_shape = (299, 299, 3)

    aux_logits: bool = False
    stem: Choice = "inception"
    epsilon: float = 1e-3
    dropout: float = 0.5

    def __post_init__(self) -> None:
        arguments.flag("aux_logits", self.aux_logits)
        super().__post_init__()

    @property
    def auxiliary(self) -> dict[str, float]:
        return {"aux": 0.4} if self.aux_logits else {}

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        options = self.parts | {"width": self.width, "kernel_init": truncated}
        x = stem(self.stem, x, self.scaled(192), train=train, kernel_init=truncated, **self.parts)
        for stage, modules in enumerate(STAGES, start=1):
            for block, branches in enumerate(modules, start=1):
                x = Branches(branches, options, name=f"stage{stage}_block{block}")(x, train=train)
            if stage == 2 and self.aux_logits:
                Auxiliary(self.num_classes, options, name="aux")(x, train=train)
        return self.scores(x, train, dropout=self.dropout, kernel_init=truncated)
