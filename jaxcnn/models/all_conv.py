"""The network that is convolutions and nothing else."""

from collections.abc import Sequence

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.nn.choices import Choice

he_normal = linen.initializers.he_normal()


@register(name="all_cnn_c")
class AllConv(ConvNet, kw_only=True):
    """All-CNN-C: strides in the place of pooling, 1×1 convolutions in the place of dense layers.

    Two stages of three 3×3 convolutions, the third with stride 2; a third stage of one 3×3 convolution
    without padding and one 1×1; then scores. 1,369,738 parameters on 3 channels and 10 classes.

    The paper scores every position by a 1×1 convolution and averages; the average of a linear map is the map
    of the average, so the ``pooled`` head is the same function at less cost. Unlike the paper's table no ReLU
    cuts the scores off at zero. Kernels start He normal by fan-in and biases at zero, of which the paper says
    nothing.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      num_filters: channels of the first stage, and of the other two.
      input_dropout: rate at the image.
      dropout: rate behind the first and second stage.

    Reference: Springenberg, Dosovitskiy, Brox and Riedmiller, Striving for Simplicity: The All Convolutional
    Net, 2015.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("all_cnn_c(num_filters=[8, 16])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 40, 48, 3))).shape
      (2, 5)
    """

    input_shape = (32, 32, 3)

    num_classes: int = 10
    num_filters: Sequence[int] = (96, 192)
    norm: Choice = "none"
    input_dropout: float = 0.2
    dropout: float = 0.5

    def __post_init__(self) -> None:
        arguments.wholes("num_filters", self.num_filters)
        if len(self.num_filters) != 2:
            raise ValueError(f"num_filters={self.num_filters!r}: expected two numbers, e.g. [96, 192]")
        arguments.rate("input_dropout", self.input_dropout)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        few, many = map(self.scaled, self.num_filters)
        stages: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
            # features, taps, strides, padding of each convolution
            ((few, 3, 1, 1), (few, 3, 1, 1), (few, 3, 2, 1)),
            ((many, 3, 1, 1), (many, 3, 1, 1), (many, 3, 2, 1)),
            ((many, 3, 1, 0), (many, 1, 1, 0)),
        )
        x = nn.Dropout(self.input_dropout, name="input_dropout")(x, train=train)
        for stage, layers in enumerate(stages, start=1):
            for block, (features, taps, strides, padding) in enumerate(layers, start=1):
                x = self.convolved(
                    x,
                    train,
                    features,
                    taps,
                    strides,
                    padding=padding,
                    kernel_init=he_normal,
                    name=f"stage{stage}_block{block}",
                )
            if stage < len(stages):
                x = nn.Dropout(self.dropout, name=f"dropout{stage}")(x, train=train)
        return self.scores(x, train, kernel_init=he_normal)
