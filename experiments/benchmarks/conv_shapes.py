"""The convolutions that are measured: a fixed table, and as many as wished at random."""

import math
import random

from jaxcnn.ops import geometry
from jaxcnn.ops.lowering import ConvSpec, Problem


def shape(
    batch: int,
    spatial: tuple[int, ...],
    channels: int,
    features: int,
    taps: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: geometry.Padding | None = None,
) -> Problem:
    """A convolution with the same taps, stride and dilation on every axis; half the extent as padding."""
    ndim = len(spatial)
    sizes, steps, gaps = (taps,) * ndim, (stride,) * ndim, (dilation,) * ndim
    padding = geometry.extent(taps, dilation) // 2 if padding is None else padding
    pads = geometry.resolve_padding(padding, spatial, sizes, steps, gaps)
    spec = ConvSpec(steps, tuple(axis.pair for axis in pads), gaps, groups)
    return Problem((batch, *spatial, channels), (*sizes, channels // groups, features), spec)


SHAPES = {
    "8·56²·64→64 3×3": shape(8, (56, 56), 64, 64, 3),
    "8·14²·256→256 3×3": shape(8, (14, 14), 256, 256, 3),
    "64·32²·64→64 3×3": shape(64, (32, 32), 64, 64, 3),
    "8·56²·256→64 1×1": shape(8, (56, 56), 256, 64, 1),
    "8·224²·3→64 7×7 stride 2": shape(8, (224, 224), 3, 64, 7, stride=2),
    "256·8²·1→32 3×3": shape(256, (8, 8), 1, 32, 3),
    "8·56²·64→64 3×3 dilation 2": shape(8, (56, 56), 64, 64, 3, dilation=2),
    "8·56²·128 depthwise 3×3": shape(8, (56, 56), 128, 128, 3, groups=128),
    "8·56²·128 depthwise 3×3 stride 2": shape(8, (56, 56), 128, 128, 3, stride=2, groups=128),
    "8·56²·96 depthwise 7×7": shape(8, (56, 56), 96, 96, 7, groups=96),
    "8·28²·256→256 3×3 in 32 groups": shape(8, (28, 28), 256, 256, 3, groups=32),
    "8·28²·256→256 3×3 in 4 groups": shape(8, (28, 28), 256, 256, 3, groups=4),
    "16·1024·64→64 k3 causal dilation 8": shape(16, (1024,), 64, 64, 3, dilation=8, padding="CAUSAL"),
    "4·16×32×32·16→32 3×3×3": shape(4, (16, 32, 32), 16, 32, 3),
}

MORE = {
    "8·56²·128 depthwise 3×3 dilation 2": shape(8, (56, 56), 128, 128, 3, dilation=2, groups=128),
    "8·28²·64→128 depthwise 3×3": shape(8, (28, 28), 64, 128, 3, groups=64),
    "16·1024·512 depthwise k4 causal": shape(16, (1024,), 512, 512, 4, groups=512, padding="CAUSAL"),
    "4·16³·64 depthwise 3×3×3": shape(4, (16, 16, 16), 64, 64, 3, groups=64),
    "8·56²·96 depthwise 5×5": shape(8, (56, 56), 96, 96, 5, groups=96),
    "1·28²·192 depthwise 31×31": shape(1, (28, 28), 192, 192, 31, groups=192),
    "8·28²·256→256 3×3 in 32 groups dilation 2": shape(8, (28, 28), 256, 256, 3, dilation=2, groups=32),
    "8·28²·256→256 3×3 in 32 groups stride 2": shape(8, (28, 28), 256, 256, 3, stride=2, groups=32),
    "1·28²·1024→1024 3×3 in 32 groups": shape(1, (28, 28), 1024, 1024, 3, groups=32),
    "4·16³·64→64 3×3×3 in 8 groups": shape(4, (16, 16, 16), 64, 64, 3, groups=8),
    "8·28²·256→256 1×1 in 4 groups": shape(8, (28, 28), 256, 256, 1, groups=4),
    "8·14²·256→256 3×3 dilation 2": shape(8, (14, 14), 256, 256, 3, dilation=2),
    "8·56²·128→256 4×4 stride 2": shape(8, (56, 56), 128, 256, 4, stride=2, padding=1),
}
"""What GPUs are slow at with plain JAX; the gradient by the input of the last is a transposed convolution."""


def draw(count: int, seed: int, least: float = 3e5, most: float = 3e8) -> dict[str, Problem]:
    """Convolutions of every kind at random, of ``least`` to ``most`` multiply-accumulates."""
    rng = random.Random(seed)
    found: dict[str, Problem] = {}
    while len(found) < count:
        ndim = rng.choice([1, 2, 2, 2, 3])
        taps = rng.choice([1, 2, 3, 3, 3, 4, 5, 7][: 8 if ndim < 3 else 5])
        size = rng.choice([[64, 128, 250, 512], [7, 14, 15, 28, 32, 56], [5, 8, 12, 16]][ndim - 1])
        kind = rng.choice(["dense", "dense", "grouped", "depthwise"])
        channels = rng.choice([1, 3, 8, 16, 24, 32, 48, 64, 96, 128, 256])
        groups = {"dense": 1, "depthwise": channels}.get(kind, rng.choice([2, 3, 4, 8, 16, 32]))
        if channels % groups or (kind != "dense" and channels < 2):
            continue
        features = (
            channels * rng.choice([1, 1, 2]) if kind != "dense" else rng.choice([8, 16, 32, 64, 100, 256])
        )
        if features % groups:
            continue
        stride, dilation = rng.choice([1, 1, 1, 2, 3]), rng.choice([1, 1, 1, 2])
        paddings: list[geometry.Padding] = ["SAME", "SAME", "VALID", 1]
        padding = rng.choice(paddings)
        batch = rng.choice([1, 2, 4, 8, 16, 32])
        if padding != "SAME" and geometry.extent(taps, dilation) > size:
            continue
        numbers = {"stride": stride, "dilation": dilation, "groups": groups}
        problem = shape(batch, (size,) * ndim, channels, features, taps, **numbers, padding=padding)
        if not least <= problem.macs <= most or math.prod(problem.output) > 3e7:
            continue
        said = " ".join(f"{name} {value}" for name, value in numbers.items() if value != 1)
        found[f"{batch}·{size}^{ndim}·{channels}→{features} k{taps} {padding} {said}"] = problem
    return found
