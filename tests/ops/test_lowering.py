"""Every lowering against NumPy in float64, and the calculus of the primitive against JAX's own."""

import re
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn import ops
from jaxcnn.ops import lowering
from jaxcnn.ops.lowering import ConvSpec, Problem, choose
from tests.ops import needs_onednn

NAMED = [name for name in lowering.NAMES if name != "auto"]
# Of the largest value: rounding of sums of some hundred terms, amplified by Winograd's transforms.
TOLERANCE = dict.fromkeys(lowering.NAMES, 2e-6) | {"winograd": 2e-5, "auto": 2e-5, "fft": 1e-5}

rng = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def compiled_as_for_anyone():
    """XLA rewrites convolutions when it optimizes; elsewhere in the tests it does not."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def normal(*shape, dtype=np.float32):
    return jnp.asarray(rng.standard_normal(shape), dtype)


def windows(x, tap, problem):
    """The pixels of the padded input that a tap reads, as a view."""
    spec = problem.spec
    place = [slice(None)]
    for axis, index in enumerate(tap):
        start = index * spec.dilation[axis]
        stop = start + (problem.output[axis + 1] - 1) * spec.strides[axis] + 1
        place.append(slice(start, stop, spec.strides[axis]))
    return x[tuple(place)]


def in_float64(x, kernel, y, problem):
    """Output, input gradient and kernel gradient, tap by tap in NumPy."""
    groups = problem.spec.groups
    edges = [(0, 0), *problem.spec.padding, (0, 0)]
    x = np.pad(np.asarray(x, np.float64), edges)
    kernel = np.asarray(kernel, np.float64).reshape(*problem.taps, problem.channels, groups, problem.features)
    y = np.asarray(y, np.float64).reshape(*problem.output[:-1], groups, problem.features)
    split = x.reshape(*x.shape[:-1], groups, problem.channels)
    output, by_x, by_kernel = np.zeros_like(y), np.zeros_like(split), np.zeros_like(kernel)
    for tap in product(*map(range, problem.taps)):
        seen = windows(split, tap, problem)
        output += np.einsum("...gc,cgf->...gf", seen, kernel[tap])
        windows(by_x, tap, problem)[...] += np.einsum("...gf,cgf->...gc", y, kernel[tap])
        by_kernel[tap] = np.einsum("pgc,pgf->cgf", *(v.reshape(-1, *v.shape[-2:]) for v in (seen, y)))
    inside = tuple(slice(low, size - high) for size, (low, high) in zip(x.shape, edges, strict=True))
    return (
        output.reshape(problem.output),
        by_x.reshape(x.shape)[inside],
        by_kernel.reshape(problem.kernel),
    )


def assert_close(actual, expected, tolerance):
    for got, want in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(
            got, want, rtol=0, atol=tolerance * max(np.max(np.abs(want), initial=0), 1)
        )


def can(name, problem):
    """Whether a lowering accepts the convolution."""
    try:
        lowering.check(problem, name)
    except ValueError:
        return False
    return True


@st.composite
def problems(draw):
    """Small convolutions of every kind, half of them with the strides and taps that the fast ways want."""
    ndim = draw(st.integers(1, 3))

    def axes(values):
        return tuple(draw(st.tuples(*[values] * ndim)))

    fast = draw(st.booleans())
    taps = axes(st.just(3) if fast else st.integers(1, 4 if ndim < 3 else 3))
    strides = axes(st.just(1) if fast else st.integers(1, 3))
    dilation = axes(st.integers(1, 2))
    padding = axes(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    least = [
        max((k - 1) * d + 1 - low - high, 1)
        for k, d, (low, high) in zip(taps, dilation, padding, strict=True)
    ]
    sizes = tuple(draw(st.integers(size, size + 6)) for size in least)
    kind = draw(st.sampled_from(["dense", "grouped", "depthwise"]))
    groups = 1 if kind == "dense" else draw(st.integers(2, 4))
    channels = 1 if kind == "depthwise" else draw(st.integers(1, 4))
    features = groups * draw(st.integers(1, 3))
    batch = draw(st.integers(1, 3))
    spec = ConvSpec(strides, padding, dilation, groups)
    return Problem((batch, *sizes, groups * channels), (*taps, channels, features), spec)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problems())
def test_every_lowering_is_numpys_with_both_gradients(problem):
    x, kernel, y = normal(*problem.input), normal(*problem.kernel), normal(*problem.output)
    names = [name for name in lowering.NAMES if can(name, problem)]

    @jax.jit
    def all_of_them(x, kernel, y):
        results = []
        for name in names:
            value, pull = jax.vjp(lambda x, k, n=name: lowering.compute(x, k, problem.spec, n), x, kernel)
            results.append((value, *pull(y)))
        return results

    expected = in_float64(x, kernel, y, problem)
    for name, result in zip(names, all_of_them(x, kernel, y), strict=True):
        assert_close(result, expected, TOLERANCE[name])


# Larger ones, so that several tiles of the batch, blocks of groups and tiles of rows are met, and "auto" has
# reason to leave the direct form.
LARGER = {
    "dense": Problem((6, 18, 17, 24), (3, 3, 24, 20), ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1))),
    "dilated": Problem((2, 19, 9, 8), (3, 2, 8, 8), ConvSpec((1, 1), ((3, 2), (0, 2)), (3, 2))),
    "sequence": Problem((2, 37, 8), (3, 8, 8), ConvSpec((1,), ((4, 0),), (2,))),
    "volume": Problem((2, 7, 9, 8, 8), (3, 3, 3, 8, 16), ConvSpec((1,) * 3, ((1, 1),) * 3, (1,) * 3)),
    "strided volume": Problem((2, 9, 9, 8, 8), (3, 3, 3, 8, 8), ConvSpec((2,) * 3, ((1, 1),) * 3, (1,) * 3)),
    "narrow groups": Problem((2, 12, 12, 64), (3, 3, 4, 64), ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 16)),
    "wide groups": Problem((2, 11, 10, 66), (3, 3, 33, 70), ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 2)),
    "strided groups": Problem((2, 13, 12, 32), (5, 3, 8, 16), ConvSpec((2, 2), ((2, 2), (1, 1)), (1, 1), 4)),
    "depthwise": Problem((2, 13, 11, 48), (7, 7, 1, 48), ConvSpec((1, 1), ((3, 3),) * 2, (1, 1), 48)),
    "multiplied": Problem((2, 14, 14, 24), (3, 3, 1, 48), ConvSpec((2, 2), ((0, 1),) * 2, (1, 1), 24)),
    "depthwise with gaps": Problem(
        (2, 9, 11, 48), (3, 3, 1, 48), ConvSpec((1, 2), ((2, 2),) * 2, (2, 1), 48)
    ),
    "depthwise sequence": Problem((2, 29, 24), (3, 1, 24), ConvSpec((2,), ((2, 0),), (1,), 24)),
    "depthwise volume": Problem(
        (2, 5, 6, 7, 6), (3, 3, 3, 1, 12), ConvSpec((2,) * 3, ((1, 1),) * 3, (1,) * 3, 6)
    ),
    "padding wider than the taps": Problem((1, 10, 16), (3, 8, 16), ConvSpec((1,), ((5, 0),), (1,), 2)),
    "pointwise": Problem((2, 9, 9, 16), (1, 1, 16, 24), ConvSpec((2, 2), ((0, 0),) * 2, (1, 1))),
    "one window": Problem((3, 4, 5, 6), (4, 5, 6, 7), ConvSpec((2, 1), ((0, 0), (0, 0)), (1, 1))),
    "one row": Problem((2, 1, 16, 8), (1, 5, 8, 8), ConvSpec((1, 1), ((0, 0), (2, 2)), (1, 1))),
}


@pytest.mark.parametrize("kind", LARGER)
def test_larger_convolutions_of_each_kind(kind):
    problem = LARGER[kind]
    x, kernel, y = normal(*problem.input), normal(*problem.kernel), normal(*problem.output)
    names = [name for name in lowering.NAMES if can(name, problem)]

    @jax.jit
    def all_of_them(x, kernel, y):
        return [
            (compute(x, kernel), *jax.vjp(compute, x, kernel)[1](y))
            for compute in (lambda x, k, n=name: lowering.compute(x, k, problem.spec, n) for name in names)
        ]

    expected = in_float64(x, kernel, y, problem)
    for name, result in zip(names, all_of_them(x, kernel, y), strict=True):
        assert_close(result, expected, TOLERANCE[name])


SMALL = {
    "direct": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((2, 1), ((1, 0), (1, 1)), (1, 2), 2)),
    "dot": Problem((2, 5, 6, 4), (1, 1, 4, 3), ConvSpec((2, 1), ((0, 0), (0, 0)), (1, 1))),
    "shift": Problem((2, 5, 6, 3), (3, 2, 1, 6), ConvSpec((2, 1), ((1, 0), (1, 1)), (1, 2), 3)),
    "tiles": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((1, 2), ((1, 0), (1, 1)), (2, 1), 2)),
    "onednn": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((2, 1), ((1, 0), (1, 1)), (1, 2), 2)),
    "merged": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((2, 1), ((1, 0), (1, 1)), (1, 2), 2)),
    "fft": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((1, 2), ((1, 0), (1, 1)), (1, 2), 2)),
    "winograd": Problem((2, 5, 6, 4), (3, 2, 2, 6), ConvSpec((1, 1), ((1, 0), (1, 1)), (1, 2), 2)),
}


def ways(name):
    """A problem, the lowering, and JAX's own convolution."""
    problem = SMALL[name]
    spec = problem.spec

    def own(x, kernel):
        numbers = lowering.dimension_numbers(spec.ndim)
        return lax.conv_general_dilated(
            x, kernel, spec.strides, spec.padding, None, spec.dilation, numbers, spec.groups
        )

    return problem, lambda x, kernel: lowering.compute(x, kernel, spec, name), own


