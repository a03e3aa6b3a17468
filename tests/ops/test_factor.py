"""Axis by axis equals dense, and factors are as near as NumPy's singular values say."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import assert_agree
from tests.ops.test_conv import torch_conv

rng = np.random.default_rng(0)
normal = rng.standard_normal


@pytest.mark.parametrize("groups", [1, 2])
def test_spatially_separable_is_dense_with_the_composed_kernel(groups):
    torch = pytest.importorskip("torch")
    numbers = {"strides": (2, 1), "padding": ((1, 1), (0, 2)), "dilation": (1, 2)}
    shapes = [(3, 4 // groups, 6), (2, 6 // groups, 8)]

    def theirs(x, first, second, b):
        parts = [
            torch.einsum("icr,jrf->ijcf", a, b)
            for a, b in zip(first.chunk(groups, -1), second.chunk(groups, -1), strict=True)
        ]
        return torch_conv(x, torch.cat(parts, -1), b, groups=groups, **numbers)

    assert_agree(
        lambda x, first, second, b: ops.spatially_separable_conv(
            x, [first, second], b, groups=groups, **numbers
        ),
        theirs,
        normal((2, 7, 6, 4)),
        *map(normal, shapes),
        normal(8),
    )


def test_in_three_dimensions():
    torch = pytest.importorskip("torch")
    numbers = {"strides": (1, 2, 1), "padding": ((1, 1),) * 3, "dilation": (1, 1, 1)}

    def theirs(x, a, b, c):
        kernel = torch.einsum("xcp,ypq,zqf->xyzcf", a, b, c)
        return torch_conv(x, kernel, None, groups=1, **numbers)

    assert_agree(
        lambda x, a, b, c: ops.spatially_separable_conv(x, [a, b, c], strides=(1, 2, 1), padding=1),
        theirs,
        normal((1, 3, 4, 3, 2)),
        normal((3, 2, 3)),
        normal((2, 3, 2)),
        normal((3, 2, 4)),
    )


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", ("VALID", "FULL")])
def test_named_padding_commutes_with_the_axes(padding):
    x = jnp.asarray(normal((1, 5, 6, 1)), jnp.float32)
    first, second = (jnp.asarray(normal((k, 1, 1)), jnp.float32) for k in (3, 4))
    y = ops.spatially_separable_conv(x, [first, second], padding=padding, strides=2)
    dense = ops.conv(x, first[:, None] * second[None], padding=padding, strides=2)
    np.testing.assert_allclose(y, dense, atol=1e-5)


def test_flattened_is_dense_with_a_kernel_of_rank_one():
    torch = pytest.importorskip("torch")
    numbers = {"strides": (1, 2), "padding": ((1, 1), (1, 0)), "dilation": (1, 1)}
    assert_agree(
        lambda x, lateral, v, h, b: ops.flattened_conv(
            x, lateral, [v, h], b, strides=(1, 2), padding=(1, (1, 0))
        ),
        lambda x, lateral, v, h, b: torch_conv(
            x, torch.einsum("cf,if,jf->ijcf", lateral, v, h), b, groups=1, **numbers
        ),
        normal((2, 5, 6, 3)),
        normal((3, 4)),
        normal((3, 4)),
        normal((2, 4)),
        normal(4),
    )


def compose(kernels, groups):
    """The dense kernel that a chain of kernels stands for, in NumPy."""
    parts = [np.split(np.asarray(k), groups, axis=-1) for k in kernels]
    formula = {2: "xcp,ypf->xycf", 3: "xcp,ypq,zqf->xyzcf"}[len(kernels)]
    return np.concatenate([np.einsum(formula, *chain) for chain in zip(*parts, strict=True)], axis=-1)


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("groups", [1, 2])
def test_factors_are_as_near_as_the_singular_values_allow(rank, groups):
    kernel = normal((3, 4, 2, 6))
    with jax.enable_x64(True):
        factors = jax.jit(ops.factor_kernel, static_argnums=1, static_argnames="groups")(
            kernel, rank, groups=groups
        )
    assert [k.shape for k in factors.kernels] == [(3, 2, groups * rank), (4, rank, 6)]
    missing = 0
    for part in np.split(kernel, groups, axis=-1):
        values = np.linalg.svd(part.transpose(0, 2, 1, 3).reshape(6, -1), compute_uv=False)
        missing += np.square(values[rank:]).sum()
    best = np.sqrt(missing / np.square(kernel).sum())
    np.testing.assert_allclose(factors.relative_error, best, atol=1e-7)
    left = np.linalg.norm(kernel - compose(factors.kernels, groups)) / np.linalg.norm(kernel)
    np.testing.assert_allclose(factors.relative_error, left, atol=1e-7)


def test_a_separable_kernel_is_found_again_and_convolves_alike():
    kernel = np.einsum("x,y,z,cf->xyzcf", normal(3), normal(3), normal(2), normal((1, 1)))
    factors = ops.factor_kernel(jnp.asarray(kernel, jnp.float32), 1)
    assert factors.relative_error < 1e-6
    x = jnp.asarray(normal((1, 4, 5, 4, 1)), jnp.float32)
    y = ops.spatially_separable_conv(x, factors.kernels)
    np.testing.assert_allclose(y, ops.conv(x, jnp.asarray(kernel, jnp.float32)), atol=1e-4)


@pytest.mark.parametrize("ranks", [(2, 3), (6, 9)])
def test_tensor_train_in_three_dimensions(ranks):
    """At full rank exact; below, no further than the bound of Oseledets: the root of the tails' squares."""
    kernel = normal((3, 2, 3, 2, 3))
    with jax.enable_x64(True):
        factors = ops.factor_kernel(kernel, ranks)
    left = np.linalg.norm(kernel - compose(factors.kernels, 1))
    assert (left < 1e-12) == (ranks == (6, 9))
    np.testing.assert_allclose(factors.relative_error, left / np.linalg.norm(kernel), atol=1e-7)
    tails = [
        np.linalg.svd(
            kernel.transpose(3, 0, 1, 2, 4).reshape(2 * np.prod(kernel.shape[:cut]), -1), compute_uv=False
        )
        for cut in (1, 2)
    ]
    bound = np.sqrt(sum(np.square(tail[rank:]).sum() for tail, rank in zip(tails, ranks, strict=True)))
    assert left <= bound + 1e-9
    assert left >= max(np.sqrt(np.square(t[r:]).sum()) for t, r in zip(tails, ranks, strict=True)) - 1e-9


