"""Deformable layers against tent functions in NumPy, torch's grid_sample, and what they must reduce to."""

import re
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcnn import ops
from tests.ops.parity import assert_agree

rng = np.random.default_rng(0)
normal = rng.standard_normal


def far(*shape):
    """Displacements of a few pixels, never whole, where interpolation has no gradient of its own."""
    whole = rng.integers(-4, 4, shape)
    return whole + rng.uniform(0.1, 0.9, shape)


def tent(position, size):
    """Weights of linear interpolation on one axis: the tent of every pixel."""
    return np.maximum(0, 1 - np.abs(np.asarray(position)[..., None] - np.arange(size)))


def by_tents(x, kernel, offset, mask, bias, *, strides, padding, dilation, groups, offset_groups):
    """Deformable convolution of an image (n, h, w, c) pixel by pixel, by definition."""
    n, height, width, channels = x.shape
    kh, kw, share, features = kernel.shape
    out = offset.shape[1:3]
    offset = offset.reshape(n, *out, offset_groups, kh, kw, 2)
    mask = mask.reshape(n, *out, offset_groups, kh, kw)
    y = np.zeros((n, *out, features)) + bias
    for b, i, j, g, u, v in np.ndindex(n, *out, offset_groups, kh, kw):
        at = [
            place * s - low + tap * d + move
            for place, s, (low, _), tap, d, move in zip(
                (i, j), strides, padding, (u, v), dilation, offset[b, i, j, g, u, v], strict=True
            )
        ]
        part = slice(g * channels // offset_groups, (g + 1) * channels // offset_groups)
        value = np.zeros(channels)
        value[part] = np.einsum("h,w,hwc->c", tent(at[0], height), tent(at[1], width), x[b, :, :, part])
        value *= mask[b, i, j, g, u, v]
        for f in range(features):
            first = f // (features // groups) * share
            y[b, i, j, f] += value[first : first + share] @ kernel[u, v, :, f]
    return y


@st.composite
def deformable(draw):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2))
    least = [
        max((k - 1) * d + 1 - low - high, 1)
        for k, d, (low, high) in zip(kernel, dilation, padding, strict=True)
    ]
    sizes = tuple(draw(st.integers(size, size + 3)) for size in least)
    groups, offset_groups = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 4), (3, 2)]))
    channels = max(groups, offset_groups) * (2 if (groups, offset_groups) == (3, 2) else 1)
    channels *= draw(st.integers(1, 2))
    numbers = {"strides": strides, "padding": padding, "dilation": dilation}
    numbers |= {"groups": groups, "offset_groups": offset_groups}
    return (draw(st.integers(1, 2)), *sizes, channels), (*kernel, channels // groups, groups * 2), numbers


def outputs_of(shape, kernel, numbers):
    return tuple(
        (size + low + high - (k - 1) * d - 1) // s + 1
        for size, k, s, (low, high), d in zip(
            shape[1:-1], kernel, numbers["strides"], numbers["padding"], numbers["dilation"], strict=True
        )
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(deformable())
def test_version_two_is_its_definition(case):
    shape, kernel_shape, numbers = case
    out = outputs_of(shape, kernel_shape[:2], numbers)
    samples = kernel_shape[0] * kernel_shape[1] * numbers["offset_groups"]
    offset, mask = far(shape[0], *out, samples * 2), normal((shape[0], *out, samples))
    arrays = normal(shape), normal(kernel_shape), offset, mask, normal(kernel_shape[-1])
    with jax.enable_x64(True):
        y = jax.jit(lambda *arrays: ops.deform_conv(*arrays, **numbers))(*arrays)
    np.testing.assert_allclose(y, by_tents(*arrays, **numbers), atol=1e-10)


def torch_sample(x, positions, edge="zeros"):
    """(n, *spatial, c) read at (n, places, ndim), one to three axes, by torch."""
    import torch

    ndim = positions.shape[-1]
    sizes = list(x.shape[1:-1])
    x = x.movedim(-1, 1)
    while x.ndim < 4:  # grid_sample knows two and three axes
        x, sizes = x.unsqueeze(2), [1, *sizes]
        positions = torch.cat([torch.zeros_like(positions[..., :1]), positions], -1)
    grid = (2 * positions + 1) / torch.tensor(sizes, dtype=x.dtype) - 1
    grid = grid.flip(-1).reshape(len(x), *(1,) * (max(ndim, 2) - 1), -1, max(ndim, 2))
    values = torch.nn.functional.grid_sample(
        x, grid, padding_mode="border" if edge == "replicate" else "zeros", align_corners=False
    )
    return values.reshape(*values.shape[:2], -1).movedim(1, -1)


def torch_deform(x, kernel, offset, mask, bias, *, strides, padding, dilation, offset_groups):
    """Deformable convolution in one group, of any rank."""
    import torch

    ndim, taps, out = kernel.ndim - 2, kernel.shape[:-2], offset.shape[1:-1]
    count = int(np.prod(taps))
    offset = offset.reshape(len(x), -1, offset_groups, count, ndim)
    mask = mask.reshape(len(x), -1, offset_groups, count)
    places = np.array(
        [
            [np.multiply(place, strides) - [low for low, _ in padding] + np.multiply(tap, dilation)]
            for place in np.ndindex(*out)
            for tap in np.ndindex(*taps)
        ]
    )
    places = torch.from_numpy(places.reshape(-1, count, ndim))
    y = 0
    for g, part in enumerate(x.chunk(offset_groups, -1)):
        values = torch_sample(part, (places + offset[:, :, g]).flatten(1, 2))
        values = values.reshape(len(x), -1, count, part.shape[-1]) * mask[:, :, g, :, None]
        weights = kernel.flatten(0, ndim - 1).chunk(offset_groups, 1)[g]
        y = y + torch.einsum("npkc,kcf->npf", values, weights)
    return y.reshape(len(x), *out, -1) + bias


@pytest.mark.parametrize(
    ("spatial", "taps", "numbers", "offset_groups"),
    [
        ((7,), (3,), {"strides": (2,), "padding": ((1, 1),), "dilation": (2,)}, 1),
        ((5, 6), (3, 2), {"strides": (1, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 1)}, 2),
        ((6, 5), (2, 3), {"strides": (2, 1), "padding": ((0, 0), (2, 2)), "dilation": (1, 2)}, 4),
        ((3, 4, 3), (2, 1, 3), {"strides": (1, 2, 1), "padding": ((0, 1),) * 3, "dilation": (1,) * 3}, 2),
    ],
)
def test_gradients_are_torchs(spatial, taps, numbers, offset_groups):
    shape, numbers = (2, *spatial, 4), {**numbers, "offset_groups": offset_groups}
    out, samples = outputs_of(shape, taps, numbers), int(np.prod(taps)) * offset_groups
    assert_agree(
        lambda *arrays: ops.deform_conv(*arrays, **numbers),
        lambda *arrays: torch_deform(*arrays, **numbers),
        normal(shape),
        normal((*taps, 4, 3)),
        far(2, *out, samples * len(spatial)),
        normal((2, *out, samples)),
        normal(3),
        tolerance=1e-8,
    )


def test_gradients_are_finite_differences_in_float64():
    arrays = normal((1, 4, 4, 2)), normal((2, 2, 2, 2)), far(1, 4, 4, 8) / 2, normal((1, 4, 4, 4))
    with jax.enable_x64(True):
        check_grads(
            jax.jit(ops.deform_conv), tuple(map(jnp.asarray, arrays)), order=1, modes=("fwd", "rev"), eps=1e-6
        )


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR", "REFLECT", ("CAUSAL", (2, 0))])
@pytest.mark.parametrize(
    "numbers", [{}, {"strides": (2, 1), "dilation": (1, 2), "groups": 2, "offset_groups": 2}]
)
def test_without_displacement_it_is_the_convolution(padding, numbers):
    x, kernel = jnp.asarray(normal((2, 7, 7, 4)), jnp.float32), jnp.asarray(normal((3, 3, 4, 2)), jnp.float32)
    groups, plain = numbers.get("groups", 1), {k: v for k, v in numbers.items() if k != "offset_groups"}
    kernel = kernel[:, :, : 4 // groups]
    expected = ops.conv(x, kernel, padding=padding, **plain)
    deform = jax.jit(partial(ops.deform_conv, padding=padding, **numbers))
    samples = 9 * numbers.get("offset_groups", 1)
    offset, mask = jnp.zeros((*expected.shape[:-1], 2 * samples)), jnp.ones((*expected.shape[:-1], samples))
    np.testing.assert_allclose(deform(x, kernel, offset, mask), expected, atol=1e-5)


def test_whole_displacements_shift_the_image():
    x, kernel = (jnp.asarray(normal(shape), jnp.float32) for shape in [(1, 6, 6, 2), (3, 3, 2, 2)])
    wide = ops.conv(jnp.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0))), kernel, padding="VALID")
    deform = jax.jit(ops.deform_conv)
    for down, right in product([-2, 0, 1], [-1, 0, 3]):
        offset = np.broadcast_to(np.tile(np.float32([down, right]), 9), (1, 6, 6, 18))
        shifted = wide[:, 3 + down : 9 + down, 3 + right : 9 + right]
        np.testing.assert_allclose(deform(x, kernel, offset), shifted, atol=1e-5)