def loss(convolve):
    return lambda x, kernel: jnp.sum(jnp.tanh(convolve(x, kernel)) ** 2)


def test_a_small_problem_stands_for_each_lowering():
    assert set(SMALL) == set(NAMED)
    assert all(can(name, problem) for name, problem in SMALL.items())


@pytest.mark.parametrize("name", NAMED)
def test_derivatives_of_every_order_are_jaxs(name):
    problem, ours, own = ways(name)
    shapes = (problem.input, problem.kernel) * 2

    def derivatives(convolve):
        gradient = jax.grad(loss(convolve), (0, 1))

        def flatness(x, kernel):
            return sum(jnp.sum(part**2) for part in gradient(x, kernel))

        return (
            jax.jvp(convolve, (x, kernel), (dx, dk)),
            jax.jvp(gradient, (x, kernel), (dx, dk)),  # Hessian times vector, forward over reverse
            jax.grad(flatness, (0, 1))(x, kernel),  # reverse over reverse
            jax.jacfwd(convolve, 1)(x, kernel),
            jax.linearize(convolve, x, kernel)[1](dx, dk),
        )

    x, kernel, dx, dk = (normal(*shape) for shape in shapes)
    expected = jax.jit(lambda: derivatives(own))()  # in float32: XLA aborts on some of these in float64
    wide = name != "onednn"  # which knows no float64
    with jax.enable_x64(wide):  # where Winograd's rounding, magnified by each derivative, is no matter
        dtype = np.float64 if wide else np.float32
        x, kernel, dx, dk = (jnp.asarray(np.asarray(value), dtype) for value in (x, kernel, dx, dk))
        assert_close(jax.jit(lambda: derivatives(ours))(), expected, 2e-5)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, -1)])
