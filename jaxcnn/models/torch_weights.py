"""Weights in torchvision's and timm's key layouts, to and from our parameter trees.

What a family's numbers are called there is said by the rules in its class, see
:mod:`jaxcnn.models.torch_names`. Numbers keep every bit: a state dictionary that is loaded and saved again is
the same, byte for byte. The counters ``num_batches_tracked``, which torch keeps beside running statistics,
have no counterpart here; they are ignored and written as 0.

The epsilon and momentum of batch normalization are no numbers of a state dictionary. Our defaults are
torchvision's; where timm's differ, in MobileNet v3 and EfficientNet, its weights are refused unless the
network is made with them, as in ``create("mobilenet_v3_large", epsilon=1e-5, momentum=0.9)``. (What timm
calls ``tf_…`` has those keys too, but pads as TensorFlow does, which no network here does.) torch's momentum
0.1 is 0.9 by Flax's convention; its running variance is the unbiased one, so training goes on exactly as
there with ``norm=functools.partial(nn.BatchNorm, unbiased=True)``.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as linen
import jax.numpy as jnp
import numpy as np

from jaxcnn.errors import UserError
from jaxcnn.models.registry import create
from jaxcnn.models.torch_names import AsItIs, Layout, flatten, rename
from jaxcnn.nn import choices

OURS = "jaxcnn"
COUNTER = "num_batches_tracked"
WRAPPINGS = ("state_dict", "model", "model_state_dict")  # where training scripts put the weights in a file

RGB = 3


class Loaded(NamedTuple):
    """What came out of a state dictionary.

    Attributes:
      variables: with its numbers.
      summed: our paths of kernels whose three colours were summed for images of one channel.
    """

    variables: dict[str, Any]
    summed: tuple[str, ...]


def load_torch(
    variables: Mapping[str, Any],
    source: str | Path | Mapping[str, Any],
    name: str | linen.Module,
    *,
    new_head: bool = False,
    sum_colours: bool = False,
) -> dict[str, Any]:
    """Variables with the numbers of a state dictionary.

    Args:
      variables: of the network, as ``init`` makes them or only their shapes, as ``jax.eval_shape`` does.
      source: a ``.safetensors`` file, a ``.pth`` file (read by torch's weights-only loader, so torch must be
        installed), or the state dictionary itself, of tensors or arrays.
      name: of the network, as :func:`jaxcnn.models.create` takes it, or the module.
      new_head: keep those numbers of heads, auxiliary ones too, in ``variables`` that have another shape in
        ``source``, as where the classes are others.
      sum_colours: where our network reads one channel and that of ``source`` three, sum the kernels over
        these, as timm does: a grey image is answered as its copy in red, green and blue is there.

    Returns:
      A tree like ``variables`` with their types; collections other than params and batch_stats are as given.

    Raises:
      UserError: the file is missing or no such file; keys are missing, left over or misshapen: the first
        is named, the nearest names beside; or the weights are of a library that normalizes by another
        epsilon.

    Example:
      >>> import jax
      >>> from jaxcnn import models
      >>> model = models.create("convnext(stages=[1], num_filters=[4])", num_classes=3)
      >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
      >>> ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
      >>> state = models.torch_state(ones, model)
      >>> state["features.1.0.block.0.weight"].shape
      (4, 1, 7, 7)
      >>> loaded = models.load_torch(shapes, state, model)
      >>> loaded["params"]["stage1_block1"]["depthwise"]["kernel"].shape
      (7, 7, 1, 4)
    """
    return load(variables, source, name, new_head=new_head, sum_colours=sum_colours).variables


def load(
    variables: Mapping[str, Any],
    source: str | Path | Mapping[str, Any],
    name: str | linen.Module,
    *,
    new_head: bool = False,
    sum_colours: bool = False,
    called: str = "the state dictionary",
) -> Loaded:
    """:func:`load_torch`, and what it changed; ``called`` is what errors call a source that is no file."""
    state = dict(source) if isinstance(source, Mapping) else read(Path(source))
    leaves = _leaves(variables)
    state = {_bare(key): value for key, value in state.items() if not key.endswith(COUNTER)}
    layout, keys = keys_in(leaves, name, state)
    ours = {key for key, _ in keys.values()}
    spare = getattr(_module(name), "torch_spare", ())
    missing, left_over = (
        ours - state.keys(),
        {key for key in state.keys() - ours if not key.startswith(spare)},
    )
    found, wrong, summed = {}, [], []
    for leaf, (key, lies) in keys.items():
        path = leaf[1]
        shape = tuple(leaves[leaf].shape)
        if key not in state:
            wrong.append(f"missing {key} (our {path}{_near(key, left_over)})")
            continue
        expected = lies.shape_there(shape)
        if not hasattr(state[key], "shape"):
            wrong.append(f"no array {key}: {type(state[key]).__name__} there (our {path})")
        elif tuple(state[key].shape) == expected:
            found[leaf] = jnp.asarray(lies.here(_array(state[key]), shape), dtype=leaves[leaf].dtype)
        elif sum_colours and _is_coloured(shape, tuple(state[key].shape), lies):
            coloured = lies.here(_array(state[key]), (*shape[:-2], RGB, shape[-1]))
            found[leaf] = jnp.asarray(coloured.sum(-2, keepdims=True), dtype=leaves[leaf].dtype)
            summed.append(path)
        elif new_head and not {"head", "aux_head"}.isdisjoint(path.split("/")):
            found[leaf] = leaves[leaf]
        else:
            wrong.append(
                f"misshapen {key}: {tuple(state[key].shape)} there, {expected} expected (our {path})"
            )
    wrong += [f"left over {key}{_near(key, missing)}" for key in state if key in left_over]
    what = called if isinstance(source, Mapping) else source
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(f"{what} does not fit {_title(name)}: {wrong[0]}{more}")
    _check_options(_module(name), layout, f"{what} holds weights of {layout}")
    return Loaded(dict(variables) | _unflatten(found), tuple(summed))


def torch_state(
    variables: Mapping[str, Any], name: str | linen.Module, *, layout: str = "torchvision"
) -> dict[str, np.ndarray]:
    """The state dictionary of a network in torch, as NumPy arrays.

    Args:
      variables: of the network; params and batch_stats are taken.
      name: of the network, as :func:`jaxcnn.models.create` takes it, or the module.
      layout: whose keys: ``torchvision``, ``timm``, or ``jaxcnn``: our own paths, nothing transposed.

    Raises:
      UserError: the family is not in that library.
      ValueError: there are no params.
    """
    layouts = _rules(name)
    if layout not in layouts:
        raise UserError(f"layout={layout!r}: {_title(name)} has only {' and '.join(layouts)}")
    leaves = _leaves(variables)
    state: dict[str, np.ndarray] = {}
    for leaf, (key, how) in _keys(leaves, layouts[layout]).items():
        state[key] = np.ascontiguousarray(how.there(np.asarray(leaves[leaf])))
        if key.endswith("running_mean"):
            state[key.replace("running_mean", COUNTER)] = np.zeros((), np.int64)
    return state


def save_torch(
    variables: Mapping[str, Any], path: str | Path, name: str | linen.Module, *, layout: str = "torchvision"
) -> None:
    """Write :func:`torch_state` to a ``.safetensors`` file, which torch's ``load_state_dict`` takes whole."""
    from safetensors.numpy import save_file

    if Path(path).suffix != ".safetensors":
        raise UserError(f"{path}: expected a name that ends in .safetensors")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"{path}: its folder does not exist; make it or name another")
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder; name a file")
    save_file(torch_state(variables, name, layout=layout), path, metadata={"format": "pt"})


