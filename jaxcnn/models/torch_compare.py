"""Where a network and its counterpart in torch part."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax
import numpy as np

from jaxcnn.errors import UserError
from jaxcnn.models.registry import create
from jaxcnn.models.torch_names import flatten
from jaxcnn.models.torch_weights import keys_in

OWN = ("bias", "kernel", "mean", "pointwise", "scale", "var")
"""Numbers of modules that are modules in torch, too; those of our composite layers, such as a gate with both
its kernels, have other names."""


@dataclasses.dataclass(frozen=True)
class Compared:
    """One module in both networks.

    Attributes:
      ours: its path here.
      theirs: its name in torch.
      difference: the largest difference of two outputs, as a share of the largest output of torch's;
        infinite where their shapes differ.
      shapes: of the outputs, ours and torch's, channels last.
    """

    ours: str
    theirs: str
    difference: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    def __str__(self) -> str:
        shapes = " and ".join(map(str, self.shapes))
        how = f"by {self.difference:.1e}" if np.isfinite(self.difference) else f"in shape: {shapes}"
        return f"{self.ours or 'the output'} and {self.theirs or 'the output'} differ {how}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Every module that both networks have, in the order in which torch calls them.

    Attributes:
      layers: see :class:`Compared`.
      tolerance: the largest difference that counts as none.
    """

    layers: tuple[Compared, ...]
    tolerance: float

    @property
    def first(self) -> Compared | None:
        """The first layer at which the networks part; None: they agree."""
        return next((layer for layer in self.layers if not layer.difference <= self.tolerance), None)

    def __str__(self) -> str:
        if self.first is None:
            most = max((layer.difference for layer in self.layers), default=0.0)
            return f"the networks agree at {len(self.layers)} layers, to {most:.1e}"
        return f"the networks part where {self.first}"


def compare(
    theirs: Any, name: str | linen.Module, variables: Mapping[str, Any], x: Any, *, tolerance: float = 1e-4
) -> Comparison:
    """Walk a network and torch's, with the numbers that they have, over one batch in evaluation.

    Args:
      theirs: the ``torch.nn.Module``; it is left as it was.
      name: of our network, as :func:`jaxcnn.models.create` takes it, or the module.
      variables: of our network.
      x: images (n, *spatial, c), channels last.
      tolerance: see :class:`Comparison`.

    Returns:
      The modules that own numbers in both networks, matched by the family's rules, and the networks as a
      whole (paths empty). ``str`` of it says at which layer they part, which is usually where the mistake is.

    Raises:
      UserError: no module of the one is in the other.
    """
    import torch

    module = create(name) if isinstance(name, str) else name
    _, keys = keys_in(flatten(variables), module, theirs.state_dict())
    matched = {
        key.rpartition(".")[0]: path.rpartition("/")[0]
        for (_, path), (key, _) in keys.items()
        if path.rpartition("/")[2] in OWN
    }
    outputs: dict[str, np.ndarray] = {}

    def note(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                outputs[name] = output.detach().cpu().numpy().copy()  # what follows may write into it

        return hook

    layers = {name: layer for name, layer in theirs.named_modules() if name in matched or not name}
    if len(layers) < 2:
        raise UserError(
            f"{type(theirs).__name__} has no module of {type(module).__name__}; there is nothing to compare"
        )
    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    training = theirs.training
    try:
        with torch.no_grad():
            theirs.train(False)(torch.from_numpy(np.array(x)).movedim(-1, 1))
    finally:
        theirs.train(training)
        for hook in hooks:
            hook.remove()

    logits, maps = jax.jit(lambda variables, x: module.apply(variables, x, intermediates="*"))(variables, x)
    maps[""], matched[""] = logits, ""
    return Comparison(
        tuple(
            _compared(matched[name], name, np.asarray(maps[matched[name]]), output)
            for name, output in outputs.items()
            if hasattr(maps.get(matched[name]), "shape")
        ),
        tolerance,
    )


def _compared(ours: str, theirs: str, y: np.ndarray, output: np.ndarray) -> Compared:
    layouts = [output, np.moveaxis(output, 1, -1)] if output.ndim > 2 else [output]  # some keep channels last
    if y.size == output.size and y.shape[-1] == layouts[-1].shape[-1]:
        layouts.append(layouts[-1].reshape(y.shape))  # a 1×1 convolution for a dense layer
    fitting = [layout for layout in layouts if layout.shape == y.shape]
    if not fitting:
        return Compared(ours, theirs, float("inf"), (y.shape, layouts[-1].shape))
    largest = float(np.abs(output).max(initial=0.0)) or 1.0
    nearest = min(float(np.abs(y - layout).max(initial=0.0)) for layout in fitting)
    return Compared(ours, theirs, nearest / largest, (y.shape, fitting[-1].shape))
