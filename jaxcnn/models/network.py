"""What every network of the zoo has in common: how it is called."""

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as linen
import jax
import numpy as np

from jaxcnn.errors import nearest
from jaxcnn.models.masking import Canvas
from jaxcnn.models.torch_names import Rule


class Network(linen.Module):
    """A network; a subclass says in :meth:`forward` what it computes.

    It is called as ``network.apply(variables, x, train=False)`` and returns logits.

    Attributes:
      torch_names: what its numbers are called in torchvision and timm, see :mod:`jaxcnn.models.torch_names`.
      torch_spare: how keys begin that may be left over there: auxiliary heads, which published files hold
        also where the network is built without.
      torch_options: by library the arguments that its weights go with, where they are not our defaults.
      least_size: pixels on each axis below which it treats an image differently.
      input_shape: sizes of an input as its authors used it, (*spatial, c).
      auxiliary: modules that return logits too, each with the weight of its loss in training.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model, x = models.create("resnet8(num_filters=2)"), jnp.ones((2, 8, 8, 3))
      >>> variables = model.init(jax.random.key(0), x)
      >>> logits, maps = model.apply(variables, x, intermediates="stage*_block1")
      >>> {name: y.shape for name, y in maps.items() if name.count("/") == 0}
      {'stage1_block1': (2, 8, 8, 2), 'stage2_block1': (2, 4, 4, 4), 'stage3_block1': (2, 2, 2, 8)}
    """

    torch_names: ClassVar[Mapping[str, Sequence[Rule]]] = {}
    torch_spare: ClassVar[tuple[str, ...]] = ()
    torch_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    least_size: ClassVar[int] = 1
    input_shape: ClassVar[tuple[int, ...]] = (224, 224, 3)

    @property
    def auxiliary(self) -> Mapping[str, float]:
        return {}

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        *,
        mask: jax.Array | None = None,
        intermediates: str | Sequence[str] = (),
    ) -> Any:
        """Logits, and on request what modules on the way return.

        Args:
          x: images (n, *spatial, c).
          train: whether this is training.
          mask: (n, *spatial), True where there is image: a rectangle in the low corner for each, so that a
            batch may hold images of mixed sizes, or sentences of mixed lengths. The logits are those of each
            alone, to rounding, and statistics of a batch are those of real pixels.
          intermediates: paths of modules such as ``stage1_block1/conv1``, or shell patterns of them, in which
            ``*`` matches slashes too.

        Returns:
          Logits; with ``intermediates`` the logits and a dictionary of outputs by path, the last where a
          module is called several times.

        Raises:
          ValueError: the mask has another shape, is no such rectangles, or there is a layer that cannot leave
            out what is no image; or a pattern matches no module.
        """
        patterns = [intermediates] if isinstance(intermediates, str) else list(intermediates)
        found: dict[str, Any] = {}
        names: list[str] = []

        def record(call: Any, args: Any, kwargs: Any, context: linen.module.InterceptorContext) -> Any:
            y = call(*args, **kwargs)
            if context.method_name == "__call__":
                name = "/".join(context.module.path[len(self.path) :])
                names.append(name)
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                    found[name] = y
            return y

        with contextlib.ExitStack() as stack:
            if patterns:  # around the canvas, so that they are what the network goes on with
                stack.enter_context(linen.intercept_methods(record))
            if mask is not None:
                mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
                if mask.shape != (expected := self.places(x)):
                    raise ValueError(f"mask has shape {mask.shape}: expected {expected} for these images")
                stack.enter_context(linen.intercept_methods(Canvas(mask, self.least_size).interceptor))
            logits = self.forward(x, train)
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"intermediates={pattern!r} is no module; {nearest(pattern, set(names))}")
        return (logits, found) if patterns else logits

    @linen.nowrap
    def places(self, x: jax.Array) -> tuple[int, ...]:
        """(n, *spatial) of an input."""
        return x.shape[:-1]

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> Any:
        """The network itself, with submodules made in place, as in a compact method."""
        raise TypeError(f"{type(self).__name__} defines no forward")