def read(path: Path) -> dict[str, Any]:
    """The state dictionary in a ``.safetensors`` or ``.pth`` file, out of what a script wrapped it in."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected weights in .safetensors or .pth")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path} is no whole safetensors file: {error}") from error
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise UserError(f"{path}: expected weights in .safetensors or .pth")
    try:
        import torch
    except ImportError as error:
        raise UserError(f"{path}: only torch reads it; pip install torch, or give .safetensors") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:  # torch has no one kind for a file that it does not understand
        raise UserError(
            f"{path} is no file of weights: expected what torch.save writes of a state_dict, and nothing else"
        ) from error
    for key in WRAPPINGS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise UserError(f"{path} holds a {type(state).__name__}; expected a dictionary of weights by name")
    return dict(state)


def keys_in(
    leaves: Mapping[tuple[str, str], Any], name: str | linen.Module, state: Mapping[str, Any]
) -> tuple[str, dict[tuple[str, str], tuple[str, Layout]]]:
    """The library whose keys are most like those of ``state``, and how each leaf is called and lies there."""
    layouts = {layout: _keys(leaves, rules) for layout, rules in _rules(name).items()}
    return max(layouts.items(), key=lambda pair: len({key for key, _ in pair[1].values()} & state.keys()))


def _check_options(module: Any, layout: str, what: str) -> None:
    """Refuse to normalize by another epsilon than those did who trained the weights."""
    theirs = getattr(module, "torch_options", {}).get(layout)
    if theirs is None:
        return
    norm = choices.norm(choices.tuned(module.norm, epsilon=module.epsilon), 1)
    ours = getattr(norm, "epsilon", theirs["epsilon"])
    if ours != theirs["epsilon"]:
        options = ", ".join(f"{name}={value}" for name, value in theirs.items())
        raise UserError(
            f"{what}, which go with {options}; this network has epsilon={ours}; make it with those"
        )


def _is_coloured(shape: tuple[int, ...], there: tuple[int, ...], lies: Layout) -> bool:
    """Whether a kernel reads one channel here and three there."""
    *taps, inputs, outputs = shape if len(shape) > 2 else (0, 0)
    return inputs == 1 and there == lies.shape_there((*taps, RGB, outputs))


def _keys(leaves: Mapping[tuple[str, str], Any], rules: Any) -> dict[tuple[str, str], tuple[str, Layout]]:
    """Key and layout of each leaf; without rules those of our own files."""
    if rules is None:
        return {leaf: ("/".join(leaf), AsItIs()) for leaf in leaves}
    names = rename(dict.fromkeys(path for _, path in leaves), rules)
    keys = {leaf: names[leaf[1]] for leaf in leaves}
    taken: dict[str, str] = {}
    for (_, path), (key, _) in keys.items():
        if key in taken:
            raise ValueError(f"the rules call both {taken[key]} and {path} {key}")
        taken[key] = path
    return keys


def _leaves(variables: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    if not (leaves := flatten(variables)):
        raise ValueError(
            f"variables hold {sorted(variables)}: expected params, as init or jax.eval_shape of it gives them"
        )
    return leaves


def _rules(name: str | linen.Module) -> dict[str, Any]:
    return {**getattr(_module(name), "torch_names", {}), OURS: None}


def _module(name: str | linen.Module) -> linen.Module:
    return create(name) if isinstance(name, str) else name


def _title(name: str | linen.Module) -> str:
    return name if isinstance(name, str) else type(name).__name__


def _bare(key: str) -> str:
    """A key without what wrappers of a whole model put before it."""
    return key.removeprefix("module.").removeprefix("_orig_mod.")


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return np.asarray(value)


def _near(key: str, keys: Any) -> str:
    close = difflib.get_close_matches(key, list(keys), n=2, cutoff=0.6)
    return f"; near it: {', '.join(close)}" if close else ""


def _unflatten(leaves: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for (collection, path), leaf in leaves.items():
        *modules, last = [collection, *path.split("/")]
        at = tree
        for module in modules:
            at = at.setdefault(module, {})
        at[last] = leaf
    return tree
