"""What ``python -m jaxcnn.describe`` says of networks and layers, from the words a person typed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import callstring, models, ops
from jaxcnn.analysis import figures, listing, network_page
from jaxcnn.analysis.tracing import Trace, trace
from jaxcnn.errors import UserError, nearest
from jaxcnn.models import registry
from jaxcnn.ops.explain import explain


def network(model: str, sizes: Sequence[int], num_classes: int = 0) -> str:
    """The table of a network.

    Args:
      model: a call string.
      sizes: of one example, (*spatial, c).
      num_classes: of the network; 0: its default.

    Raises:
      UserError: no such network, or it does not take such an input.

    Example:
      >>> print(network("lenet5", (28, 28, 1)).splitlines()[-6])
      417 k multiply-accumulates; about 267 KiB in use at the peak, weights included
    """
    return listing.table(traced(model, sizes, num_classes))


def listed(pattern: str, num_classes: int = 0) -> Iterator[str]:
    """The networks whose names match a shell pattern, a line each, as they are counted.

    Raises:
      UserError: there are none.

    Example:
      >>> print(*listed("lenet5*"), sep="\\n")
      network     parameters  classes  input
      lenet5          61,706       10  28×28×1
      lenet5_1998     60,850       10  28×28×1
    """
    found = models.names(pattern)
    if not found:
        raise UserError(f"--models={pattern!r}: no network has such a name; {registry.likely(pattern)}")
    width = max(map(len, found))
    yield f"{'network':<{width}}  {'parameters':>11}  classes  input"
    for name in found:
        sizes = usual_input(name)
        module, variables = _built(name, sizes, num_classes)
        count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        classes: Any = module.num_classes
        yield f"{name:<{width}}  {count:>11,}  {classes:>7,}  {listing.sizes(sizes)}"


def usual_input(model: str) -> tuple[int, ...]:
    """Sizes of an input as the authors of a network had them."""
    return getattr(models.create(model), "input_shape", models.Network.input_shape)


def networks(pair: str, sizes: Sequence[int] | None = None, num_classes: int = 0) -> str:
    """Two networks side by side.

    Args:
      pair: two call strings, with a comma between.
      sizes: of one example, (*spatial, c); None: as the authors of both had them.
      num_classes: of both networks; 0: their defaults.

    Raises:
      UserError: these are not two networks, one does not take such an input, or their authors had different
        ones.
    """
    calls = callstring.parse(pair)
    if len(calls) != 2:
        raise UserError(
            f"--compare={pair!r} names {len(calls)} networks: expected two, e.g. resnet20,resnet32"
        )
    names = [callstring.write(call) for call in calls]
    if sizes is None:
        sizes, other = map(usual_input, names)
        if sizes != other:
            raise UserError(
                f"--compare={pair}: made for inputs of {_csv(sizes)} and of {_csv(other)}; choose by --input"
            )
    first, second = (traced(name, sizes, num_classes) for name in names)
    return listing.compare(first, second, names)


def traced(model: str, sizes: Sequence[int], num_classes: int = 0) -> Trace:
    """The :class:`Trace` of a network for one example of float32; arguments as for :func:`network`."""
    module, variables = _built(model, sizes, num_classes)
    x = _shape(1, *sizes)
    spatial = range(1, len(module.places(x)))
    return trace(partial(module.apply, train=False), variables, x, spatial=spatial)


def write_page(path: str | Path, model: str, image: np.ndarray, num_classes: int = 0, seed: int = 0) -> None:
    """Write the page of a network with the weights that it starts from.

    Args:
      path: the file.
      model: a call string.
      image: an example (h, w, c) uint8.
      num_classes: of the network; 0: its default.
      seed: of the weights.

    Raises:
      UserError: as :func:`network`, or matplotlib is not installed.
    """
    figures.check_installed()
    found = traced(model, image.shape, num_classes)
    module, _ = _built(model, image.shape, num_classes)
    variables = jax.jit(partial(module.init, train=False))(jax.random.key(seed), jnp.zeros((1, *image.shape)))
    network_page.write(path, model, found, module, variables, image)


def _built(model: str, sizes: Sequence[int], num_classes: int) -> tuple[Any, Any]:
    """A network and the shapes of its variables."""
    module = models.create(model, num_classes=num_classes or None)
    try:
        variables = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), _shape(1, *sizes))
    except (TypeError, ValueError) as error:
        raise UserError(f"{model} does not take --input={_csv(sizes)}: {_line(error)}") from error
    return module, variables


def operation(op: str, sizes: Sequence[int], options: Mapping[str, Any]) -> str:
    """One layer explained.

    Args:
      op: a name of :data:`OPERATIONS`.
      sizes: of the batch, (n, *spatial, c).
      options: ``kernel``, ``strides``, ``padding`` and ``dilation`` as written (missing or empty: the
        default), ``features`` (0: as many as channels) and ``groups``; of a convolution ``lowering`` and
        ``platform``, as in :func:`jaxcnn.ops.explain`.

    Returns:
      A line each for the output, pixels never read, parameters, multiply-accumulates, receptive field, memory
      and, of a convolution, how it and its gradients are computed.

    Raises:
      UserError: no such operation, or numbers that it refuses.

    Example:
      >>> print(operation("conv", (8, 56, 56, 128), {"kernel": "3", "groups": 128}))
      conv 3×3 on 8×56×56×128, in 128 groups
      output                8×56×56×128
      ...
    """
    if op not in OPERATIONS:
        raise UserError(f"--op={op!r} is unknown; {nearest(op, OPERATIONS)}")
    if not 3 <= len(sizes) <= 5:
        raise UserError(f"--input={_csv(sizes)}: expected examples, one to three spatial axes, channels")
    kernel, groups = whole_numbers("kernel", options.get("kernel") or "3"), options.get("groups", 1)
    given = {name: _numbers_or_names(name, options[name]) for name in WINDOW if options.get(name)}
    asked = {name: options[name] for name in ("lowering", "platform") if options.get(name)}
    for name in asked:
        if op != "conv":
            raise UserError(f"--{name} says nothing of --op={op}, only of conv; leave it out")
    try:
        taps = ops.geometry.spatial_tuple(kernel[0] if len(kernel) == 1 else kernel, len(sizes) - 2, "kernel")
        layer, weights = OPERATIONS[op](sizes, taps, groups, options.get("features", 0))
        found = trace(lambda w, x: layer(x, w, **given), weights, _shape(*sizes))
        facts = _facts(found, weights)
        if op == "conv":
            facts += _lowerings(sizes, weights["kernel"].shape, groups=groups, **given, **asked)
    except (TypeError, ValueError) as error:
        raise UserError(f"--op={op}: {_line(error)}") from error
    title = f"{op} {listing.sizes(taps)} on {listing.sizes(sizes)}" + (
        f", in {groups} groups" if groups > 1 else ""
    )
    return "\n".join([title, *listing.aligned(facts, left=2)])


WINDOW = ("strides", "padding", "dilation")

Built = tuple[Callable[..., jax.Array], dict[str, jax.ShapeDtypeStruct]]


def _conv(sizes: Sequence[int], taps: Sequence[int], groups: int, features: int) -> Built:
    ops.check.divides("groups", groups, "channels", sizes[-1])
    features = features or sizes[-1]
    weights = {"kernel": _shape(*taps, sizes[-1] // groups, features), "bias": _shape(features)}
    return lambda x, w, **given: ops.conv(x, w["kernel"], w["bias"], groups=groups, **given), weights


def _conv_transpose(sizes: Sequence[int], taps: Sequence[int], groups: int, features: int) -> Built:
    features = features or sizes[-1]
    ops.check.divides("groups", groups, "features", features)
    weights = {"kernel": _shape(*taps, sizes[-1], features // groups), "bias": _shape(features)}
    return lambda x, w, **given: ops.conv_transpose(
        x, w["kernel"], w["bias"], groups=groups, **given
    ), weights


def _pool(
    pool: Callable[..., jax.Array], sizes: Sequence[int], taps: Sequence[int], groups: int, features: int
) -> Built:
    if groups != 1 or features:
        raise ValueError("pooling has neither groups nor features; leave --groups and --features out")
    return lambda x, w, **given: pool(x, taps, **given), {}


OPERATIONS: dict[str, Callable[[Sequence[int], Sequence[int], int, int], Built]] = {
    "avg_pool": partial(_pool, ops.avg_pool),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": partial(_pool, ops.max_pool),
}
"""From sizes, taps, groups and features to a layer and the shapes of its weights."""


def _facts(found: Trace, weights: Mapping[str, jax.ShapeDtypeStruct]) -> list[tuple[str, str]]:
    output, examples = found.layers[-1], found.input[0]
    size, jump, start = listing.fields_text([output.fields[axis] for axis in found.spatial])
    unread, pixels = (sum(getattr(layer, name) for layer in found.layers) for name in ("unread", "pixels"))
    parts = ", ".join(f"{name} {listing.sizes(shape.shape)}" for name, shape in weights.items())
    macs = listing.number(found.macs)
    if found.macs and examples > 1:
        macs += f", {listing.number(found.macs / examples)} an example"
    return [
        ("output", listing.sizes(output.output)),
        ("never read", f"{unread:,} of {pixels:,} pixels" if unread else "no pixel"),
        ("parameters", f"{found.parameters:,}" + (f" ({parts})" if parts else "")),
        ("multiply-accumulates", macs),
        ("receptive field", f"{size} pixels along each axis, from {start}, every {jump}"),
        ("memory", f"{listing.memory(output.bytes)} of output, {listing.memory(found.peak_bytes)} in all"),
    ]


def _lowerings(sizes: Sequence[int], kernel: Sequence[int], **options: Any) -> list[tuple[str, str]]:
    """How the output and both gradients are computed, and why: here, and in a program that is kept."""
    here, portable = (explain(sizes, kernel, portable=flag, **options) for flag in (False, True))
    names = ("computed by", "input gradient", "kernel gradient")
    facts = []
    for name, *lines in zip(names, here.splitlines()[1:], portable.splitlines()[1:], strict=True):
        way, elsewhere = (line.partition(": ")[2] for line in lines)
        facts.append((name, way))
        if elsewhere != way:
            facts.append(("  kept or exported", elsewhere))
    return facts


def _numbers_or_names(name: str, text: str) -> Any:
    """A number or name for every axis, or one for all; only paddings have names."""
    if name != "padding":
        entries: tuple[Any, ...] = whole_numbers(name, text)
    else:
        words = [word.strip() for word in text.split(",")]
        entries = tuple(
            int(word) if word.isdecimal() and int(word) < 2**31 else word.upper() for word in words
        )
    return entries[0] if len(entries) == 1 else entries


def whole_numbers(flag: str, text: str) -> tuple[int, ...]:
    """Whole numbers with commas between.

    >>> whole_numbers("input", "32,32,3")
    (32, 32, 3)
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) < 2**31 for word in words):
        expected = "whole numbers above 0, below 2**31, with commas between, e.g. 32,32,3"
        raise UserError(f"--{flag}={text!r}: expected {expected}")
    return tuple(map(int, words))


def _shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def _csv(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))


def _line(error: Exception) -> str:
    return str(error).split("\n")[0]
