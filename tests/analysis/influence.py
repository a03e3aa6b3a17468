"""Which inputs change which outputs, found by trying; and what the analyser says of the same function."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.analysis.jaxpr import calls, reach, rules
from jaxcnn.analysis.jaxpr.walk import Walk


def influence(fn, shape):
    """Booleans (*output, *input): whether a change of an input entry, up or down, changes an output entry.

    Some changes are large, to win every maximum, and some small, to saturate nothing.
    """
    size = np.prod(shape)
    start = np.random.default_rng(0).uniform(1, 2, (1, size))
    changes = np.concatenate([np.eye(size) * change for change in (3, -3, 50, -50)])
    rows = np.concatenate([part * scale for scale in (1, 0.05) for part in (start, start + changes)])

    tried = np.asarray(
        jax.jit(lambda rows: jax.lax.map(lambda row: fn(row.reshape(shape)), rows))(
            jnp.asarray(rows, jnp.float32)
        )
    )
    each = tried.reshape(2, -1, *tried.shape[1:])  # of each scale: the start, then its changes
    changed = (each[:, 1:] != each[:, :1]).reshape(2, 4, size, *tried.shape[1:]).any((0, 1))
    found = np.moveaxis(changed, 0, -1)
    return found.reshape(*found.shape[:-1], *shape)


def hulls(found, ndim, axis):
    """First and last entry along an input axis that each output depends on; -1 and -2 for none."""
    others = tuple(a for a in range(found.ndim - ndim, found.ndim) if a != found.ndim - ndim + axis)
    along = found.any(others)
    size = along.shape[-1]
    low = np.where(along.any(-1), along.argmax(-1), -1)
    high = np.where(along.any(-1), size - 1 - along[..., ::-1].argmax(-1), -2)
    return low, high


def walked(fn, shape, *, extend):
    """The values that a function of one array returns, as the analyser follows them."""
    closed = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct(shape, jnp.float32))
    walk = Walk(rules.RULES, shape, extend=extend)
    start = tuple(reach.identity(shape, axis) for axis in range(len(shape)))
    x = calls.Value(shape, np.dtype("float32"), start)
    return walk.program(closed.jaxpr, [calls.known(const) for const in closed.consts], [x])


def assert_exact(fn, shape, *, unknown=False):
    """Every entry of every output sees, along every axis of the input, exactly what changes it."""
    (output,) = walked(fn, shape, extend=False)
    assert bool(output.unknown) == unknown, output.unknown
    found = influence(fn, shape)
    assert output.shape == found.shape[: found.ndim - len(shape)]
    for axis, size in enumerate(shape):
        low, high = hulls(found, len(shape), axis)
        part = output.reach[axis] if output.reach else reach.nothing(len(output.shape), size)
        said_low = np.broadcast_to(np.maximum(part.low, 0), low.shape)
        said_high = np.broadcast_to(np.minimum(part.high, size - 1), high.shape)
        none = said_low > said_high
        np.testing.assert_array_equal(np.where(none, -1, said_low), low, f"first entry seen on axis {axis}")
        np.testing.assert_array_equal(np.where(none, -2, said_high), high, f"last entry seen on axis {axis}")


def assert_covers(fn, shape, *, unknown=True):
    """The analyser claims no less than what is found, and says whether it knows."""
    (output,) = walked(fn, shape, extend=False)
    assert bool(output.unknown) == unknown, output.unknown
    found = influence(fn, shape)
    for axis in range(len(shape)):
        low, high = hulls(found, len(shape), axis)
        some = low >= 0
        part = output.reach[axis]
        assert (np.broadcast_to(part.low, low.shape)[some] <= low[some]).all()
        assert (np.broadcast_to(part.high, low.shape)[some] >= high[some]).all()
