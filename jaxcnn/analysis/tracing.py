"""A network layer by layer, from its jaxpr alone: shapes, parameters, arithmetic, memory, receptive fields.

Nothing is run and no weight exists: any function of arrays that JAX can trace is read, whatever library it is
written in.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.analysis.jaxpr import cost, memory
from jaxcnn.analysis.jaxpr.calls import Value, is_inexact, known
from jaxcnn.analysis.jaxpr.field import Field, read
from jaxcnn.analysis.jaxpr.layering import Layer, layers_of
from jaxcnn.analysis.jaxpr.reach import identity
from jaxcnn.analysis.jaxpr.rules import RULES
from jaxcnn.analysis.jaxpr.walk import Walk

PARAMETERS = "params"  # the collection of a Flax variables dictionary that is learned


class Output(NamedTuple):
    """An array that a function returns.

    Attributes:
      shape: of it.
      fields: what its entries see along each axis of the input; empty for what does not depend on the input.
      unknown: why that is not known, where it is not.
    """

    shape: tuple[int, ...]
    fields: tuple[Field, ...]
    unknown: tuple[str, ...]


class Trace(NamedTuple):
    """What a function costs and sees.

    Attributes:
      layers: in the order they run.
      outputs: what the function returns, as the leaves of its pytree.
      input: shape of the input.
      spatial: its axes that are positions.
      parameters: numbers in the parameters; of Flax variables those in ``params``.
      state: numbers in other variables, such as running statistics.
      macs: multiply-accumulates; None where some are not known.
      activation_bytes: of the outputs of all layers, which training keeps.
      peak_bytes: an estimate of the most memory in use at once, see
        :func:`jaxcnn.analysis.jaxpr.memory.peak_bytes`.
      unused: parameters that nothing the outputs depend on reads.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    input: tuple[int, ...]
    spatial: tuple[int, ...]
    parameters: int
    state: int
    macs: int | None
    activation_bytes: int
    peak_bytes: int
    unused: tuple[str, ...]

    @property
    def dense(self) -> int:
        """Numbers in the parameters of fully connected layers."""
        return sum(layer.parameters for layer in self.layers if layer.dense)

    def __getitem__(self, name: Any) -> Any:
        """The layer of a name, or fields by number as in any tuple."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"{name!r} is no layer; there are {', '.join(layer.name for layer in self.layers)}")


def trace(
    fn: Callable[..., Any],
    *args: Any,
    input: int = -1,
    spatial: Sequence[int] | None = None,
    clip: bool = False,
) -> Trace:
    """Read what a function of arrays costs and what its layers see of the input.

    Receptive fields are dependence: entry j of the input belongs to the field of an output when changing it
    can change the output. They are followed exactly, as the hull of what is seen along each axis, through
    branches, strides, dilation, transposed convolutions, padding by reflection and the like, reshapes, and
    loops. Where places depend on data, or an operation is not known, the layer says so and its field is the
    whole input.

    Convolutions of this library are read in their direct form, whatever would compute them.

    Args:
      fn: any function that JAX can trace; if it is a pytree, such as an Equinox module, its arrays are
        parameters. Under ``jax.vmap`` pass it too: ``trace(lambda net, x: jax.vmap(net)(x), net, x)``.
      *args: its arguments, arrays or their shapes (``jax.ShapeDtypeStruct``) in any pytrees; leaves that are
        neither are passed as they are. Those other than the input are parameters; of Flax variables the
        collection ``params`` is. Where there are none, arrays that the function closes over are.
      input: which argument is the input, a single array.
      spatial: which axes of the input are positions; None: all but the first (examples) and the last
        (channels).
      clip: padding is no input: fields near a border end where the input does. Otherwise padding counts as
        pixels beyond the border, and all outputs of a layer have the same field.

    Returns:
      The :class:`Trace`.

    Raises:
      TypeError: the input is not a single array, or there is no such argument.
      ValueError: the input has no such ``spatial`` axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxcnn import models
      >>> model, x = models.create("lenet5"), jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
      >>> found = trace(model.apply, variables, x)
      >>> found.parameters, found.macs, found["c3"].fields[1].size
      (61706, 416520, 14)

    Reference: Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill,
    2019.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path((fn, args))
    if not -len(args) <= input < len(args):
        raise TypeError(f"input={input}: there are {len(args)} arguments")
    place = input % len(args)
    arrays = [i for i, (_, leaf) in enumerate(leaves) if _is_array(leaf)]
    chosen = [i for i in arrays if leaves[i][0][0].idx == 1 and leaves[i][0][1].idx == place]
    if len(chosen) != 1:
        raise TypeError(f"argument {place} holds {len(chosen)} arrays: expected the input, a single array")
    ndim = len(np.shape(leaves[chosen[0]][1]))
    if spatial is not None and not all(0 <= axis < ndim for axis in spatial):
        raise ValueError(f"spatial={tuple(spatial)}: expected axes of the input, which has {ndim}, from 0")

    def run(*given: Any) -> Any:
        filled = [leaf for _, leaf in leaves]
        for i, array in zip(arrays, given, strict=True):
            filled[i] = array
        fn, args = jax.tree_util.tree_unflatten(tree, filled)
        return fn(*args)

    shapes = [jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype) for _, leaf in (leaves[i] for i in arrays)]
    closed = jax.make_jaxpr(run)(*shapes)

    names: list[tuple[str, ...]] = []
    learned: list[int] = []  # numbers in each parameter, 0 in other variables
    state = 0

    def parameter(value: Value, name: tuple[str, ...], is_learned: bool) -> None:
        nonlocal state
        value.leaves = frozenset([len(names)])
        size = math.prod(value.shape)
        names.append(name)
        learned.append(size if is_learned else 0)
        state += 0 if is_learned else size

    inputs = [Value(shape.shape, shape.dtype) for shape in shapes]
    image = inputs[arrays.index(chosen[0])]
    image.reach = tuple(identity(image.shape, axis) for axis in range(len(image.shape)))
    for i, value in zip(arrays, inputs, strict=True):
        if value is not image:
            path = leaves[i][0]
            parameter(value, _name(path), is_inexact(value.dtype) and _learned(path, args))
    consts = [known(const) for const in closed.consts]
    if not names:
        for value in consts:
            if is_inexact(value.dtype):
                parameter(value, ("closed over",), True)

    walk = Walk(RULES, image.shape, extend=not clip)
    outputs = walk.program(closed.jaxpr, consts, inputs)
    layers, used = layers_of(walk.calls, outputs, names, learned)
    return Trace(
        layers=tuple(layers),
        outputs=tuple(map(_output, outputs)),
        input=image.shape,
        spatial=tuple(range(1, len(image.shape) - 1) if spatial is None else spatial),
        parameters=sum(learned),
        state=state,
        macs=cost.total_macs(walk.calls),
        activation_bytes=sum(layer.bytes for layer in layers),
        peak_bytes=memory.peak_bytes(walk.calls, [*consts, *inputs], outputs),
        unused=tuple("/".join(name) for i, name in enumerate(names) if i not in used),
    )


def _output(value: Value) -> Output:
    return Output(value.shape, tuple(map(read, value.reach or ())), tuple(sorted(value.unknown)))


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _name(path: tuple) -> tuple[str, ...]:
    """The path of a parameter within its argument, without the collection."""
    words = tuple(jax.tree_util.keystr((key,), simple=True) for key in path[2 if path[0].idx == 1 else 1 :])
    return words[1:] if words[:1] == (PARAMETERS,) and len(words) > 1 else words


def _learned(path: tuple, args: tuple) -> bool:
    """Whether a leaf is a parameter: all are, but for Flax variables outside ``params``."""
    if path[0].idx == 0 or len(path) < 3:
        return True
    argument = args[path[1].idx]
    flax = hasattr(argument, "keys") and PARAMETERS in argument
    return not flax or getattr(path[2], "key", None) == PARAMETERS
