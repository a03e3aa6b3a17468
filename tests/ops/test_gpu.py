"""The lowerings for GPUs, computed here; and where they are chosen, against what was measured there."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops.lowering import ConvSpec, Problem, choose
from jaxcnn.ops.lowering.primitive import bind, operands
from jaxcnn.ops.lowering.rules_gpu import GPU
from tests.ops.test_lowering import LARGER, TOLERANCE, assert_close, in_float64, normal

FORMS = ("output", "input", "kernel")
EPSILON = {jnp.bfloat16: 2**-8, jnp.float16: 2**-11}


def by_each(kind, dtype):
    """The tensors, and for each lowering and form a function of the two others, if it can."""
    problem = LARGER[kind]
    shapes = {"input": problem.input, "kernel": problem.kernel, "output": problem.output}
    tensors = {name: normal(*shape).astype(dtype) for name, shape in shapes.items()}
    for name, way in GPU.ways.items():
        for form in FORMS:
            if form == "input" and name in ("direct", "merged") and "wider" in kind:
                continue  # before jaxlib 0.12, XLA on CPU reads beyond the array where padding is negative
            if name != "onednn" and way.refuses(problem, form) is None:
                compute = jax.jit(lambda a, b, w=way, f=form: getattr(w, f)(a, b, problem))
                yield tensors, name, form, way, compute


def exact(tensors, form, problem):
    """One form in NumPy's float64."""
    x, kernel, y = (np.asarray(tensors[name], np.float64) for name in ("input", "kernel", "output"))
    return in_float64(x, kernel, y, problem)[FORMS.index(form)]


@pytest.mark.parametrize("kind", LARGER)
def test_every_lowering_is_numpys(kind):
    problem, seen = LARGER[kind], 0
    for tensors, name, form, _, compute in by_each(kind, jnp.float32):
        actual = compute(*(tensors[each] for each in operands(form)))
        assert_close(actual, exact(tensors, form, problem), TOLERANCE[name])
        seen += 1
    assert seen >= 9  # direct, tiles and fft always


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("kind", ["dilated", "narrow groups", "pointwise", "one window"])
def test_half_precision_is_summed_in_float32(kind, dtype):
    problem = LARGER[kind]
    for tensors, _, form, way, compute in by_each(kind, dtype):
        if not way.takes_half(problem, form):
            continue
        expected = exact(tensors, form, problem)
        actual = np.asarray(compute(*(tensors[n] for n in operands(form))).astype(dtype), np.float64)
        # rounded once, to the nearest: half a unit in the last place, and the rounding of float32 sums
        error = np.abs(actual - expected)
        assert np.all(error <= 0.51 * 2 * EPSILON[dtype] * np.abs(expected) + 1e-4 * np.abs(expected).max())


RESULTS = Path(__file__).parents[2] / "experiments" / "results" / "lowerings_h100.json"
MEASURED = json.loads(RESULTS.read_text())["rows"]
KERNEL_GRADIENT = ("shift: a sum for each tap, images first", "shift: a sum for each tap")
"""What ``shift`` is for this form on a GPU; the second where the first was not measured."""
OUTLIER = ("8·56²·96 depthwise 5×5", "float32", "output")
"""XLA chose a slow kernel of cuDNN here; the same convolution as an input gradient took a fifteenth."""


def problem_of(row):
    pairs = tuple(map(tuple, row["padding"]))
    spec = ConvSpec(tuple(row["strides"]), pairs, tuple(row["dilation"]), row["groups"])
    return Problem(tuple(row["input"]), tuple(row["kernel"]), spec)


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['shape']} {row['dtype']} {row['form']}")
def test_the_choice_is_not_slower_than_what_was_measured(row):
    ours = {way: ms for way, ms in row["ms"].items() if not way.startswith("torch")}
    chosen = choose(problem_of(row), row["form"], row["dtype"], "cuda").way.name
    named = KERNEL_GRADIENT if (chosen, row["form"]) == ("shift", "kernel") else (chosen,)
    took = [ours[way] for way in named if way in ours]
    if not took:
        assert row["shape"].endswith("1×1 in 4 groups")  # one was not compiled in time
        return
    assert took[0] <= 1.1 * ours["direct"]
    if (row["shape"], row["dtype"], row["form"]) != OUTLIER:
        assert took[0] <= 1.45 * min(ours.values())


def test_lanes_are_batched_products_where_that_is_faster():
    def chosen(shapes, form, lanes):
        spec = ConvSpec((1, 1), ((shapes[1][0] // 2,) * 2,) * 2, (1, 1))
        return choose(Problem(*shapes, spec), form, jnp.float32, "cuda", lanes=lanes).way.name

    small, pointwise = ((64, 8, 8, 16), (3, 3, 16, 16)), ((64, 28, 28, 256), (1, 1, 256, 64))
    assert [chosen(small, form, True) for form in FORMS] == ["direct", "direct", "tiles"]
    assert [chosen(pointwise, form, True) for form in FORMS] == ["dot"] * 3
    assert {chosen(shapes, form, False) for shapes in (small, pointwise) for form in FORMS} == {"direct"}


@pytest.mark.parametrize("form", FORMS)
def test_lanes_for_a_gpu_are_lowered_as_chosen(form):
    """Of eight lanes the kernel gradient is computed lane by lane, the rest as one grouped convolution."""
    problem = Problem((4, 8, 8, 128), (3, 3, 128, 128), ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1)))
    shapes = {"input": problem.input, "kernel": problem.kernel, "output": problem.output}
    lanes = [jax.ShapeDtypeStruct((8, *shapes[name]), jnp.float32) for name in operands(form)]
    one = jax.jit(
        jax.vmap(lambda a, b: bind(form, dict(zip(operands(form), (a, b), strict=True)), problem, "auto"))
    )
    text = one.trace(*lanes).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == (8 if form == "kernel" else 1)
