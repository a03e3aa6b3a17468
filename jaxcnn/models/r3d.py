"""R3D: a residual network over space and time."""

import functools

from jaxcnn.models.registry import register
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.torch_names import Rule
from jaxcnn.nn.choices import Choice

TORCH_NAMES: dict[str, tuple[Rule, ...]] = {
    "torchvision": (
        Rule(r"stage(\d+)_block(\d+)", "layer{1}/{2:n-1}"),
        Rule("shortcut", "downsample"),
        Rule("conv", "0"),
        Rule("norm", "1"),
        Rule("head/dense", "fc"),
    ),
}


@register(name="r3d")
class R3D(ResNet, kw_only=True):
    """A residual network of three axes, for videos (n, time, height, width, channels).

    Its stem is a 3×7×7 convolution that halves height and width alone, without pooling. ``r3d_18`` is
    torchvision's, on the 400 classes of Kinetics: 33,371,472 parameters. For initialization see
    :class:`jaxcnn.models.residual.ResidualNetwork`.

    Attributes: those of :class:`jaxcnn.models.ResNet`.

    Reference: Tran, Wang, Torresani, Ray, LeCun and Paluri, A Closer Look at Spatiotemporal Convolutions for
    Action Recognition, 2018.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model = models.create("r3d_18(num_filters=4)", num_classes=5)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 8, 16, 16, 3)))
      >>> jax.eval_shape(model.apply, variables, jnp.ones((2, 5, 24, 20, 3))).shape
      (2, 5)
    """

    torch_names = TORCH_NAMES
    input_shape = (16, 112, 112, 3)

    num_classes: int = 400
    stem: Choice = "video"


register(functools.partial(R3D, stages=(2, 2, 2, 2), block="basic"), name="r3d_18")
