"""The convolution as one JAX primitive, closed under differentiation and batching.

The sum ``Σ y · conv(x, kernel)`` is linear in each of its three tensors, so each form (the output, the input
gradient, the kernel gradient) is bilinear in the two tensors it reads, and the gradient of any form by any
tensor is again one of the three. Forward and reverse mode of every order follow from that one rule, and each
form is computed by the lowering chosen for it, not by whatever the derivative of another form would be.

Under ``vmap`` an operand that is mapped alone joins an axis the result shares with it: images join the batch,
kernels the features. Only when both are mapped do lanes remain: a leading axis of independent convolutions.

How a form is computed is decided when the program is compiled, for the platform it is compiled for.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType

from jaxcnn.ops.lowering import onednn
from jaxcnn.ops.lowering.choose import PLATFORMS, choose
from jaxcnn.ops.lowering.direct import Direct
from jaxcnn.ops.lowering.dot import Dot
from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.spec import Problem

TENSORS: tuple[Form, ...] = ("input", "kernel", "output")

UNROLLED = 8
"""Up to so many calls, lanes are written out: XLA fuses what is around each into it, and compiles it all."""

conv_p = Primitive("conv")


def bind(form: Form, tensors: dict[Form, jax.Array], problem: Problem, lowering: str) -> jax.Array:
    """Compute one tensor from the two others.

    Args:
      form: the tensor to compute.
      tensors: the two others, each with one leading axis of lanes or none.
      problem: the convolution of one lane.
      lowering: a name, or ``"auto"``.

    Returns:
      The tensor, with the lanes of the others.
    """
    first, second = (tensors[name] for name in operands(form))
    if _shards(first) or _shards(second):
        return reference(form, problem)(first, second)
    return conv_p.bind(first, second, form=form, problem=problem, lowering=lowering)


def _shards(tensor: jax.Array) -> bool:
    """Whether the type says how it is split among devices: JAX's own primitives know what follows."""
    types = jax.typeof(tensor).sharding.mesh.axis_types
    return any(kind != AxisType.Auto for kind in types)


def operands(form: Form) -> tuple[Form, Form]:
    """The tensors that a form reads, in order.

    >>> operands("kernel")
    ('input', 'output')
    """
    first, second = (name for name in TENSORS if name != form)
    return first, second


def shape_of(tensor: Form, problem: Problem) -> tuple[int, ...]:
    """The shape of a tensor in one lane."""
    return getattr(problem, tensor)


@conv_p.def_abstract_eval
def _abstract(first: Any, second: Any, *, form: Form, problem: Problem, lowering: str) -> Any:
    lanes = first.shape[: first.ndim - problem.spec.ndim - 2]
    return first.update(shape=(*lanes, *shape_of(form, problem)), weak_type=False)


@lru_cache(maxsize=4096)  # as many as JAX's own caches hold
def _compiled(form: Form, problem: Problem, lowering: str) -> Callable[..., jax.Array]:
    return jax.jit(partial(conv_p.bind, form=form, problem=problem, lowering=lowering))


@conv_p.def_impl
def _eager(first: jax.Array, second: jax.Array, **params: Any) -> jax.Array:
    return _compiled(**params)(first, second)


def _transposed(
    wanted: int, ct: jax.Array, *values: Any, form: Form, problem: Problem, lowering: str
) -> jax.Array:
    names = operands(form)
    tensors = {form: ct, names[1 - wanted]: values[1 - wanted]}
    return bind(names[wanted], tensors, problem, lowering)


ad.defbilinear(conv_p, partial(_transposed, 0), partial(_transposed, 1))


def _batched(
    values: Sequence[Any], axes: Sequence[int | None], *, form: Form, problem: Problem, lowering: str
) -> tuple[jax.Array, int]:
    names = operands(form)
    mapped = [jnp.moveaxis(v, axis, 0) for v, axis in zip(values, axes, strict=True) if axis is not None]
    count = mapped[0].shape[0]
    if len(mapped) == 2:
        lanes = [v.reshape(-1, *shape_of(name, problem)) for v, name in zip(mapped, names, strict=True)]
        result = bind(form, dict(zip(names, lanes, strict=True)), problem, lowering)
        return result.reshape(count, *mapped[0].shape[1 : -problem.spec.ndim - 2], *result.shape[1:]), 0
    place = 0 if axes[0] is not None else 1
    tensor, other = names[place], names[1 - place]
    axis = _SHARED[frozenset((tensor, form))]
    tensors = {tensor: _join(mapped[0], tensor, axis, problem), other: values[1 - place]}
    result = bind(form, tensors, _joined(problem, axis, count), lowering)
    return _part(result, form, axis, problem, count), 0


batching.primitive_batchers[conv_p] = _batched

_SHARED = {
    frozenset(("input", "output")): "batch",
    frozenset(("input", "kernel")): "channels",
    frozenset(("kernel", "output")): "features",
}
"""The axis that two tensors share, along which copies of both can stand side by side."""


