"""Which lowering is the fastest where, on CPUs: tables of measured rules.

Measured by experiments/benchmarks/conv.py, over its table and over random shapes, in float32 on two cores of
x86 (AMD Zen 4, Intel Sapphire Rapids); half precision is computed in float32 there by every lowering and by
XLA itself. A rule is taken only where the time it saves in a call is worth what it costs to compile.
"""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from jaxcnn.ops.lowering.direct import Canonical
from jaxcnn.ops.lowering.dot import Dot
from jaxcnn.ops.lowering.fft import Fft
from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.merged import Merged
from jaxcnn.ops.lowering.onednn import OneDnn, OneDnnProducts
from jaxcnn.ops.lowering.products import Products
from jaxcnn.ops.lowering.shift import Shift
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.strides import Unstriding
from jaxcnn.ops.lowering.tiles import Tiles
from jaxcnn.ops.lowering.winograd import Winograd


class Rule(NamedTuple):
    """The name of a lowering, where it is chosen, and what was measured there.

    Attributes:
      way: the name.
      applies: whether it is chosen for a form of a convolution.
      reason: in words.
      bits: of the numbers that it is chosen for; None: all.
      lanes: whether it is chosen for lanes, or for one convolution; None: both.
    """

    way: str
    applies: Callable[[Problem, Form], bool]
    reason: str
    bits: int | None = None
    lanes: bool | None = None


class Table(NamedTuple):
    """Lowerings by name, and the rules, of which the first that applies is taken; else ``"direct"``."""

    ways: dict[str, Lowering]
    rules: tuple[Rule, ...]


def by_name(*ways: Lowering) -> dict[str, Lowering]:
    """A table's lowerings."""
    return {way.name: way for way in ways}


def dense(problem: Problem) -> bool:
    """Whether there is one group."""
    return problem.spec.groups == 1


def depthwise(problem: Problem) -> bool:
    """Whether each channel is a group."""
    return problem.channels == 1 and problem.spec.groups > 1


def strided(problem: Problem) -> bool:
    """Whether windows are more than a pixel apart."""
    return set(problem.spec.strides) != {1}


def _ways(products: Products) -> dict[str, Lowering]:
    return by_name(
        Canonical(),
        OneDnn(),
        Dot(products),
        Shift(),
        Unstriding(Tiles(products)),
        Winograd(products),
        Fft(),
        Merged(Canonical()),
    )


def _large(problem: Problem, form: Form) -> bool:
    """Whether the taps outweigh the transforms, by experiments/benchmarks/fft.py on two axes.

    With 16 channels and features that is from 9 × 9 taps on, with 64 from 21 × 21, with one (depthwise) where
    there are too many to write out; on one axis it was not seen up to 31 taps.
    """
    taps, wide = prod(problem.taps), max(problem.channels, problem.features) * prod(problem.spec.strides)
    enough = max((16 if form == "kernel" else 10) * wide, 81)
    return problem.spec.ndim == 2 and taps >= enough and problem.macs >= 1e7


_PRODUCT = Rule(
    "dot", lambda p, form: True, "one tap or one window: a product of matrices runs 3× XLA's convolution"
)

PORTABLE = Table(
    _ways(Products()),
    (
        _PRODUCT,
        Rule(
            "shift",
            lambda p, form: p.macs >= (1e6 if form == "kernel" else 2e5),
            "depthwise: XLA's grouped convolution runs at 0.7 GFLOP/s, a fused loop at 80",
        ),
        Rule("fft", _large, "a large kernel: spectra cost the same for every size of it"),
        Rule(
            "winograd",
            lambda p, form: form != "kernel" and dense(p) and p.spec.ndim == 2 and p.macs >= 1e8,
            "3 taps, stride 1: XLA's convolution uses one core below 128 features, and all multiplications",
        ),
        Rule(
            "winograd",
            lambda p, form: p.spec.ndim == 3 and p.macs >= 1e7,
            "three axes: XLA has no fast convolution for them",
        ),
        Rule(
            "winograd",
            lambda p, form: not dense(p) and min(p.channels, p.features) >= 32 and p.macs >= 1e7,
            "wide groups: XLA's grouped convolution runs at a tenth of its dense one",
        ),
        Rule(
            "tiles",
            lambda p, form: (not dense(p) or p.spec.ndim == 3) and p.macs >= 1e6,
            "groups or three axes: XLA has no fast convolution for them",
        ),
    ),
)
"""For programs that may be kept or sent elsewhere: XLA's own operations alone."""


