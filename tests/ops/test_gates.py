"""Gates against the same arithmetic in torch, with every gradient."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ops
from tests.ops.parity import assert_agree

rng = np.random.default_rng(0)
C, R = 6, 3
SQUEEZE = rng.standard_normal((C, R)), rng.standard_normal(R)
EXCITE = rng.standard_normal((R, C)), rng.standard_normal(C)
KERNEL = rng.standard_normal((3, 3, 2, 1))


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


@pytest.mark.parametrize(
    "gate",
    [
        lambda x, **mask: ops.squeeze_excite(x, SQUEEZE, EXCITE, **mask),
        lambda x, **mask: ops.cbam(x, SQUEEZE, EXCITE, KERNEL, **mask),
        lambda x, **mask: ops.coordinate_attention(x, SQUEEZE, [EXCITE, EXCITE], norm=_centred, **mask),
    ],
    ids=["squeeze_excite", "cbam", "coordinate_attention"],
)
def test_an_image_of_a_padded_batch_is_gated_as_it_is_alone(gate):
    """What lies outside, NaN here, takes no part; neither does it in the gradient."""
    x = np.full((2, 4, 5, C), np.nan)
    x[0], x[1, :3, :2] = rng.standard_normal((4, 5, C)), rng.standard_normal((3, 2, C))
    mask = ~np.isnan(x[..., 0])

    def both(x, weights, **mask):
        def loss(x):
            return jnp.sum(jnp.where(weights == 0, 0, gate(x, **mask)) * weights)

        return jax.jit(jax.value_and_grad(loss), compiler_options={"xla_backend_optimization_level": 0})(x)

    weights = np.where(mask[..., None], rng.standard_normal(x.shape), 0)
    with jax.enable_x64(True):
        value, gradient = both(jnp.asarray(x), weights, mask=mask)
        first, of_first = both(jnp.asarray(x[:1]), weights[:1])
        second, of_second = both(jnp.asarray(x[1:, :3, :2]), weights[1:, :3, :2])
    np.testing.assert_allclose(value, first + second, rtol=1e-12)
    np.testing.assert_allclose(gradient[:1], of_first, rtol=1e-9)
    np.testing.assert_allclose(gradient[1:, :3, :2], of_second, rtol=1e-9)
    assert (np.asarray(gradient)[~mask] == 0).all()


def _centred(codes, mask=None):
    """Each example's codes less their mean."""
    counted = jnp.ones(codes.shape[:2]) if mask is None else mask
    return codes - jnp.mean(codes, 1, where=counted[..., None] > 0, keepdims=True)


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
            "the kernel of squeeze has shape (3, 2): expected (4, features)",
        ),
        (
            lambda x: ops.squeeze_excite(x, (jnp.ones((4, 2)), None), (jnp.ones((2, 1)), None)),
            "the kernel of excite has shape (2, 1): expected (2, 4)",
        ),
        (
            lambda x: ops.channel_attention(x, (jnp.ones(4), None), (jnp.ones((2, 4)), None)),
            "the kernel of squeeze has shape (4,): expected (4, features)",
        ),
        (
            lambda x: ops.squeeze_excite(x, (jnp.ones((4, 2)), jnp.ones(1)), (jnp.ones((2, 4)), None)),
            "the bias of squeeze has shape (1,): expected (2,)",
        ),
        (
            lambda x: ops.squeeze_excite(x, (jnp.ones((4, 2)), None), (jnp.ones((2, 4)), jnp.ones(2))),
            "the bias of excite has shape (2,): expected (4,)",
        ),
        (
            lambda x: ops.spatial_attention(x, jnp.ones((3, 3, 2, 4))),
            "kernel has shape (3, 3, 2, 4): expected 2",
        ),
        (lambda x: ops.spatial_attention(x, jnp.ones((3, 2, 1))), "kernel has shape (3, 2, 1): expected 2"),
        (
            lambda x: ops.coordinate_attention(x, (jnp.ones((3, 2)), None), [(jnp.ones((2, 4)), None)] * 2),
            "the kernel of reduce has shape (3, 2): expected (4, features)",
        ),
        (
            lambda x: ops.coordinate_attention(
                x, (jnp.ones((4, 2)), None), [(jnp.ones((2, 4)), None), (jnp.ones((2, 1)), None)]
            ),
            "the kernel of expand[1] has shape (2, 1): expected (2, 4)",
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
