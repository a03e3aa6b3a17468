"""Windows tap by tap, against a plain enumeration of what they read."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.ops.geometry import output_size
from jaxcnn.ops.geometry.window import Window
from jaxcnn.ops.window import read, taps


@st.composite
def windows(draw):
    kernel, stride, dilation = (draw(st.integers(1, 4)) for _ in range(3))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = draw(st.integers(max((kernel - 1) * dilation + 1 - sum(padding), 1), 14))
    return Window.fit(
        size, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=draw(st.booleans())
    )


def places(window):
    """For each output the input row under each tap."""
    starts = np.arange(window.outputs)[:, None] * window.stride - window.low
    return starts + np.arange(window.kernel) * window.dilation


@settings(max_examples=200, deadline=None, derandomize=True)
@given(windows())
def test_a_window_by_enumeration(window):
    under = places(window)
    inside = (under >= 0) & (under < window.size)
    assert window.counts() == inside.sum(1).tolist()
    padded = (under >= -window.low) & (under < window.size + window.high)
    assert window.counts(include_padding=True) == padded.sum(1).tolist()
    low, high = window.reach()
    assert low == window.low
    assert high == max(under.max() - window.size + 1, 0)
    for tap in range(window.kernel):
        reads = window.reads(tap)
        assert reads.inside == inside[:, tap].sum()
        assert reads.before + reads.inside + reads.after == window.outputs
        if reads.inside:
            assert inside[reads.before : reads.before + reads.inside, tap].all()
            assert reads.start == under[reads.before, tap]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(windows())
def test_every_read_is_found_again_from_the_pixel(window):
    """What the gradient of pooling rests on: block − distance is the output, the table names the tap."""
    found = {}
    for distance in range(window.reaches):
        for residue, tap in enumerate(window.reaching(distance)):
            for block in range(window.blocks):
                output = block - distance
                if tap >= 0 and 0 <= output < window.outputs:
                    found[output, tap] = block * window.stride + residue - window.low
    expected = {
        (output, tap): place for output, row in enumerate(places(window)) for tap, place in enumerate(row)
    }
    assert found == expected


@settings(max_examples=12, deadline=None, derandomize=True)
@given(windows())
def test_reading_by_slices(window):
    x = np.arange(1.0, window.size + 1)
    padded = dict(enumerate(x))
    for (tap,) in taps({0: window}):
        expected = [padded.get(place, -1.0) for place in places(window)[:, tap]]
        np.testing.assert_array_equal(read(jnp.asarray(x), {0: window}, (tap,), -1.0), expected)


def test_a_window_has_the_outputs_of_the_size_rule():
    window = Window.fit(7, 3, stride=2, padding=(1, 0), ceil_mode=True)
    assert window.outputs == output_size(7, 3, stride=2, padding=(1, 0), ceil_mode=True)