def test_a_kernel_of_zeros_has_no_error():
    assert ops.factor_kernel(jnp.zeros((3, 3, 1, 1)), 1).relative_error == 0


x4 = np.ones((1, 4, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.spatially_separable_conv(x4, [np.ones((3, 4, 2))]),
            ValueError,
            "kernels have shapes [(3, 4, 2)]: expected 2 of (taps, channels / groups, features)",
        ),
        (
            lambda: ops.flattened_conv(x4, np.ones((1, 1, 4, 2)), [np.ones((3, 2))] * 2),
            ValueError,
            "lateral has shape (1, 1, 4, 2): expected (channels, features)",
        ),
        (
            lambda: ops.flattened_conv(x4, np.ones((4, 2)), [np.ones(3)] * 2),
            ValueError,
            "profiles have shapes [(3,), (3,)]: expected (taps, features)",
        ),
        (
            lambda: ops.factor_kernel(np.ones((3, 2, 2)), 1),
            ValueError,
            "expected 2 or 3 spatial axes to factor",
        ),
        (
            lambda: ops.factor_kernel(np.ones((3, 3, 1, 2)), 4),
            ValueError,
            "rank=4: expected at most 3 between",
        ),
        (lambda: ops.factor_kernel(np.ones((3, 3, 1, 2)), 0), ValueError, "rank=0: expected 1 or more"),
        (
            lambda: ops.factor_kernel(np.ones((1,) * 6), 1),
            ValueError,
            "expected 2 or 3 spatial axes to factor",
        ),
        (
            lambda: ops.factor_kernel(np.ones((3, 3, 1, 2)), (1, 1)),
            ValueError,
            "rank=(1, 1): expected an int",
        ),
        (lambda: ops.factor_kernel(np.ones((3, 3, 1, 2)), 1.5), TypeError, "rank=1.5: expected an int"),
        (
            lambda: ops.factor_kernel(np.ones((3, 3, 1, 2)), 1, groups=3),
            ValueError,
            "groups=3: expected a divisor",
        ),
    ],
)
def test_mistakes_are_named_while_tracing(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        jax.eval_shape(call)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_factored_to_its_rounding(dtype):
    kernel = jnp.asarray(normal((3, 4, 2, 5)), dtype)
    kernels, error = ops.factor_kernel(kernel, 6)  # the full rank
    assert all(each.dtype == dtype for each in kernels)
    rebuilt = np.einsum("icr,jrf->ijcf", *(np.asarray(each, np.float64) for each in kernels))
    whole = np.asarray(kernel, np.float64)
    missed = np.linalg.norm(whole - rebuilt) / np.linalg.norm(whole)
    assert missed < 2 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(error, missed, rtol=1e-2)


def test_integers_are_factored_as_floats():
    factors = ops.factor_kernel(np.outer([1, 2, 1], [-1, 0, 1]).reshape(3, 3, 1, 1), 1)
    assert factors.relative_error < 1e-6
    assert factors.kernels[0].dtype == jnp.float32
