"""AlexNet, in one tower and in the two of the paper."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.registry import register
from jaxcnn.models.torch_names import Layout, Rule
from jaxcnn.nn.choices import Choice

LAYERS = (
    # name, taps, strides, padding, kept within a tower, pooled
    ("stem", 11, 4, 2, False, True),
    ("stage1_block1", 5, 1, 2, True, True),
    ("stage2_block1", 3, 1, 1, False, False),
    ("stage2_block2", 3, 1, 1, True, False),
    ("stage2_block3", 3, 1, 1, True, True),
)
normal = linen.initializers.normal(0.01)
ones = linen.initializers.ones

_PLACES = (0, 3, 6, 8, 10)  # of the convolutions among torch's features
TORCH_NAMES = {
    "torchvision": (
        Rule(("stem/conv", r"stage\d_block\d/conv"), lambda _, count: f"features/{_PLACES[count]}"),
        Rule(r"head/hidden(\d)", "classifier/{1:3n-2}", Layout(flat=True)),
        Rule("head/dense", "classifier/6"),
    )
}


@register(name="alexnet")
class AlexNet(ConvNet, kw_only=True):
    """Five convolutions, overlapping 3×3 max pooling behind three of them, and two hidden dense layers.

    ``alexnet`` is torchvision's single tower, 61,100,840 parameters on 1,000 classes. ``alexnet_two_towers``
    is the network of the paper, 60,965,224 parameters: the second, fourth and fifth convolution read only the
    half of the maps in their own tower (on the paper's own graphics card), and local response normalization
    follows the first two. On 224×224×3 = 150,528 numbers its layers have

    ======  ========  =======
    layer   map       units
    ======  ========  =======
    1       55×55×96  290,400
    2       27×27×256 186,624
    3, 4    13×13×384 64,896
    5       13×13×256 43,264
    6, 7              4,096
    ======  ========  =======

    units. The paper writes 253,440 for the first, which is 55·48·96: its own kernel of 11 pixels with stride
    4 gives 55 in both directions, so 290,400 is what this network has.

    As in the paper kernels start normal with deviation 0.01, biases at 1 in the second, fourth and fifth
    convolution and the hidden layers, which lifts their units into the linear part of the ReLU, and at 0
    elsewhere.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      num_filters: channels of the five convolutions.
      hidden: units of the dense layers of the ``fc`` head.
      towers: groups of the second, fourth and fifth convolution.
      local_response: normalize behind the first and second convolution by n = 5, k = 2, α = 10⁻⁴, β = 3/4.
      head: the ``fc`` one pools the map to 6×6, so any size fits.
      dropout: rate behind each hidden layer, or before the only dense layer of another head.

    References:
      Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural Networks, 2012.
      Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (the single tower).

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("alexnet(hidden=[16])", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 224, 224, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 96, 80, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES

    num_filters: Sequence[int] = (64, 192, 384, 256, 256)
    hidden: Sequence[int] = (4096, 4096)
    towers: int = 1
    local_response: bool = False
    norm: Choice = "none"
    head: Choice = "fc"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        arguments.wholes("num_filters", self.num_filters)
        if len(self.num_filters) != len(LAYERS):
            raise ValueError(f"num_filters={self.num_filters!r}: expected one number for each of 5 layers")
        arguments.wholes("hidden", self.hidden)
        arguments.whole("towers", self.towers)
        arguments.flag("local_response", self.local_response)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        for features, layer in zip(self.num_filters, LAYERS, strict=True):
            name, taps, strides, padding, within, pooled = layer
            x = self.convolved(
                x,
                train,
                self.scaled(features),
                taps,
                strides,
                padding=padding,
                groups=self.towers if within else 1,
                kernel_init=normal,
                bias_init=ones if within else linen.initializers.zeros,
                name=name,
            )
            if self.local_response and name in ("stem", "stage1_block1"):
                x = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(x)
            if pooled:
                x = nn.MaxPool(3, strides=2)(x)
        fc: dict[str, Any] = {"size": 6, "bias_init": ones} | self.hidden_layers(self.hidden)
        return self.scores(x, train, fc=fc, dropout=self.dropout, kernel_init=normal)


register(
    functools.partial(AlexNet, num_filters=(96, 256, 384, 384, 256), towers=2, local_response=True),
    name="alexnet_two_towers",
)