def _joined(problem: Problem, axis: str, count: int) -> Problem:
    """The problem whose shared axis is ``count`` times as long."""
    (n, *spatial, c), (*taps, channels, features) = problem.input, problem.kernel
    match axis:
        case "batch":
            n *= count
        case "channels":
            c, channels = c * count, channels * count
        case "features":
            features *= count
    return Problem((n, *spatial, c), (*taps, channels, features), problem.spec)


def _split(tensor: Form, axis: str, problem: Problem) -> tuple[tuple[int, ...], int]:
    """The tensor's shape with the shared axis split into (groups, one group), and where that split is."""
    shape = shape_of(tensor, problem)
    place = (
        0
        if axis == "batch"
        else len(shape) - 2
        if (tensor, axis) == ("kernel", "channels")
        else len(shape) - 1
    )
    outer = problem.spec.groups if place == len(shape) - 1 else 1
    return (*shape[:place], outer, shape[place] // outer, *shape[place + 1 :]), place + 1


def _join(value: jax.Array, tensor: Form, axis: str, problem: Problem) -> jax.Array:
    """Copies (count, *lanes, *shape) side by side along the shared axis, within each group."""
    (split, place), shape = _split(tensor, axis, problem), shape_of(tensor, problem)
    count, *lanes = value.shape[: value.ndim - len(shape)]
    value = jnp.moveaxis(value.reshape(count, *lanes, *split), 0, len(lanes) + place)
    return value.reshape(*lanes, *shape[: place - 1], count * shape[place - 1], *shape[place:])


def _part(value: jax.Array, tensor: Form, axis: str, problem: Problem, count: int) -> jax.Array:
    """Undo :func:`_join`."""
    (split, place), shape = _split(tensor, axis, problem), shape_of(tensor, problem)
    lanes = value.shape[: value.ndim - len(shape)]
    value = value.reshape(*lanes, *split[:place], count, *split[place:])
    return jnp.moveaxis(value, len(lanes) + place, 0).reshape(count, *lanes, *shape)


def reference(form: Form, problem: Problem) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The same function of the same operands in JAX's own primitives, for a program that reads jaxprs."""
    compute = partial(getattr(Direct(), form), problem=problem)
    return lambda first, second: (
        compute(first, second) if first.ndim == problem.spec.ndim + 2 else jax.vmap(compute)(first, second)
    )


def _lower(
    first: jax.Array,
    second: jax.Array,
    *,
    form: Form,
    problem: Problem,
    lowering: str,
    platform: str,
    portable: bool = False,
) -> jax.Array:
    dtype, lanes = first.dtype, first.ndim > problem.spec.ndim + 2
    way = choose(problem, form, dtype, platform, lowering, portable=portable, lanes=lanes).way
    half = dtype in (jnp.bfloat16, jnp.float16) and not way.takes_half(problem, form)

    def compute(first: jax.Array, second: jax.Array) -> jax.Array:
        if half:  # sum in float32 and round once, as XLA's own convolution does
            first, second = first.astype(jnp.float32), second.astype(jnp.float32)
        return getattr(way, form)(first, second, problem).astype(dtype)

    if not lanes:
        return compute(first, second)
    if not _apart(way, problem, form, platform):
        return jax.vmap(compute)(first, second)
    if (isinstance(way, onednn.OneDnn) or platform != "cpu") and 0 < len(first) <= UNROLLED:
        return jnp.stack([compute(*lane) for lane in zip(first, second, strict=True)])
    return lax.map(lambda lane: compute(*lane), (first, second))


def _apart(way: Lowering, problem: Problem, form: Form, platform: str) -> bool:
    """Whether lanes are computed one after the other: ``vmap`` would make a grouped convolution of them.

    On a CPU that is many times slower; on a GPU (H100) its kernel gradient takes up to 4 times as long.
    """
    if platform == "cpu":
        return not (isinstance(way, Dot) and way.takes_lanes)
    return platform == "cuda" and form == "kernel" and problem.spec.groups == 1 and isinstance(way, Direct)


def _register(platform: str | None) -> None:
    def compute(**where: Any) -> Callable[..., Any]:
        return mlir.lower_fun(partial(_lower, **where), multiple_results=False)

    here = compute(platform=platform or "other")
    elsewhere = compute(platform=platform or "other", portable=True)
    # XLA splits its own convolution among devices by the batch, but no loop over tiles of the batch
    on_several = compute(platform="several devices")

    def rule(context: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
        module = context.module_context
        where = module.axis_context
        if isinstance(where, mlir.ShardingContext) and where.num_devices > 1:
            return on_several(context, *operands, **params)
        goes = module.lowering_parameters.for_export and not onednn.stays()
        lower = elsewhere if goes else here
        return lower(context, *operands, **params)

    mlir.register_lowering(conv_p, rule, platform=platform)


def lowering_platform() -> str:
    """The name by which programs for JAX's default devices are lowered: of GPUs the maker's platform.

    >>> lowering_platform()
    'cpu'
    """
    device = jax.devices()[0]
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"


for _platform in (*PLATFORMS, None):
    _register(_platform)