def test_vmap_is_a_loop(name, axes):
    problem, ours, own = ways(name)
    shapes = (problem.input, problem.kernel)
    count = 9 if name == "onednn" and axes == (0, 0) else 3  # lanes in a loop, and a few written out
    x, kernel = (
        jnp.moveaxis(normal(count, *shape), 0, axis) if axis is not None else normal(*shape)
        for shape, axis in zip(shapes, axes, strict=True)
    )

    def lane(index):
        return [
            value if axis is None else jnp.take(value, index, axis)
            for value, axis in zip((x, kernel), axes, strict=True)
        ]

    def both(convolve):
        return lambda x, kernel: (convolve(x, kernel), jax.grad(loss(convolve), (0, 1))(x, kernel))

    mapped = jax.jit(jax.vmap(both(ours), axes))(x, kernel)
    looped = jax.jit(lambda: [both(own)(*lane(index)) for index in range(count)])()
    assert_close(mapped, jax.tree.map(lambda *lanes: jnp.stack(lanes), *looped), 2e-5)


def test_no_lanes_have_no_results():
    x, kernel = jnp.ones((0, 8, 28, 28, 32)), jnp.ones((0, 3, 3, 32, 32))
    assert jax.vmap(ops.conv)(x, kernel).shape == x.shape


def test_vmap_of_vmap():
    problem, ours, own = ways("tiles")
    x, kernel = normal(2, 3, *problem.input), normal(3, 2, *problem.kernel)

    def nested(convolve):
        by_kernel = jax.vmap(convolve, (None, 0))  # lanes of kernels, for one batch of images
        both = jax.vmap(jax.vmap(convolve, (0, 0)), (0, 1))
        return jax.vmap(jax.vmap(by_kernel, (0, None)), (0, None))(x, kernel[:, 0]), both(x, kernel)

    assert_close(jax.jit(lambda: nested(ours))(), jax.jit(lambda: nested(own))(), 2e-5)


@pytest.mark.parametrize("name", NAMED)
def test_eager_jit_checkpoint_and_loops_agree(name):
    problem, ours, own = ways(name)
    x, kernel = normal(*problem.input), normal(*problem.kernel)

    def steps(convolve, kernel):
        def step(kernel, _):
            return kernel - 0.01 * jax.grad(jax.checkpoint(loss(convolve)), 1)(x, kernel), None

        return lax.scan(step, kernel, None, length=3)[0]

    assert_close(ours(x, kernel), jax.jit(ours)(x, kernel), 1e-6)
    assert_close(jax.jit(lambda k: steps(ours, k))(kernel), jax.jit(lambda k: steps(own, k))(kernel), 2e-5)