def test_outside_is_zero_and_so_is_its_gradient():
    x, kernel = jnp.ones((1, 4, 1)), jnp.ones((1, 1, 1))

    def read(offset):
        return ops.deform_conv(x, kernel, offset.reshape(1, 4, 1)).ravel()

    offset = jnp.array([-1.0, -1e9, 4.0, 1e30])
    np.testing.assert_array_equal(read(offset), 0)
    np.testing.assert_array_equal(jax.grad(lambda o: read(o).sum())(jnp.array([-2.5, -1e9, 4.0, 1e30])), 0)
    np.testing.assert_allclose(read(jnp.array([-0.25, 0.5, 0.0, 0.75])), [0.75, 1, 1, 0.25])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_images_with_exact_offsets(dtype):
    arrays = jnp.asarray(normal((1, 5, 5, 8)), dtype), jnp.asarray(normal((3, 3, 8, 2)) / 9, dtype)
    offset = jnp.asarray(far(1, 5, 5, 18), jnp.float32)
    deform = jax.jit(ops.deform_conv)
    y = deform(*arrays, offset)
    assert y.dtype == dtype
    exact = deform(*(a.astype(jnp.float32) for a in arrays), offset)
    scale = 2 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=scale, atol=2 * scale)


def test_no_images_and_single_pixels_work():
    deform = jax.jit(ops.deform_conv)
    y = deform(jnp.ones((0, 4, 4, 2)), jnp.ones((3, 3, 2, 2)), jnp.ones((0, 4, 4, 18)))
    assert y.shape == (0, 4, 4, 2)
    y = deform(jnp.ones((1, 1, 1, 1)), jnp.ones((3, 3, 1, 1)), jnp.zeros((1, 1, 1, 18)))
    assert y.item() == 1


