"""Sizes against windows counted by hand, XLA and torch; receptive fields against what outputs read."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcnn.ops import geometry

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)
windows = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 5),
        "stride": st.integers(1, 5),
        "padding": st.tuples(st.integers(0, 4), st.integers(0, 4)),
        "dilation": st.integers(1, 3),
    }
)


def taps_of(size, kernel, stride, padding, dilation):
    """The rows that each window reads, counted: padded positions from 0 on, as long as the window fits."""
    low, high = padding
    starts = itertools.takewhile(
        lambda start: start + (kernel - 1) * dilation < size + low + high, itertools.count(0, stride)
    )
    return [[start - low + tap * dilation for tap in range(kernel)] for start in starts]


@SETTINGS
@given(st.integers(1, 20), windows)
def test_sizes_and_losses_are_those_of_the_windows_counted(size, window):
    reads = taps_of(size, **window)
    if not reads:
        with pytest.raises(ValueError, match="does not fit"):
            geometry.output_size(size, **window)
        return
    assert geometry.output_size(size, **window) == len(reads)
    seen = {row for rows in reads for row in rows}
    loss = geometry.stride_loss(size, **window)
    assert loss.unseen == tuple(row for row in range(size) if row not in seen)
    assert loss.exact == (reads[-1][-1] == size + window["padding"][1] - 1)
    assert geometry.tap_rows(size, **window) == reads
    for i, rows in enumerate(reads):
        assert geometry.window_inputs((i, i), **window) == (rows[0], rows[-1])


@SETTINGS
@given(st.integers(1, 20), windows)
def test_needed_input_and_kernel_invert_the_output_size(outputs, window):
    try:
        size = geometry.input_size(outputs, **window)
    except ValueError:
        smallest = geometry.extent(window["kernel"], window["dilation"]) - sum(window["padding"])
        assert (outputs - 1) * window["stride"] + smallest < 1
        return
    stride = window["stride"]
    assert geometry.output_size(size + stride - 1, **window) == outputs
    assert geometry.output_size(size + stride, **window) == outputs + 1
    assert geometry.stride_loss(size, **window).exact
    rest = {key: window[key] for key in ("stride", "padding", "dilation")}
    assert geometry.kernel_size(size, outputs, **rest) == window["kernel"]


def test_figures_of_the_field():
    assert geometry.output_size(32, 5) == 28
    assert geometry.output_size(32, 5, stride=3) == 10
    assert geometry.output_size(7, 3) == 5
    assert geometry.output_size(7, 3, padding=1) == 7
    assert geometry.kernel_size(32, 28) == 5
    assert geometry.stride_loss(7, 3, stride=3) == (False, (6,))
    assert geometry.stride_loss(7, 3, stride=2) == (True, ())
    assert all(geometry.same_padding(32, odd) == ((odd - 1) // 2,) * 2 for odd in (1, 3, 5, 7))
    assert [geometry.extent(3, d) for d in (1, 2, 4)] == [3 + 2 * (d - 1) for d in (1, 2, 4)]


@SETTINGS
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
def test_same_padding_is_xlas(size, kernel, stride, dilation):
    span = (kernel - 1) * dilation + 1
    (expected,) = lax.padtype_to_pads((size,), (span,), (stride,), "SAME")
    assert geometry.same_padding(size, kernel, stride=stride, dilation=dilation) == tuple(expected)
    (entry,) = geometry.resolve_padding("SAME", (size,), (kernel,), (stride,), (dilation,))
    assert entry == (*expected, "zeros")


@SETTINGS
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
@pytest.mark.parametrize("name", ["SAME", "CAUSAL", "CIRCULAR", "REPLICATE"])
def test_named_padding_gives_an_output_for_every_stride(name, size, kernel, stride, dilation):
    (entry,) = geometry.resolve_padding(name, (size,), (kernel,), (stride,), (dilation,))
    outputs = geometry.output_size(size, kernel, stride=stride, padding=entry.pair, dilation=dilation)
    assert outputs == -(-size // stride)


def test_sizes_of_all_axes():
    sizes = geometry.output_sizes((9, 8), (3, 2), strides=(2, 1), padding=("SAME", (1, 0)), dilation=(1, 3))
    assert sizes == (5, 6)
    with pytest.raises(ValueError, match=re.escape("kernel=(3,): expected an int or 2 ints")):
        geometry.output_sizes((9, 8), (3,))


def test_padding_by_axis():
    pads = geometry.resolve_padding(
        ("CAUSAL", "CIRCULAR", (2, 0)), (9, 9, 9), (3, 3, 3), (1, 2, 1), (2, 1, 1)
    )
    assert pads == ((4, 0, "zeros"), (1, 1, "circular"), (2, 0, "zeros"))
    assert geometry.resolve_padding("FULL", (4,), (3,), dilation=(2,)) == ((4, 4, "zeros"),)
    assert geometry.resolve_padding(1, (4, 4), (3, 3)) == ((1, 1, "zeros"),) * 2


@SETTINGS
@given(st.integers(1, 20), st.integers(1, 20))
def test_centre_padding_centres(size, target):
    low, high = geometry.centre_padding(size, target)
    assert low + size + high == max(size, target)
    assert high - low in (0, 1)


@SETTINGS
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2), st.integers(1, 2))
def test_ceil_mode_is_torchs(size, kernel, stride, padding, dilation):
    torch = pytest.importorskip("torch")
    padding = min(padding, kernel // 2)
    if geometry.extent(kernel, dilation) >= size + 2 * padding + stride:
        return
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    y = torch.nn.functional.max_pool1d(torch.zeros(1, 1, size), kernel, **window, ceil_mode=True)
    outputs = geometry.output_size(size, kernel, **window, ceil_mode=True)
    assert outputs == y.shape[-1]
    more = geometry.overhang(size, kernel, **window)
    assert (
        geometry.output_size(
            size, kernel, stride=stride, padding=(padding, padding + more), dilation=dilation
        )
        >= outputs
    )
    last = (outputs - 1) * stride - padding + (kernel - 1) * dilation
    assert more == max(last - (size + padding - 1), 0)


@settings(SETTINGS, max_examples=100)
@given(st.integers(1, 12), windows, st.integers(0, 4))
def test_transposed_size_and_reach_are_torchs(size, window, output_padding):
    torch = pytest.importorskip("torch")
    window["padding"] = window["padding"][0]
    output_padding = min(output_padding, max(window["stride"], window["dilation"]) - 1)
    x = torch.eye(size)[:, None]  # an impulse in every place, each an example: y is the operator's matrix
    kernel = torch.ones(1, 1, window["kernel"])
    sizes = {"stride": window["stride"], "padding": window["padding"], "dilation": window["dilation"]}
    try:
        outputs = geometry.transposed_size(size, **window, output_padding=output_padding)
    except ValueError:
        x = torch.zeros(1, 1, size, requires_grad=True)  # otherwise torch does not always look
        with pytest.raises(RuntimeError):
            torch.nn.functional.conv_transpose1d(x, kernel, output_padding=output_padding, **sizes)
        return
    y = torch.nn.functional.conv_transpose1d(x, kernel, output_padding=output_padding, **sizes)
    assert outputs == y.shape[-1]
    for i in range(outputs):
        read = np.flatnonzero(y[:, 0, i].numpy())
        first, last = geometry.transposed_inputs((i, i), **window)
        assert all(first <= row <= last for row in read)
        if window["dilation"] == 1 and len(read):
            assert (max(first, 0), min(last, size - 1)) == (read[0], read[-1])


@SETTINGS
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 6), st.integers(1, 9))
def test_phases_hold_every_product_of_a_transposed_convolution_once(kernel, stride, dilation, low, outputs):
    numbers = {"stride": stride, "low": low, "outputs": outputs, "dilation": dilation}
    phases, count, drop = geometry.transposed_phases(kernel, **numbers)
    assert len(phases) == stride
    assert count * stride >= drop + outputs
    found = set()
    for residue, phase in enumerate(phases):
        for q in range(count):
            for m, tap in enumerate(reversed(phase.taps)):
                found.add((q * stride + residue - drop, phase.start + q + m * phase.dilation, tap))
    found = {product for product in found if 0 <= product[0] < outputs}
    expected = {
        (output, (output + low - tap * dilation) // stride, tap)
        for output in range(outputs)
        for tap in range(kernel)
        if (output + low - tap * dilation) % stride == 0
    }
    assert found == expected


def test_receptive_field_composes():
    layers = [(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 2, 2), (2, 2, 0, 1)]  # kernel, stride, padding, dilation
    field = geometry.ReceptiveField()
    for kernel, stride, padding, dilation in layers:
        field = field.then(kernel, stride=stride, padding=padding, dilation=dilation)
    for i in range(3):
        rows = (i, i)
        for kernel, stride, padding, dilation in reversed(layers):
            rows = geometry.window_inputs(rows, kernel, stride=stride, padding=padding, dilation=dilation)
        start = field.start + i * field.jump
        assert rows == (start, start + field.size - 1)
    assert geometry.ReceptiveField().then(3).then(3).then(3).size == geometry.ReceptiveField().then(7).size


@SETTINGS
@given(st.integers(1, 20), st.integers(1, 25))
def test_adaptive_windows_are_torchs(size, outputs):
    torch = pytest.importorskip("torch")
    y = torch.nn.functional.adaptive_avg_pool1d(torch.eye(size)[:, None], outputs)  # the operator's matrix
    for i in range(outputs):
        start, stop = geometry.adaptive_window(i, size, outputs)
        assert np.flatnonzero(y[:, 0, i].numpy()).tolist() == list(range(start, stop))


def test_spatial_tuple():
    assert geometry.spatial_tuple(2, 2, "strides") == (2, 2)
    assert geometry.spatial_tuple([np.int64(1), 3], 2, "strides") == (1, 3)
    assert geometry.spatial_tuple(0, 1, "output_padding", minimum=0) == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: geometry.spatial_tuple(0, 2, "strides"), ValueError, "strides=0: expected 1 or more"),
        (
            lambda: geometry.spatial_tuple((1, 2, 3), 2, "strides"),
            ValueError,
            "strides=(1, 2, 3): expected an int or 2",
        ),
        (
            lambda: geometry.spatial_tuple(1.5, 2, "dilation"),
            TypeError,
            "dilation=1.5: expected an int or 2 ints",
        ),
        (lambda: geometry.spatial_tuple("ab", 2, "dilation"), TypeError, "dilation='ab': expected an int"),
        (lambda: geometry.resolve_padding("same", (4,), (3,)), ValueError, "did you mean SAME?"),
        (lambda: geometry.resolve_padding("ZERO", (4,), (3,)), ValueError, "padding='ZERO' is not known"),
        (lambda: geometry.resolve_padding(-1, (4,), (3,)), ValueError, "padding=-1: expected 0 or more"),
        (lambda: geometry.resolve_padding((1, 2), (4,), (3,)), ValueError, "expected 1 entries"),
        (
            lambda: geometry.resolve_padding(1.0, (4,), (3,)),
            TypeError,
            "padding=1.0: expected a name, an int",
        ),
        (
            lambda: geometry.resolve_padding([(1, 2, 3)], (4,), (3,)),
            ValueError,
            "expected a name, an int or a (low",
        ),
        (
            lambda: geometry.resolve_padding("REFLECT", (2,), (5,)),
            ValueError,
            "mirrors 2 pixels beside the edge",
        ),
        (lambda: geometry.resolve_padding("CIRCULAR", (0,), (3,)), ValueError, "an axis of it has no pixel"),
        (lambda: geometry.output_size(0, 1), ValueError, "does not fit in 0 + 0 + 0"),
        (lambda: geometry.output_size(5, 3, stride=0), ValueError, "stride=0: expected 1 or more"),
        (lambda: geometry.output_size(5, 0), ValueError, "kernel=0: expected 1 or more"),
        (lambda: geometry.output_size(5, 3, dilation=-1), ValueError, "dilation=-1: expected 1 or more"),
        (lambda: geometry.output_size(5, 3.0), TypeError, "kernel=3.0: expected an int"),
        (lambda: geometry.output_size(5, 3, padding=(1, 2, 3)), ValueError, "padding=(1, 2, 3): expected"),
        (lambda: geometry.output_size(5, 3, padding=0.5), TypeError, "padding=0.5: expected a name, an int"),
        (lambda: geometry.input_size(5, 3, stride=-1), ValueError, "stride=-1: expected 1 or more"),
        (lambda: geometry.kernel_size(5, 3, dilation=0), ValueError, "dilation=0: expected 1 or more"),
        (lambda: geometry.same_padding(5, 3, stride=0), ValueError, "stride=0: expected 1 or more"),
        (lambda: geometry.stride_loss(5, 3, stride=0), ValueError, "stride=0: expected 1 or more"),
        (lambda: geometry.transposed_size(5, 3, stride=0), ValueError, "stride=0: expected 1 or more"),
        (lambda: geometry.ReceptiveField().then(3, stride=-1), ValueError, "stride=-1: expected 1 or more"),
        (lambda: geometry.ReceptiveField().then(-3), ValueError, "kernel=-3: expected 1 or more"),
        (lambda: geometry.input_size(0, 3), ValueError, "0 outputs with kernel 3"),
        (lambda: geometry.kernel_size(4, 9), ValueError, "no kernel leads from 4 to 9"),
        (lambda: geometry.kernel_size(6, 3, dilation=2), ValueError, "dilation 2: it would span 4"),
        (lambda: geometry.transposed_size(1, 3, padding=2), ValueError, "leaves -1 after cropping 2 + 2"),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
