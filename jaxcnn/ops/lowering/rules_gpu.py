"""Which lowering is the fastest where, on GPUs.

Measured by experiments/benchmarks/lowerings.py on an H100 (jax 0.11.2, cuDNN 9.19), in float32, of which TF32
is the default, and in bfloat16. What cuDNN has a kernel for is left to it, through XLA: dense
convolutions, and depthwise ones on two axes of up to 5 × 5 taps without dilation.
"""

from math import prod

from jaxcnn.ops.lowering.direct import Direct
from jaxcnn.ops.lowering.dot import Dot
from jaxcnn.ops.lowering.fft import Fft
from jaxcnn.ops.lowering.lowering import Form
from jaxcnn.ops.lowering.merged import Merged
from jaxcnn.ops.lowering.onednn import OneDnn
from jaxcnn.ops.lowering.products import HalfProducts
from jaxcnn.ops.lowering.rules import Rule, Table, by_name, dense, depthwise, strided
from jaxcnn.ops.lowering.shift import Summed
from jaxcnn.ops.lowering.spec import Problem
from jaxcnn.ops.lowering.strides import Unstriding
from jaxcnn.ops.lowering.tiles import Tiles
from jaxcnn.ops.lowering.winograd import Winograd

TILE_BYTES = 1 << 30
"""Of unfolded pixels: a GPU wants as much work at once as its memory holds."""


def _dilated(problem: Problem) -> bool:
    gaps = zip(problem.taps, problem.spec.dilation, strict=True)
    return any(taps > 1 and gap > 1 for taps, gap in gaps)


def _foreign(problem: Problem) -> bool:
    """Whether cuDNN has no kernel of its own for a depthwise convolution."""
    return problem.spec.ndim != 2 or _dilated(problem) or problem.features > 1


def _narrow(problem: Problem, form: Form) -> bool:
    """Whether groups are worth merging: for the kernel gradient sooner than for the rest."""
    width = min(problem.channels, problem.features)
    wide = depthwise(problem) or width >= (64 if form == "kernel" else 32)
    return problem.spec.ndim == 2 and not wide and problem.macs >= 4e8


GPU = Table(
    by_name(
        Direct(),
        OneDnn(),
        Dot(HalfProducts()),
        Summed(),
        Unstriding(Tiles(HalfProducts(), TILE_BYTES)),
        Winograd(HalfProducts()),
        Fft(),
        Merged(Direct()),
    ),
    (
        Rule(
            "fft",
            lambda p, form: depthwise(p) and prod(p.taps) > 128 and p.spec.ndim == 2,
            "depthwise, many taps: spectra take a tenth of cuDNN's time",
        ),
        Rule(
            "shift",
            lambda p, form: depthwise(p) and _foreign(p),
            "depthwise, and not of the kind that cuDNN has a kernel for: up to 20 times as fast",
        ),
        Rule(
            "shift",
            lambda p, form: depthwise(p) and form == "input" and strided(p),
            "depthwise, strided: a fused loop for each phase takes half of cuDNN's time",
        ),
        Rule(
            "shift",
            lambda p, form: depthwise(p) and form == "kernel" and prod(p.taps) > 25,
            "depthwise, more than 5×5 taps in float32: cuDNN has no kernel for this gradient",
            bits=32,
        ),
        Rule(
            "shift",
            lambda p, form: depthwise(p) and form != "kernel",
            "depthwise: lanes are channels of one fused loop",
            lanes=True,
        ),
        Rule(
            "tiles",
            lambda p, form: form == "kernel" and not depthwise(p) and _dilated(p),
            "dilated: cuDNN takes 2 to 40 times as long as products of matrices for this gradient",
        ),
        Rule(
            "tiles",
            lambda p, form: not dense(p) and set(p.taps) == {1} and min(p.channels, p.features) >= 32,
            "groups of one tap: a batched product of matrices",
        ),
        Rule(
            "merged",
            lambda p, form: form == "kernel" and _narrow(p, form),
            "narrow groups: this gradient is found sooner for wider ones, zeros among them",
        ),
        Rule(
            "merged",
            lambda p, form: _narrow(p, form),
            "narrow groups in half precision: wider ones fill the units that multiply matrices",
            bits=16,
        ),
        Rule(
            "dot",
            lambda p, form: True,
            "lanes of one tap or one window: a batched product of matrices",
            lanes=True,
        ),
        Rule(
            "tiles",
            lambda p, form: form == "kernel" and dense(p) and p.channels <= 64 and prod(p.input) <= 1 << 22,
            "lanes: batched products of matrices take a fifth of a grouped convolution's time",
            lanes=True,
        ),
    ),
)
"""For what cuDNN, as XLA calls it, does not do best."""
