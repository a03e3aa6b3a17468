"""Receptive fields of whole networks: against the support of their gradients, and by hand."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import ops
from jaxcnn.analysis import trace
from jaxcnn.analysis.jaxpr.field import read
from tests.analysis.influence import hulls, walked


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def fields(fn, *sizes):
    """What the output of a function sees along every axis, padding included."""
    (output,) = walked(fn, sizes, extend=True)
    assert not output.unknown
    return [read(part) for part in output.reach]


def conv(x, taps, **options):
    """With positive weights, so that no dependence cancels."""
    features = options.pop("features", 2)
    kernel = np.random.default_rng(taps).uniform(0.5, 1, (taps, x.shape[-1], features))
    return ops.conv(x, jnp.asarray(kernel, jnp.float32), **options)


def enlarge(x, taps, stride):
    padding = ((taps - 1, taps - 1),)
    kernel = np.random.default_rng(taps).uniform(0.5, 1, (taps, x.shape[-1], 2))
    return lax.conv_general_dilated(
        x,
        jnp.asarray(kernel, x.dtype),
        (1,),
        padding,
        lhs_dilation=(stride,),
        dimension_numbers=("NHC", "HIO", "NHC"),
    )


def random_network(seed):
    """A function of (1, n, 1): windows, enlargements, branches and moves in random order."""

    def layer(x, rng):
        taps, stride, dilation = int(rng.integers(1, 6)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
        low, high = (int(n) for n in rng.integers(0, 4, 2))
        match rng.integers(9):
            case 0 | 1:
                return conv(x, taps, strides=stride, padding=((low, high),), dilation=dilation)
            case 2:
                return conv(x, taps, padding="CAUSAL", dilation=dilation)
            case 3:
                return enlarge(x, taps, stride)
            case 4:
                return jnp.repeat(x, 2, axis=1)
            case 5:
                return x + conv(x, 2 * (taps // 2) + 1, features=x.shape[-1], dilation=dilation)
            case 6:
                return jnp.concatenate([conv(x, 3, strides=2), conv(x, 5, strides=2)], -1)
            case 7:
                return ops.avg_pool(x, 3, strides=stride, padding=1)
            case _:
                return jax.nn.relu(x[:, low:, :])

    def network(x):
        rng = np.random.default_rng(seed)  # anew, so that it is the same each time it is traced
        for _ in range(int(rng.integers(2, 6))):
            x = layer(x, rng)
        return x

    return network


@pytest.mark.parametrize("seed", range(24))
def test_fields_of_random_networks_are_the_support_of_their_gradients(seed):
    network, sizes = random_network(seed), (1, 300, 1)
    found = jax.jit(jax.jacobian(lambda x: network(x).sum((0, 2))))(jnp.ones(sizes)) != 0
    low, high = hulls(np.asarray(found), 3, 1)
    (clipped,) = walked(network, sizes, extend=False)
    exact = read(clipped.reach[1])
    seen = [exact.seen(i) or (-1, -2) for i in range(len(low))]
    assert seen == list(zip(low, high, strict=True))

    field = fields(network, *sizes)[1]
    middle = range(len(low) * 2 // 5, len(low) * 3 // 5)
    assert [(field.low[i], field.high[i]) for i in middle] == [seen[i] for i in middle]
    assert field.size == max(high[i] - low[i] + 1 for i in middle)
    rounding = field.low - [float(field.start + i * field.jump) for i in range(len(low))]
    assert np.ptp(rounding) < max(field.size, 3)  # the outputs of an enlargement share entries
    if field.regular:
        assert not rounding[::72].any()


def test_three_kernels_of_3_see_7():
    field = fields(lambda x: conv(conv(conv(x, 3), 3), 3), 1, 32, 1)[1]
    assert (field.size, field.jump, field.start, field.axis, field.regular) == (7, 1, -3, 1, True)


@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (3, 2), (5, 3), (2, 7)])
def test_a_dilated_kernel_sees_k_plus_k_minus_1_times_d_minus_1(taps, dilation):
    field = fields(lambda x: conv(x, taps, dilation=dilation), 1, 64, 1)[1]
    assert field.size == taps + (taps - 1) * (dilation - 1)


def test_a_temporal_network_sees_1_plus_the_sum_of_k_minus_1_times_d():
    def tcn(x):
        for dilation in (1, 2, 4, 8):
            x = x + conv(
                conv(x, 3, padding="CAUSAL", dilation=dilation), 3, padding="CAUSAL", dilation=dilation
            )
        return x

    field = fields(tcn, 1, 100, 2)[1]
    assert field.size == 1 + 2 * (3 - 1) * (1 + 2 + 4 + 8)
    assert all(field.high == np.arange(100))  # causal: nothing later


@pytest.mark.parametrize("pixels", [224, 32])
@pytest.mark.parametrize(
    ("strided", "size"),
    [
        ((None, 0, 0, 0), 427),  # 11 after the stem, then 3·8, 8 + 3·16, 16 + 5·32, 32 + 2·64
        ((2, 3, 5, None), 483),  # strides at the end of a stage, as in Araujo et al., Distill 2019
    ],
)
def test_strides_multiply(strided, size, pixels):
    """The windows of ResNet-50; a map of one pixel still knows how far apart its pixels would be."""

    def resnet50(x):
        x = conv(x, 7, strides=2, padding=3)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 1), (1, 2, 1), ((0, 0), (1, 1), (0, 0)))
        for blocks, last in zip((3, 4, 6, 3), strided, strict=True):
            for i in range(blocks):
                stride = 2 if i == last else 1
                past = conv(x, 1, strides=stride, padding=0)
                x = past + conv(conv(conv(x, 1), 3, strides=stride, padding=1), 1)
        return x

    field = fields(resnet50, 1, pixels, 3)[1]
    assert (field.size, field.jump) == (size, 32)


def test_enlarging_halves_the_jump():
    field = fields(lambda x: enlarge(x, 4, 2), 1, 16, 1)[1]
    assert (field.size, field.jump) == (2, Fraction(1, 2))
    field = fields(lambda x: jnp.repeat(conv(x, 3, strides=2, padding=1), 2, 1), 1, 16, 1)[1]
    assert (field.size, field.jump, field.start) == (3, 1, -1)
    field = fields(lambda x: jax.image.resize(x, (1, 32, 1), "bilinear"), 1, 16, 1)[1]
    assert (field.size, field.jump, field.start) == (2, Fraction(1, 2), -1)


def test_branches_of_two_scales_see_the_hull():
    field = fields(lambda x: conv(x, 3) + conv(x, 7, padding=((6, 0),)), 1, 32, 1)[1]
    assert (field.size, field.start) == (8, -6)


def test_normalizing_over_the_image_sees_it_whole():
    def instance_normed(x):
        x = conv(x, 3)
        return x - x.mean(1, keepdims=True)

    batch, rows, channels = fields(instance_normed, 2, 32, 4)
    assert (rows.size, rows.jump, rows.whole, rows.fixed) == (32, 0, True, True)
    assert (batch.size, batch.jump) == (1, 1)  # examples stay apart
    assert channels.whole


def test_a_statistic_over_the_batch_mixes_examples():
    batch = fields(lambda x: x - x.mean((0, 1), keepdims=True), 4, 8, 2)[0]
    assert batch.whole
    assert batch.fixed


def test_groups_keep_channels_apart():
    channels = fields(lambda x: ops.conv(x, jnp.ones((3, 4, 16)), groups=2), 1, 8, 8)[2]
    assert (channels.low[:8].max(), channels.high[:8].max()) == (0, 3)
    assert (channels.low[8:].min(), channels.high[8:].max()) == (4, 7)


def test_circular_padding_is_regular_but_at_the_border():
    field = fields(lambda x: conv(conv(x, 3, padding="CIRCULAR"), 3, padding="CIRCULAR"), 1, 32, 1)[1]
    assert (field.size, field.jump, field.start, field.regular) == (5, 1, -2, False)
    assert field.seen(0) == (0, 31)
    assert field.seen(2) == (0, 4)


def test_clipped_fields_end_where_the_image_does():
    traced = trace(lambda x: conv(x, 5), shape(1, 16, 1), clip=True)
    field = traced.layers[-1].fields[1]
    assert [field.seen(i) for i in (0, 1, 8, 15)] == [(0, 2), (0, 3), (6, 10), (13, 15)]
    assert field.size == 5