def dim_numbers(program):
    return re.findall(r"dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])", program)


def test_no_convolution_of_a_gradient_is_left_to_xlas_naive_loop():
    """On CPU, XLA runs only this form fast inside a loop."""
    problem, ours, own = ways("direct")

    def text(convolve, platform):
        traced = jax.jit(jax.grad(loss(convolve), (0, 1))).trace(
            jnp.ones(problem.input), jnp.ones(problem.kernel)
        )
        return dim_numbers(traced.lower(lowering_platforms=(platform,)).as_text())

    forward = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
    assert text(ours, "cpu") == [forward] * 3
    assert set(text(own, "cpu")) != {forward}
    assert text(ours, "cuda") == text(own, "cuda")  # where cuDNN looks for the forms that JAX writes


def test_lanes_never_become_groups_on_cpu():
    problem, _, _ = ways("winograd")
    x, kernel = jnp.ones((8, *problem.input)), jnp.ones((8, *problem.kernel))
    mapped = jax.jit(jax.vmap(lambda x, k: lowering.compute(x, k, problem.spec, "direct")))
    text = mapped.lower(x, kernel).as_text()
    assert f"feature_group_count = {problem.spec.groups} " in text
    assert f"feature_group_count = {8 * problem.spec.groups} " not in text


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_sums_in_float32_and_rounds_once(name, dtype):
    problem, ours, _ = ways(name)
    x, kernel, y = (normal(*shape).astype(dtype) for shape in (problem.input, problem.kernel, problem.output))
    value, pull = jax.vjp(ours, x, kernel)
    results = (value, *pull(y))
    assert all(result.dtype == dtype for result in results)
    expected = [part.astype(np.float32) for part in in_float64(x, kernel, y, problem)]
    for result, part in zip(results, expected, strict=True):
        spacing = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(result.astype(jnp.float32), part, rtol=spacing, atol=spacing / 8)


@pytest.mark.parametrize("name", NAMED)
def test_float64_keeps_its_digits(name):
    problem, ours, _ = ways(name)
    with jax.enable_x64(True):
        x, kernel, y = (normal(*s, dtype=np.float64) for s in (problem.input, problem.kernel, problem.output))
        value, pull = jax.vjp(ours, x, kernel)
        assert_close((value, *pull(y)), in_float64(x, kernel, y, problem), 1e-13)


def test_integers_convolve_directly():
    x, kernel = jnp.arange(12).reshape(1, 4, 3), jnp.ones((2, 1, 3), int)
    y = ops.conv(x, kernel, padding="VALID", groups=3)
    np.testing.assert_array_equal(y, x[:, :-1] + x[:, 1:])
    for name in NAMED:  # also where a way that divides is asked for
        kernel = jnp.arange(1, 4).reshape(3, 1, 1)
        if can(name, Problem((1, 4, 1), (3, 1, 1), ConvSpec((1,), ((0, 0),), (1,)))):
            y = ops.conv(x[..., :1], kernel, padding="VALID", lowering=name)
            np.testing.assert_array_equal(y[0, :, 0], np.correlate(np.arange(0, 12, 3), [1, 2, 3], "valid"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems(), st.sampled_from([1, 16, 64]), st.sampled_from(lowering.NAMES), st.booleans())
def test_only_lowerings_that_can_are_chosen(problem, factor, name, portable):
    (n, *spatial, c), (*taps, channels, features) = problem.input, problem.kernel
    grown = Problem(
        (n * factor, *spatial, c * factor), (*taps, channels * factor, features * factor), problem.spec
    )
    for form in ("output", "input", "kernel"):
        for platform in ("cpu", "cuda", "tpu"):
            way, reason = choose(grown, form, jnp.float32, platform, name, portable=portable)
            assert way.refuses(grown, form) is None
            assert reason


@needs_onednn
def test_onednn_computes_alike_each_time():
    """Its threads share no sums, so a run resumes to the last bit."""
    problem = LARGER["dense"]
    x, kernel, y = normal(*problem.input), normal(*problem.kernel), normal(*problem.output)

    @jax.jit
    def compute(x, kernel, y):
        value, pull = jax.vjp(lambda x, k: lowering.compute(x, k, problem.spec, "onednn"), x, kernel)
        return value, *pull(y)

    first = compute(x, kernel, y)
    for _ in range(20):
        assert all(np.array_equal(a, b) for a, b in zip(first, compute(x, kernel, y), strict=True))