def roi_by_tents(x, boxes, image, size, samples, scale, aligned, offset, mask, gamma):
    """RoI pooling by definition: each point of each bin, the image's edges continued up to a pixel."""
    y = np.zeros((len(boxes), *size, x.shape[-1]))
    limits = x.shape[1:-1]
    for r, i, j in np.ndindex(len(boxes), *size):
        corners = boxes[r].reshape(2, 2) * scale - (0.5 if aligned else 0)
        extent = corners[1] - corners[0] if aligned else np.maximum(corners[1] - corners[0], 1)
        for u, v in np.ndindex(*samples):
            place = [
                (b + (s + 0.5) / count) / bins
                for b, s, count, bins in zip((i, j), (u, v), samples, size, strict=True)
            ]
            at = corners[0] + extent * (np.array(place) + gamma * offset[r, i, j])
            if all(-1 <= a <= limit for a, limit in zip(at, limits, strict=True)):
                weights = [tent(np.clip(a, 0, limit - 1), limit) for a, limit in zip(at, limits, strict=True)]
                y[r, i, j] += np.einsum("h,w,hwc->c", *weights, x[image[r]])
        y[r, i, j] *= mask[r, i, j] / np.prod(samples)
    return y


BOXES = np.array(
    [[0.3, 1.1, 7.9, 9.2], [2.0, -9.0, 6.3, 30.0], [4.0, 4.0, 4.2, 4.1], [-5.0, -5.0, 20.0, 20.0]]
)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("size", "samples"), [((2, 3), (2, 2)), ((1, 1), (3, 1)), ((4, 2), (1, 2))])
def test_roi_align_is_its_definition(aligned, size, samples):
    x, image = normal((3, 5, 6, 2)), np.array([2, 0, 1, 1])
    with jax.enable_x64(True):
        align = partial(ops.roi_align, size=size, scale=0.5, samples=samples, aligned=aligned)
        y = jax.jit(align)(x, BOXES, image)
    expected = roi_by_tents(
        x, BOXES, image, size, samples, 0.5, aligned, np.zeros((4, *size, 2)), np.ones((4, *size)), 0
    )
    np.testing.assert_allclose(y, expected, atol=1e-10)