def _deep(problem: Problem) -> bool:
    """Whether the kernel gradient has rows enough for oneDNN's convolution: it takes each tap for a pixel."""
    taps, groups = prod(problem.taps), problem.spec.groups
    if depthwise(problem) or (dense(problem) and problem.spec.ndim == 1):
        return True
    long = strided(problem) and (groups > 1 or problem.macs >= 1.5e7)
    return problem.channels > 2 and (taps >= 16 or long or (taps >= 9 and groups > 4))


def _short(problem: Problem) -> bool:
    """Whether oneDNN finds the kernel gradient on one axis sooner than XLA."""
    wide = problem.channels > 64 or prod(problem.taps) < 7
    return problem.channels > 4 and (problem.macs < 1e7 or not wide)


def _image_by_image(problem: Problem) -> bool:
    """Whether oneDNN finds the kernel gradient of a depthwise convolution sooner than a fused loop."""
    taps, each = prod(problem.taps), problem.features == 1 and not strided(problem)
    if taps >= 16 and each:
        return True  # the loop would be fast, and take four times as long to compile
    if taps >= 16 or problem.spec.ndim == 3:
        return problem.macs >= 1e6 and (problem.macs < 1e7 or each)
    return each and problem.macs >= 4e5 * problem.input[0]


def _flat(problem: Problem) -> bool:
    """Whether XLA has a fast convolution for it."""
    return dense(problem) and problem.spec.ndim < 3


def _vast(problem: Problem) -> bool:
    """Whether taps outweigh the transforms for oneDNN's kernels: 21 × 21 of 8 channels, 31 × 31 of 16."""
    least, most = sorted((problem.channels, problem.features))
    enough = 50 * most * prod(problem.spec.strides)
    return problem.spec.ndim == 2 and least >= 8 and prod(problem.taps) >= enough and problem.macs >= 1e7


NATIVE = Table(
    _ways(OneDnnProducts()),
    (
        _PRODUCT,
        Rule("fft", lambda p, form: _vast(p), "a large kernel: spectra cost the same for every size of it"),
        Rule("shift", lambda p, form: form == "input" and strided(p), "depthwise, strided: one fused loop"),
        Rule(
            "shift",
            lambda p, form: form == "kernel" and not _image_by_image(p),
            "depthwise: one fused loop",
        ),
        Rule(
            "direct",
            lambda p, form: form != "kernel" and _flat(p) and p.macs < (1e7 if p.spec.ndim == 1 else 1.5e6),
            "small: a call of a kernel takes longer than XLA's convolution",
        ),
        Rule(
            "direct",
            lambda p, form: form == "input" and _flat(p) and prod(p.spec.strides) > 4 and p.macs < 1e7,
            "small and a long stride: one convolution for each of its phases would take long to compile",
        ),
        Rule(
            "direct",
            lambda p, form: (
                dense(p)
                and p.spec.ndim == 2
                and p.channels == 1
                and p.features >= 32
                and not (form == "input" and strided(p))
            ),
            "one channel: XLA's is the fastest",
        ),
        Rule(
            "direct",
            lambda p, form: (
                form != "output" and _flat(p) and 1 < p.channels <= 4 and prod(p.taps) < 16 and p.macs >= 1e6
            ),
            "a gradient with few channels: XLA's is the fastest",
        ),
        Rule(
            "winograd",
            lambda p, form: form == "kernel" and dense(p) and p.channels >= 16 and p.macs >= 1e8,
            "3 taps, stride 1: half the multiplications of products of matrices",
        ),
        Rule(
            "direct",
            lambda p, form: form == "kernel" and dense(p) and p.spec.ndim == 1 and not _short(p),
            "one axis: XLA's is as fast",
        ),
        Rule(
            "direct",
            lambda p, form: form == "kernel" and _flat(p) and 1e6 <= p.macs < 3.5e6 and not _deep(p),
            "small: tiles take longer to lay out than XLA's convolution",
        ),
        Rule(
            "tiles",
            lambda p, form: form == "kernel" and p.macs >= 1e6 and not _deep(p),
            "few taps: products of matrices over tiles",
        ),
        Rule(
            "onednn",
            lambda p, form: p.macs >= (1e6 if form == "kernel" else 5e5) or not dense(p),
            "a kernel compiled for the shape, which copies nothing",
        ),
        Rule(
            "shift", lambda p, form: True, "depthwise, with gaps between taps in groups that cannot be joined"
        ),
        Rule("tiles", lambda p, form: not dense(p), "groups: XLA has no fast convolution for them"),
    ),
)
"""For programs that are compiled where they run."""
