"""Every primitive against trial: change one input entry, see which outputs change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn.analysis.jaxpr.field import read
from tests.analysis.influence import assert_covers, assert_exact, walked

IMAGE = (2, 7, 6, 4)


def kernel(*shape):
    return jnp.asarray(np.random.default_rng(1).uniform(0.1, 1, shape), jnp.float32)


def conv(
    x, *, taps=(3, 3), features=4, strides=(1, 1), padding="SAME", dilation=(1, 1), enlarge=(1, 1), groups=1
):
    return lax.conv_general_dilated(
        x,
        kernel(*taps, x.shape[-1] // groups, features),
        strides,
        padding,
        lhs_dilation=enlarge,
        rhs_dilation=dilation,
        feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def batch_grouped(x):
    kernel_ = kernel(2, 2, x.shape[-1], 6)
    return lax.conv_general_dilated(
        x, kernel_, (1, 1), "SAME", batch_group_count=2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def channels_first(x):
    x = jnp.moveaxis(x, -1, 1)
    return lax.conv_general_dilated(
        x, kernel(3, 4, 2, 3), (2, 1), ((0, 1), (1, 0)), dimension_numbers=("NCHW", "OIHW", "NCHW")
    )


def window(reducer, start, **options):
    return lambda x: lax.reduce_window(x, start, reducer, (1, 3, 2, 1), (1, 2, 1, 1), **options)


def whole(x):
    return jnp.clip(x.astype(int), 0, 59)


CASES = {
    "add": lambda x: x + 1,
    "branches": lambda x: x[:, :5] + x[:, 2:],
    "transposed branch": lambda x: x[:, :6] + x[:, :6].swapaxes(1, 2),
    "padding of nothing": lambda x: x[:, :3] + jnp.pad(x[:, 5:5], ((0, 0), (1, 2), (0, 0), (0, 0))),
    "select": lambda x: jnp.where(x > 1.5, x, -x),
    "clamp": lambda x: lax.clamp(0.0, x, 100.0),
    "broadcast": lambda x: jnp.broadcast_to(x[:, :, None], (2, 7, 3, 6, 4)),
    "broadcast of one": lambda x: jnp.broadcast_to(x[:, :1], x.shape),
    "flatten": lambda x: x.reshape(2, -1),
    "merge": lambda x: x.reshape(2, 42, 4),
    "split": lambda x: x[:, :6].reshape(2, 3, 2, 3, 2, 4),
    "regroup": lambda x: x.reshape(2, 6, 7, 4),
    "flatten and back": lambda x: x.reshape(-1).reshape(x.shape),
    "space to depth": lambda x: (
        x[:, :6].reshape(2, 3, 2, 3, 2, 4).transpose(0, 1, 3, 2, 4, 5).reshape(2, 3, 3, 16)
    ),
    "depth to space": lambda x: x.reshape(2, 7, 6, 2, 2).transpose(0, 1, 3, 2, 4).reshape(2, 14, 12),
    "squeeze": lambda x: x[:, 2:3].squeeze(1),
    "reverse": lambda x: x[:, ::-1, ::-1],
    "slice": lambda x: x[:, 1:7:2, 2:],
    "pad": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (1, 2, 1), (-1, 3, 0), (1, 0, 2))),
    "pad with seen": lambda x: lax.pad(x, x[0, 0, 0, 0], ((0, 0, 0), (1, 2, 1), (0, 0, 0), (0, 0, 0))),
    "circular": lambda x: jnp.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), mode="wrap"),
    "reflect": lambda x: jnp.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), mode="reflect"),
    "edge": lambda x: jnp.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), mode="edge"),
    "roll": lambda x: jnp.roll(x, (2, -1), (1, 2)),
    "repeat": lambda x: jnp.repeat(x, 3, axis=1),
    "tile": lambda x: jnp.tile(x, (1, 2, 1, 3)),
    "concatenate": lambda x: jnp.concatenate([x[:, :2], jnp.ones((2, 1, 6, 4)), x], 1),
    "channels of two scales": lambda x: jnp.concatenate([x, conv(x)], -1),
    "stack": lambda x: jnp.stack([x, x[:, ::-1]], 2),
    "unstack": lambda x: jnp.unstack(x, axis=1)[3],
    "parts": lambda x: jnp.split(x, [2, 3], axis=1)[2],
    "mean": lambda x: x.mean((1, 2)),
    "gate": lambda x: x * x.mean((1, 2), keepdims=True),
    "max": lambda x: x.max(3),
    "argmax": lambda x: x.argmax(1),
    "generic reduction": lambda x: lax.reduce(x, 0.0, lambda a, b: a + b + 0.0 * a * b, (1,)),
    "cumulative sum": lambda x: jnp.cumsum(x, 1),
    "reverse cumulative sum": lambda x: lax.cumsum(x, 2, reverse=True),
    "sort": lambda x: jnp.sort(x, 1),
    "top k": lambda x: lax.top_k(x, 2)[0],
    "fft": lambda x: jnp.abs(jnp.fft.fft2(x, axes=(1, 2))),
    "conv": conv,
    "strided conv": lambda x: conv(x, strides=(2, 3), padding="VALID"),
    "dilated conv": lambda x: conv(x, dilation=(2, 1), padding=((2, 0), (1, 3))),
    "enlarging conv": lambda x: conv(x, enlarge=(2, 3), padding=((2, 1), (1, 1))),
    "enlarging conv with gaps": lambda x: conv(x, taps=(1, 2), enlarge=(3, 3), padding=((0, 0), (1, 1))),
    "enlarging strided dilated conv": lambda x: conv(
        x, enlarge=(3, 2), strides=(2, 3), dilation=(1, 2), padding=((1, 1), (2, 3))
    ),
    "cropping conv": lambda x: conv(x, padding=((-1, 0), (0, -2))),
    "grouped conv": lambda x: conv(x, groups=2, features=6),
    "depthwise conv": lambda x: conv(x, groups=4, features=8),
    "batch groups": batch_grouped,
    "channels first": channels_first,
    "kernel from input": lambda x: lax.conv_general_dilated(
        jnp.ones((1, 5, 5, 4)),
        x[0, :3, :3, :, None],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    "dense": lambda x: x @ kernel(4, 5),
    "einsum": lambda x: jnp.einsum("bhwc,hk->bkwc", x, kernel(7, 3)),
    "batched product": lambda x: jnp.einsum("bhwc,bhvc->bhwv", x, x[:, :, 1:4]),
    "product of parts": lambda x: x[0, :, 0] @ x[1, 2:4, 1].T,
    "max pool": window(lax.max, -jnp.inf, padding="SAME"),
    "sum pool": window(lax.add, 0.0, padding=((0, 0), (1, 0), (0, 1), (0, 0))),
    "dilated pool": window(lax.max, -jnp.inf, padding="VALID", window_dilation=(1, 2, 3, 1)),
    "enlarging pool": window(lax.add, 0.0, padding="VALID", base_dilation=(1, 2, 3, 1)),
    "bilinear": lambda x: jax.image.resize(x, (2, 14, 9, 4), "bilinear"),
    "nearest": lambda x: jax.image.resize(x, (2, 14, 4, 4), "nearest"),
    "shrink": lambda x: jax.image.resize(x, (2, 3, 4, 4), "linear", antialias=True),
    "take": lambda x: x[:, jnp.array([5, 0, 3])],
    "take both": lambda x: x[:, jnp.array([[5, 0], [1, 1]]), jnp.array([[2, 3], [0, 1]])],
    "take along": lambda x: jnp.take_along_axis(x, jnp.arange(7)[::-1].reshape(1, 7, 1, 1), 1),
    "take with fill": lambda x: x.at[:, jnp.array([-1, 2, 9])].get(mode="fill", fill_value=0.0),
    "take with clip": lambda x: x.at[:, jnp.array([0, 2, 9])].get(mode="clip"),
    "embedding": lambda x: kernel(60, 3)[whole(x)],
    "embedding with fill": lambda x: jnp.take(kernel(60, 3), whole(x), axis=0, mode="fill"),
    "table of two axes": lambda x: kernel(60, 60)[whole(x[:, 1:]), whole(x[:, :-1])],
    "rows of a table": lambda x: lax.dynamic_slice_in_dim(kernel(60, 3), whole(x[0, 1, 2, 3]), 2),
    "places from data where all is alike": lambda x: (
        jnp.repeat(x.mean(1, keepdims=True), 60, 1)[0, whole(x[0, :, 0, 0])] + x[0, :, 0, 0, None, None]
    ),
    "dynamic slice": lambda x: lax.dynamic_slice_in_dim(x, 3, 2, 1),
    "dynamic update": lambda x: lax.dynamic_update_slice(x, x[:, :2, :3] * 2, (0, 4, 1, 0)),
    "dynamic update of all but one axis": lambda x: lax.dynamic_update_slice_in_dim(x, x[:, :2], 4, 1),
    "update of constant": lambda x: jnp.zeros((2, 9, 6, 4)).at[:, 1:8].set(x),
    "constant update": lambda x: x.at[:, 2].set(0.0),
    "scatter": lambda x: x.at[:, jnp.array([1, 3])].set(x[:, 4:6]),
    "scatter add": lambda x: x.at[:, jnp.array([1, 3])].add(x[:, 4:6]),
    "scatter max": lambda x: x.at[:, :, jnp.array([0, 2])].max(x[:, :, 4:6]),
    "jit": lambda x: jax.jit(conv)(x),
    "relu": jax.nn.relu,
    "remat": lambda x: jax.checkpoint(conv)(x),
    "scan": lambda x: lax.scan(lambda c, row: (c + row, c + row), jnp.zeros((2, 6, 4)), x.swapaxes(0, 1))[1],
    "reverse scan": lambda x: lax.scan(
        lambda c, r: (c + r, c), jnp.zeros((2, 6, 4)), x.swapaxes(0, 1), reverse=True
    )[1],
    "scan of layers": lambda x: lax.scan(lambda c, k: (conv(c) * k.sum(), None), x, jnp.ones((2, 1)))[0],
    "counted loop": lambda x: lax.fori_loop(
        0, 3, lambda i, c: c + lax.dynamic_slice_in_dim(x, i, 4, 1), x[:, :4]
    ),
    "map": lambda x: lax.map(lambda one: conv(one[None])[0], x),
    "chosen branch": lambda x: lax.cond(True, lambda x: conv(x), lambda x: x.mean() + x, x),
    "vmap": lambda x: jax.vmap(lambda one: conv(one[None])[0])(x),
    "mean over mapped": lambda x: jax.vmap(lambda one: lax.pmean(one, "rows"), 1, None, axis_name="rows")(x),
    "maximum over mapped": lambda x: jax.vmap(
        lambda one: one - lax.pmax(one, "columns"), 2, 2, axis_name="columns"
    )(x),
    "custom vjp": lambda x: _doubled(x),
    "custom vmap": lambda x: _shifted(x),
}


@jax.custom_vjp
def _doubled(x):
    return 2 * x[:, 1:]


_doubled.defvjp(lambda x: (_doubled(x), x), lambda x, g: (jnp.zeros_like(x),))


@jax.custom_batching.custom_vmap
def _shifted(x):
    return x[:, 1:] + 1


_shifted.def_vmap(lambda size, batched, x: (x + 1, True))


@pytest.mark.parametrize("name", CASES)
def test_each_operation_sees_what_changes_it(name):
    assert_exact(CASES[name], IMAGE)


UNCERTAIN = {
    "places from data": lambda x: x[:, jnp.argmax(x[:, :, 0, 0], 1)],
    "slice from data": lambda x: lax.dynamic_slice_in_dim(x, x[0, 0, 0, 0].astype(int) % 4, 2, 1),
    "update from data": lambda x: lax.dynamic_update_slice_in_dim(
        x, x[:, :1], x[0, 0, 0, 0].astype(int) % 4, 1
    ),
    "scatter from data": lambda x: x.at[:, x[0, :2, 0, 0].astype(int) % 7].set(0.0),
    "deformed": lambda x: x[:, jnp.clip(x[0, :, :, 0].astype(int), 0, 6), jnp.arange(6)[None]],
    "while": lambda x: lax.while_loop(lambda c: c[0, 0, 0, 0] < 100, lambda c: conv(c), x),
    "long loop": lambda x: lax.fori_loop(0, 300, lambda i, c: jnp.roll(c, 1, 1), x),
    "long map": lambda x: lax.map(lambda row: 2 * row, jnp.repeat(x, 100, 1).swapaxes(0, 1)),
    "unknown primitive": lambda x: lax.linalg.cholesky(x[0, :4, 0] @ x[0, :4, 0].T),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_what_data_decides_is_said_and_seen_whole(name):
    """The field may be wider than what this data shows, never narrower."""
    assert_covers(UNCERTAIN[name], IMAGE)


def test_examples_of_a_data_dependent_gather_stay_apart():
    def deformed(x):
        rows = jnp.clip(x[..., 0].astype(int), 0, 6)
        return x[jnp.arange(2)[:, None, None], rows, jnp.arange(6)[None, None]]

    (output,) = walked(deformed, IMAGE, extend=False)
    examples, rows, columns, channels = map(read, output.reach)
    assert (examples.size, examples.jump) == (1, 1)
    assert rows.whole
    assert columns.size == 1
    assert channels.size == 4  # the channel that decides, to the one that is read


def test_a_branch_that_data_chooses_sees_what_either_does():
    def chosen(x):
        return lax.cond(x[0, 0, 0, 0] > 1.5, lambda x: conv(x), lambda x: conv(x, taps=(5, 5)), x)

    (output,) = walked(chosen, IMAGE, extend=False)
    rows = output.reach[1]
    # the decision is read from the first row
    assert (np.maximum(rows.low, 0) == 0).all()
    assert rows.high.ravel().tolist() == [2, 3, 4, 5, 6, 6, 6]


def test_a_loop_without_rounds_returns_its_start():
    (output,) = walked(lambda x: lax.scan(lambda c, _: (conv(c), None), x, length=0)[0], IMAGE, extend=False)
    assert read(output.reach[1]).size == 1
