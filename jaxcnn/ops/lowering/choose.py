"""Which lowering computes a form of a convolution: a table of measured rules."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcnn.errors import nearest
from jaxcnn.ops.lowering.direct import Canonical, Direct
from jaxcnn.ops.lowering.dot import Dot
from jaxcnn.ops.lowering.fft import Fft
from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.shift import Shift
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.strides import Unstriding
from jaxcnn.ops.lowering.tiles import Tiles
from jaxcnn.ops.lowering.winograd import Winograd


class Choice(NamedTuple):
    """A lowering and why it was chosen."""

    way: Lowering
    reason: str


class Rule(NamedTuple):
    """A lowering, where it is chosen, and what was measured there."""

    way: Lowering
    applies: Callable[[Problem, Form], bool]
    reason: str


_DIRECT, _CANONICAL = Direct(), Canonical()
_DOT, _FFT, _SHIFT, _TILES, _WINOGRAD = Dot(), Fft(), Shift(), Unstriding(Tiles()), Winograd()
_WAYS: dict[str, Lowering] = {way.name: way for way in (_CANONICAL, _DOT, _SHIFT, _TILES, _WINOGRAD, _FFT)}

NAMES = ("auto", *_WAYS)
"""What the argument ``lowering`` may be."""


def _large(problem: Problem, form: Form) -> bool:
    """Whether the taps outweigh the transforms, by experiments/benchmarks/fft.py on two axes.

    With 16 channels and features that is from 9 × 9 taps on, with 64 from 21 × 21, with one (depthwise) where
    there are too many to write out; on one axis it was not seen up to 31 taps.
    """
    taps, wide = prod(problem.taps), max(problem.channels, problem.features) * prod(problem.spec.strides)
    enough = max((16 if form == "kernel" else 10) * wide, 81)
    return problem.spec.ndim == 2 and taps >= enough and problem.macs >= 1e7


# Measured by experiments/benchmarks/conv.py on two cores of an AMD EPYC (Zen 4), jax 0.10.2, float32; half
# precision is computed in float32 there by every lowering and by XLA itself. A rule is taken only where the
# time it saves in a call is worth the tens of milliseconds that XLA takes to compile a loop of its own.
_CPU = (
    Rule(_DOT, lambda p, form: True, "one tap: XLA's product runs 3× its convolution"),
    Rule(
        _SHIFT,
        lambda p, form: p.macs >= (1e6 if form == "kernel" else 2e5),
        "depthwise: XLA's grouped convolution runs at 0.7 GFLOP/s, a fused loop at 80",
    ),
    Rule(_FFT, lambda p, form: _large(p, form), "a large kernel: spectra cost the same for every size of it"),
    Rule(
        _WINOGRAD,
        lambda p, form: form != "kernel" and p.spec.groups == 1 and p.spec.ndim == 2 and p.macs >= 1e8,
        "3 taps, stride 1: XLA's convolution uses one core below 128 features, and all the multiplications",
    ),
    Rule(
        _WINOGRAD,
        lambda p, form: p.spec.ndim == 3 and p.macs >= 1e7,
        "three axes: XLA has no fast convolution for them",
    ),
    Rule(
        _WINOGRAD,
        lambda p, form: p.spec.groups > 1 and min(p.channels, p.features) >= 32 and p.macs >= 1e7,
        "wide groups: XLA's grouped convolution runs at a tenth of its dense one",
    ),
    Rule(
        _TILES,
        lambda p, form: (p.spec.groups > 1 or p.spec.ndim == 3) and p.macs >= 1e6,
        "groups or three axes: XLA has no fast convolution for them",
    ),
)


def choose(problem: Problem, form: Form, dtype: DTypeLike, platform: str, lowering: str = "auto") -> Choice:
    """Choose how to compute one form of a convolution.

    Args:
      problem: the convolution.
      form: what is computed: the output or the gradient by input or kernel.
      dtype: of the arrays.
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``.
      lowering: a name, which holds for each form that it can compute, or ``"auto"``.

    Returns:
      The lowering and the reason in words.
    """
    direct = _CANONICAL if platform == "cpu" else _DIRECT
    if lowering != "auto":
        way = _WAYS[lowering]
        if way is _CANONICAL:
            return Choice(direct, "asked for")
        needs = way.refuses(problem, form)
        if way in (_FFT, _WINOGRAD) and not jnp.issubdtype(dtype, jnp.floating):
            needs = "floating numbers"  # its coefficients are none that integers hold
        if needs is None:
            return Choice(way, "asked for")
        return Choice(direct, f"{lowering} was asked for, but for the {form} it needs {needs}")
    if platform != "cpu":
        return Choice(direct, f"{platform} is not measured")
    if not jnp.issubdtype(dtype, jnp.floating):
        return Choice(direct, f"{jnp.dtype(dtype)} is not measured")
    if not all(isinstance(size, int) and size for size in (*problem.input, *problem.kernel)):
        return Choice(direct, "the shape is empty or not known")
    for way, applies, reason in _CPU:
        if way.refuses(problem, form) is None and applies(problem, form):
            return Choice(way, reason)
    return Choice(direct, "no other was measured to be faster, or there is too little to do to compile one")


def check(problem: Problem, lowering: str) -> None:
    """Refuse a name that is not known or cannot compute the output.

    Raises:
      ValueError: either of them.
    """
    if lowering not in NAMES:
        raise ValueError(f"lowering={lowering!r} is not known; {nearest(lowering, NAMES)}")
    if lowering == "auto":
        return
    needs = _WAYS[lowering].refuses(problem, "output")
    if needs is not None:
        raise ValueError(
            f"lowering={lowering!r} cannot compute x of shape {problem.input} by a kernel of shape "
            f"{problem.kernel} with {_numbers(problem)}: it needs {needs}; use lowering='auto'"
        )


def _numbers(problem: Problem) -> str:
    return ", ".join(f"{name}={value}" for name, value in problem.spec._asdict().items())