def test_deformable_pooling_is_its_definition():
    x, image, size = normal((3, 5, 6, 2)), np.array([2, 0, 1, 1]), (2, 3)
    offset, mask = normal((4, *size, 2)), normal((4, *size))
    numbers = {"size": size, "scale": 0.5, "samples": (2, 1), "gamma": 0.7}
    with jax.enable_x64(True):
        pool = jax.jit(partial(ops.deform_roi_pool, **numbers))
        y, still = pool(x, BOXES, image, offset, mask), pool(x, BOXES, image, 0 * offset)
        align = jax.jit(partial(ops.roi_align, size=size, scale=0.5, samples=(2, 1)))
        np.testing.assert_allclose(still, align(x, BOXES, image), atol=1e-12)
    expected = roi_by_tents(x, BOXES, image, size, (2, 1), 0.5, True, offset, mask, 0.7)
    np.testing.assert_allclose(y, expected, atol=1e-10)


def test_gradients_of_pooling_are_torchs():
    """In the image, the boxes, the offsets and the mask, at points inside the image."""
    torch = pytest.importorskip("torch")
    boxes = np.array([[0.7, 1.1, 7.9, 9.2], [2.0, 1.0, 6.3, 9.0]])
    image, size, samples = np.array([1, 0]), (2, 3), (2, 2)

    def theirs(x, boxes, offset, mask):
        corners = boxes.reshape(2, 2, 2) * 0.5 - 0.5
        start, extent = corners[:, :1], corners[:, 1:] - corners[:, :1]
        lines = [(torch.arange(b * s).double() + 0.5) / (b * s) for b, s in zip(size, samples, strict=True)]
        places = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
        shift = offset.repeat_interleave(2, 1).repeat_interleave(2, 2)
        at = start + (places + 0.1 * shift).flatten(1, 2) * extent
        values = torch_sample(x[torch.from_numpy(image)], at, "replicate").reshape(2, 2, 2, 3, 2, -1)
        return values.mean((2, 4)) * mask[..., None]

    assert_agree(
        lambda x, boxes, offset, mask: ops.deform_roi_pool(
            x, boxes, jnp.asarray(image), offset, mask, size=size, scale=0.5
        ),
        theirs,
        normal((2, 5, 6, 3)),
        boxes,
        normal((2, *size, 2)) / 10,
        normal((2, *size)),
        tolerance=1e-8,
    )


