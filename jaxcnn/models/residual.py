"""What the residual networks for photographs and for small images have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen
import jax

from jaxcnn import nn
from jaxcnn.models import arguments
from jaxcnn.models.convnet import ConvNet
from jaxcnn.models.stem import stem
from jaxcnn.models.stem import strides as stem_strides
from jaxcnn.nn import choices
from jaxcnn.nn.choices import Choice

BLOCKS: dict[str, Callable[..., nn.ResidualBlock]] = {
    "basic": nn.BasicBlock,
    "bottleneck": nn.BottleneckBlock,
}


class ResidualNetwork(ConvNet, kw_only=True):
    """A stem, stages of residual blocks with 1×, 2×, 4×, … ``num_filters`` channels, and a head.

    Every stage but the first halves the map; any image of one to three spatial axes and any size fits the
    ``pooled`` head. Convolutions start He normal by fan-out, norms at scale 1 and bias 0, the head LeCun
    normal with bias 0.

    Attributes: those of :class:`jaxcnn.models.convnet.ConvNet`, and
      num_filters: channels of the first stage, before a bottleneck's expansion.
      stem_filters: channels of the stem; None: ``num_filters``.
      stem: see :func:`jaxcnn.models.stem.stem`.
      shortcut: where the shape changes, ``projection``, ``pad`` or ``average``.
      order: ``post``, or ``pre``: norm and activation in front of each convolution, and once more in front of
        the head; see :class:`jaxcnn.nn.ResidualBlock`, as for ``shortcut``.
      gate: at the end of every branch, such as ``se``; see :mod:`jaxcnn.nn.choices`.
      stage_convs: the ``conv`` of each stage's blocks, in the place of one for all.
      output_stride: pixels of the image from one place of the last map to the next. A stage that would go
        beyond it dilates in the place of striding: where the strided network has values this one has the same
        (but for ``average`` shortcuts), with others between. None: every stage strides.
      drop_path: see :class:`jaxcnn.models.convnet.ConvNet`.
      zero_init: start every block as the identity.
    """

    num_filters: int = 64
    stem_filters: int | None = None
    stem: Choice = "imagenet"
    shortcut: str = "projection"
    order: str = "post"
    gate: Choice = "none"
    stage_convs: Sequence[Choice] = ()
    output_stride: int | None = None
    drop_path: float = 0.0
    zero_init: bool = False

    def __post_init__(self) -> None:
        arguments.whole("num_filters", self.num_filters)
        if self.stem_filters is not None:
            arguments.whole("stem_filters", self.stem_filters)
        choices.pick("gate", self.gate, choices.GATES)
        choices.one_of("order", self.order, ("post", "pre"))
        if choices.shortcut(self.shortcut) == "identity":
            raise ValueError("shortcut='identity' cannot change shapes between stages; use pad or projection")
        stages = len(self.plan()[0])
        if not stages:
            raise ValueError("stages=[]: expected one stage or more")
        if isinstance(self.stage_convs, str):
            raise TypeError(f"stage_convs={self.stage_convs!r}: expected a list, one for each stage")
        for conv in self.stage_convs:
            choices.conv(conv)
        if len(self.stage_convs) not in (0, stages):
            raise ValueError(
                f"stage_convs={self.stage_convs!r}: expected one for each of the {stages} stages"
            )
        super().__post_init__()
        if self.output_stride is None:
            return
        if not isinstance(self.stem, str):
            raise ValueError(f"output_stride={self.output_stride!r}: expected a stem by name; write None")
        possible = [stem_strides(self.stem) * 2**stage for stage in range(stages)]
        if self.output_stride not in possible:
            raise ValueError(f"output_stride={self.output_stride!r}: expected one of {possible}, or None")

    @linen.nowrap
    def plan(self) -> tuple[Sequence[int], Callable[..., Any], dict[str, Any]]:
        """How many blocks each stage has, what makes a block, and arguments that only these blocks have."""
        raise TypeError(f"{type(self).__name__} defines no plan")

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        return self.scores(self.maps(x, train)[-1], train)

    @linen.nowrap
    def maps(self, x: jax.Array, train: bool) -> list[jax.Array]:
        """What each stage makes of images, the last normalized and activated; a part of :meth:`forward`."""
        stages, make, own = self.plan()
        parts = self.parts
        x = stem(self.stem, x, self.scaled(self.stem_filters or self.num_filters), train=train, **parts)
        reached = stem_strides(str(self.stem)) if self.output_stride else 0
        total, done, dilation = sum(stages), 0, 1
        maps = []
        for stage, blocks in enumerate(stages, start=1):
            strides, before = 1, dilation
            if stage > 1 and self.output_stride and reached == self.output_stride:
                dilation *= 2
            elif stage > 1:
                strides, reached = 2, 2 * reached
            if self.stage_convs:
                parts["conv"] = self.stage_convs[stage - 1]
            for block in range(1, blocks + 1):
                done += 1
                x = make(
                    self.scaled(self.num_filters * 2 ** (stage - 1)),
                    strides=strides if block == 1 else 1,
                    dilation=dilation,
                    first_dilation=before if block == 1 else dilation,
                    shortcut=self.shortcut,
                    # the stem has normalized and activated what the first block reads
                    order="first" if self.order == "pre" and done == 1 else self.order,
                    gate=self.gate,
                    drop_path=self.drop_path * done / total,
                    zero_init=self.zero_init,
                    name=f"stage{stage}_block{block}",
                    **parts,
                    **own,
                )(x, train=train)
            maps.append(x)
        if self.order == "pre":
            maps[-1] = choices.activation(self.activation)(self.normalized(x, train))
        return maps
