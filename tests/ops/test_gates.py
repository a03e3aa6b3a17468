"""Gates against the same arithmetic in torch, with every gradient."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import assert_agree

rng = np.random.default_rng(0)
C, R = 6, 3
SQUEEZE = rng.standard_normal((C, R)), rng.standard_normal(R)
EXCITE = rng.standard_normal((R, C)), rng.standard_normal(C)


def images(ndim):
    return rng.standard_normal((2, *(4, 3, 5)[:ndim], C))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_squeeze_excite(ndim):
    torch = pytest.importorskip("torch")

    def theirs(x, w1, b1, w2, b2):
        mean = x.flatten(1, -2).mean(1)
        gate = torch.sigmoid(torch.relu(mean @ w1 + b1) @ w2 + b2)
        return x * gate.reshape(len(x), *(1,) * ndim, C)

    assert_agree(
        lambda x, w1, b1, w2, b2: ops.squeeze_excite(x, (w1, b1), (w2, b2)),
        theirs,
        images(ndim),
        *SQUEEZE,
        *EXCITE,
    )


def test_cbam():
    torch = pytest.importorskip("torch")

    def theirs(x, w1, b1, w2, b2, kernel, bias):
        flat = x.flatten(1, 2)
        both = [torch.relu(pooled @ w1 + b1) @ w2 + b2 for pooled in (flat.mean(1), flat.amax(1))]
        x = x * torch.sigmoid(sum(both))[:, None, None]
        maps = torch.stack([x.mean(-1), x.amax(-1)], 1)
        found = torch.nn.functional.conv2d(maps, kernel.permute(3, 2, 0, 1), bias, padding=1)
        return x * torch.sigmoid(found.permute(0, 2, 3, 1))

    assert_agree(
        lambda x, w1, b1, w2, b2, kernel, bias: ops.cbam(x, (w1, b1), (w2, b2), kernel, bias),
        theirs,
        images(2),
        *SQUEEZE,
        *EXCITE,
        rng.standard_normal((3, 3, 2, 1)),
        rng.standard_normal(1),
    )


def test_coordinate_attention():
    functional = pytest.importorskip("torch").nn.functional
    mean, var = rng.standard_normal(R), rng.uniform(0.5, 2, R)

    def ours(x, w, b, wh, bh, ww, bw):
        def norm(codes):
            return ops.batch_norm(codes, None, None, jnp.asarray(mean), jnp.asarray(var), epsilon=0.0)

        return ops.coordinate_attention(x, (w, b), [(wh, bh), (ww, bw)], norm=norm)

    def theirs(x, w, b, wh, bh, ww, bw):
        torch = pytest.importorskip("torch")
        mu, sd = torch.from_numpy(mean), torch.from_numpy(np.sqrt(var))

        def code(profile):
            return functional.hardswish((profile @ w + b - mu) / sd)

        rows = torch.sigmoid(code(x.mean(2)) @ wh + bh)
        columns = torch.sigmoid(code(x.mean(1)) @ ww + bw)
        return x * rows[:, :, None] * columns[:, None]

    assert_agree(ours, theirs, images(2), *SQUEEZE, *EXCITE, *(np.copy(each) for each in EXCITE))


def test_coordinate_gates_know_the_place_along_each_axis():
    x = np.zeros((1, 4, 5, 2), np.float32)
    x[0, 2] = 3.0  # a bright row
    layers = (jnp.eye(2), None), [(jnp.eye(2), None)] * 2
    gate = ops.coordinate_attention(jnp.asarray(x) + 1, *layers) / (x + 1)
    assert (gate[0, 2] > gate[0, 1] + 0.05).all()
    np.testing.assert_allclose(gate[0, 2], np.broadcast_to(gate[0, 2, :1], (5, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: ops.squeeze_excite(x, (jnp.ones((3, 2)), None), (jnp.ones((2, 4)), None)),
            "(channels, features)",
        ),
        (lambda x: ops.spatial_attention(x, jnp.ones((3, 3, 1, 1))), "kernel has shape (3, 3, 1, 1)"),
        (
            lambda x: ops.coordinate_attention(x, (jnp.ones((4, 2)), None), [(jnp.ones((2, 4)), None)]),
            "expand has 1 layers: expected 2",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jnp.ones((1, 5, 5, 4)))
