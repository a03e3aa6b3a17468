"""FCN: a residual network that answers for every pixel."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.registry import register
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn import choices, heads
from jaxcnn.nn.choices import Choice

TORCH_NAMES = {
    "torchvision": (
        Rule("head", "classifier"),
        Rule("aux_head", "aux_classifier"),
        Rule("conv/conv", "0"),
        Rule("conv/norm", "1"),
        Rule("dense", "4", Layout(ones=2)),
        Rule(r"(stem|stage\d+_block\d+)", "backbone/{1}"),
        *ResNet.torch_names["torchvision"],
    ),
}


@register(name="fcn")
class FCN(ResNet, kw_only=True):
    """A residual network whose last stages dilate, scores at every eighth pixel, and these enlarged.

    Names and sizes are torchvision's: ``fcn_resnet50`` has 32,957,013 parameters on 21 classes, and
    35,322,218 with the auxiliary head; ``fcn_resnet101`` 51,949,141 and 54,314,346. The logits are one for
    every pixel, shape (n, *spatial, num_classes), interpolated linearly. Any image of one to three spatial
    axes and any size fits. Convolutions start He normal by fan-out, norms at scale 1 and bias 0, scores LeCun
    normal with bias 0.

    With ``aux_logits`` one more head scores the maps of the last stage but one; its enlarged logits are the
    intermediate ``aux``, whose loss counts half in training, as torchvision's. What the network returns stays
    the same.

    Attributes: those of :class:`jaxcnn.models.ResNet`, and
      head: ``fcn``, ``dense`` (scores alone), or a callable from the number of classes.
      dropout: rate before the scores.
      aux_logits: have the auxiliary head.

    References:
      Long, Shelhamer and Darrell, Fully Convolutional Networks for Semantic Segmentation, 2015.
      Yu, Koltun and Funkhouser, Dilated Residual Networks, 2017.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("fcn_resnet50(num_filters=4)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 50, 41, 3))).shape
      (2, 50, 41, 5)
    """

    torch_names = TORCH_NAMES
    torch_spare = ("aux_classifier.",)
    input_shape = (520, 520, 3)

    num_classes: int = 21
    head: Choice = "fcn"
    output_stride: int | None = 8
    dropout: float = 0.1
    aux_logits: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.head, str):
            choices.one_of("head", self.head, ("dense", "fcn"))
        arguments.flag("aux_logits", self.aux_logits)
        if self.aux_logits and len(self.plan()[0]) < 2:
            raise ValueError(f"aux_logits=True: expected two stages or more, not stages={self.stages!r}")

    @property
    def auxiliary(self) -> Mapping[str, float]:
        return {"aux": 0.5} if self.aux_logits else {}

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        maps, size = self.maps(x, train), x.shape[1:-1]
        if self.aux_logits:
            nn.Resize(size, name="aux")(self._scores(maps[-2], "fcn", "aux_head", train))
        return nn.Resize(size, name="resize")(self._scores(maps[-1], self.head, "head", train))

    @linen.nowrap
    def _scores(self, x: jax.Array, kind: Choice, name: str, train: bool) -> jax.Array:
        options: dict[str, Any] = {"dropout": self.dropout}
        if kind == "fcn":
            options |= self.plain
        return heads.head(kind, self.num_classes, name=name, **options)(x, train=train)


for _name, _stages in (("fcn_resnet50", (3, 4, 6, 3)), ("fcn_resnet101", (3, 4, 23, 3))):
    register(functools.partial(FCN, stages=_stages, block="bottleneck"), name=_name)