def test_in_one_and_three_dimensions():
    align = jax.jit(ops.roi_align, static_argnums=3)
    line = np.arange(8.0).reshape(1, 8, 1)
    y = align(line, np.array([[0.0, 8.0]]), np.array([0]), 4)
    np.testing.assert_allclose(y.ravel(), [0.5, 2.5, 4.5, 6.5])
    cube = np.arange(8.0).reshape(1, 2, 2, 2, 1)
    y = align(cube, np.array([[0.0, 0, 0, 2, 2, 2]]), np.array([0]), 1)
    np.testing.assert_allclose(y.ravel(), [3.5])


def zeros(*shape):
    return np.zeros(shape, np.float32)


def pool(offset=(2, 2, 2, 2), mask=(2, 2, 2), **numbers):
    return ops.deform_roi_pool(
        zeros(1, 4, 4, 4),
        zeros(2, 4),
        np.zeros(2, int),
        zeros(*offset),
        zeros(*mask),
        **{"size": 2, **numbers},
    )


def region(boxes=(2, 4), image=(2,), dtype=int, size=2, **numbers):
    return ops.roi_align(zeros(1, 4, 4, 4), zeros(*boxes), np.zeros(image, dtype), size, **numbers)


def deform(
    x=(1, 4, 4, 4), kernel=(3, 3, 4, 2), offset=(1, 4, 4, 18), mask=(1, 4, 4, 9), bias=(2,), **numbers
):
    return ops.deform_conv(*(zeros(*shape) for shape in (x, kernel, offset, mask, bias)), **numbers)


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        (deform, {"offset": (1, 4, 4, 9)}, "offset has shape (1, 4, 4, 9): expected (1, 4, 4, 18)"),
        (deform, {"strides": 2}, "offset has shape (1, 4, 4, 18): expected (1, 2, 2, 18)"),
        (deform, {"mask": (1, 4, 4, 18)}, "mask has shape (1, 4, 4, 18): expected (1, 4, 4, 9)"),
        (deform, {"offset_groups": 3}, "offset_groups=3: expected a divisor of the 4 channels of x"),
        (deform, {"kernel": (3, 3, 2, 2)}, "expected 4 channels before the features"),
        (deform, {"x": (4, 4, 4)}, "expected 1 spatial axes"),
        (deform, {"bias": (3,)}, "bias has shape (3,): expected (2,)"),
        (deform, {"padding": "VALID", "dilation": 2}, "does not fit in 4 + 0 + 0"),
        (region, {"boxes": (2, 5)}, "boxes has shape (2, 5): expected (regions, 4), lower then upper corner"),
        (region, {"image": (3,)}, "image has shape (3,): expected (2,)"),
        (region, {"size": 0}, "size=0: expected 1 or more"),
        (region, {"samples": 0}, "samples=0: expected 1 or more"),
        (pool, {"offset": (2, 2, 2, 1)}, "offset has shape (2, 2, 2, 1): expected (2, 2, 2, 2)"),
        (pool, {"mask": (2, 2)}, "mask has shape (2, 2): expected (2, 2, 2)"),
    ],
)
def test_mistakes_are_named_while_tracing(call, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(lambda: call(**arguments))


def test_images_are_numbered_by_integers():
    with pytest.raises(TypeError, match="image has dtype float32: expected integers"):
        region(dtype=np.float32)


def test_pixels_between_are_not_rounded_before_the_kernel():
    x = jnp.array([1.0, 1.0078125], jnp.bfloat16).reshape(1, 2, 1)  # neighbours: between them it has nothing
    y = ops.deform_conv(x, jnp.full((1, 1, 1), 4.0, jnp.float32), jnp.full((1, 2, 1), 0.25))
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y[0, 0], 4 * (1 + 0.0078125 / 4))
