"""VGG: small kernels, many layers."""

import functools
import re
from collections.abc import Mapping, Sequence

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn.choices import Choice

glorot = linen.initializers.glorot_uniform()


@register(name="vgg")
class VGG(ConvNet, kw_only=True):
    """Stages of 3×3 convolutions, each with 2×2 max pooling behind it, and two hidden dense layers.

    Names and sizes are torchvision's: ``vgg16`` has 138,357,544 parameters on 1,000 classes, ``vgg16_bn``
    with batch normalization 138,365,992. Channels double from stage to stage up to eight times
    ``num_filters``.

    Kernels start Glorot uniform and biases at zero. The paper trains its deep networks from the layers of a
    shallow one, but notes that with this initialization (its reference to Glorot and Bengio, 2010) they train
    from the start.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      stages: convolutions of each stage.
      num_filters: channels of the first stage.
      hidden: units of the dense layers of the ``fc`` head.
      norm: convolutions keep their bias with it.
      head: the ``fc`` one pools the map to 7×7, so any size fits.
      dropout: rate behind each hidden layer, or before the only dense layer of another head.

    Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
    2015.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("vgg11(num_filters=8, hidden=[16])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 224, 224, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 32, 48, 3))).shape
      (2, 5)
    """

    stages: Sequence[int] = (2, 2, 3, 3, 3)
    num_filters: int = 64
    hidden: Sequence[int] = (4096, 4096)
    norm: Choice = "none"
    head: Choice = "fc"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        arguments.wholes("stages", self.stages)
        arguments.whole("num_filters", self.num_filters)
        arguments.wholes("hidden", self.hidden)
        super().__post_init__()

    @property
    def torch_names(self) -> Mapping[str, Sequence[Rule]]:  # type: ignore[override]
        """Both libraries count features: convolutions, norms, activations and the pooling of each stage."""
        each = 2 if self.norm == "none" else 3

        def feature(match: re.Match[str], count: int) -> str:
            return f"features/{each * count + int(match[1]) - 1 + (match[2] == 'norm')}"

        features = (
            Rule(r"stage(\d+)_block\d+/(conv)", feature),
            Rule(r"stage(\d+)_block\d+/(norm)", feature),
        )
        return {
            "torchvision": (
                *features,
                Rule(r"head/hidden(\d)", "classifier/{1:3n-3}", Layout(flat=True)),
                Rule("head/dense", "classifier/6"),
            ),
            "timm": (
                *features,
                Rule(r"head/hidden(\d)", "pre_logits/fc{1}"),
                Rule("head/dense", "head/fc"),
            ),
        }

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                x = self.convolved(
                    x,
                    train,
                    self.scaled(self.num_filters * 2 ** min(stage, 3)),
                    use_bias=True,
                    kernel_init=glorot,
                    name=f"stage{stage + 1}_block{block + 1}",
                )
            x = nn.MaxPool(2)(x)
        fc = self.hidden_layers(self.hidden)
        return self.scores(x, train, fc=fc, dropout=self.dropout, kernel_init=glorot)


for _name, _stages in {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}.items():
    register(functools.partial(VGG, stages=_stages), name=_name)
    register(functools.partial(VGG, stages=_stages, norm="batch"), name=f"{_name}_bn")
