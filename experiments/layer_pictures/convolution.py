"""Pictures of convolution: its taps, padding, strides and matrices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import FIRST, INK, MUTED, PAPER, WRONG, Canvas
from experiments.layer_pictures.probe import influence, matrix
from jaxcnn import ops


def disk(size: int, radius: float) -> np.ndarray:
    """A bright disk with a soft rim."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    return np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)


def conv() -> Canvas:
    """A convolution: one kernel at every place of an image, one output pixel from one window."""
    x = disk(11, 3.6)
    kernel = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])

    def layer(x: jax.Array) -> jax.Array:
        taps = jnp.asarray(kernel.reshape(3, 3, 1, 1))
        return ops.conv(x.reshape(1, 11, 11, 1), taps, padding="VALID")[0, ..., 0]

    y = layer(jnp.asarray(x, jnp.float32))
    row, column = 5, 1
    window = np.argwhere(influence(layer, x, (row, column)))
    (top, left), (_, right) = window.min(axis=0).tolist(), window.max(axis=0).tolist()

    canvas = Canvas(250)
    pitch, big = 17, 34
    xs, ys = (44, 30), (523, 47)
    k = (311, 72)
    canvas.cells(x, *xs, pitch)
    canvas.cells(kernel, *k, big, scale=4.5)
    canvas.numbers([[f"{v:g}".replace("-", "−") for v in line] for line in kernel], *k, big, size=13)
    canvas.cells(y, *ys, pitch)
    corner = (xs[0] + left * pitch - 1, xs[1] + top * pitch - 1)
    side = (right - left + 1) * pitch + 1
    end = (ys[0] + column * pitch - 1, ys[1] + row * pitch - 1)
    for at in (0, 1):
        canvas.lines(
            [
                [(corner[0] + side, corner[1] + at * side), (k[0] - 1, k[1] - 1 + at * (3 * big + 1))],
                [(k[0] + 3 * big, k[1] - 1 + at * (3 * big + 1)), (end[0], end[1] + at * (pitch + 1))],
            ],
            MUTED,
            opacity=0.6,
            line=0.8,
        )
    canvas.boxes([corner], side, INK, line=1.4)
    canvas.boxes([(k[0] - 1, k[1] - 1)], 3 * big + 1, INK, line=1.4)
    canvas.boxes([end], pitch + 1, INK, line=1.4)
    for middle, name, size in (
        (xs[0] + 5.5 * pitch, "x", "11 × 11 pixels"),
        (k[0] + 1.5 * big, "kernel", "3 × 3 taps"),
        (ys[0] + 4.5 * pitch, "y", "9 × 9, padding VALID"),
    ):
        canvas.note(middle, 236, f"{name}: {size}", anchor="middle")
    return canvas


def dilation() -> Canvas:
    """Dilation: nine taps that look at a wider and wider field, each read from the gradient of one output."""
    canvas = Canvas(246)
    size, pitch = 9, 20
    for left, gap in zip((44, 270, 496), (1, 2, 4), strict=True):
        centre = (0, size // 2, size // 2, 0)
        taps = influence(
            partial(ops.conv, kernel=jnp.ones((3, 3, 1, 1)), dilation=gap),
            np.ones((1, size, size, 1)),
            centre,
        )[0, ..., 0]
        seen = np.argwhere(taps)
        (top, first), span = seen.min(axis=0).tolist(), int(np.ptp(seen[:, 0])) + 1
        canvas.cells(taps, left, 26, pitch)
        canvas.boxes([(left + first * pitch - 1, 26 + top * pitch - 1)], span * pitch + 1, INK, line=1.4)
        words = f"dilation {gap}: {len(seen)} taps span {span} × {span}"
        canvas.note(left + size * pitch / 2, 230, words, anchor="middle")
    return canvas


def padding() -> Canvas:
    """Padding: what the windows of a kernel of five taps read beyond the ends of a row of five pixels."""
    x, taps, pitch, first = jnp.arange(1.0, 6.0).reshape(1, 5, 1), 5, 30, 290
    canvas = Canvas(36 + 34 * len(ops.geometry.PADDINGS))
    for row, name in enumerate(ops.geometry.PADDINGS):
        y = 26 + 34 * row
        # feature t of this kernel is tap t, so that every output lists what it reads
        windows = np.asarray(ops.conv(x, jnp.eye(taps)[:, None], padding=name)[0])
        read = [*windows[:-1, 0], *windows[-1]]
        low = ops.geometry.resolve_padding(name, (5,), (taps,))[0].low
        inside = np.array([0 <= i - low < 5 for i in range(len(read))])
        left = first - low * pitch
        canvas.text(44, y + 19, name, size=12)
        canvas.cells(np.where(inside, 0.45, -0.35), left, y, pitch, scale=1)
        canvas.numbers([f"{value:g}" for value in read], left, y, pitch, size=12)
        outputs = f"{len(windows)} output{'s' * (len(windows) > 1)}"
        canvas.note(676, y + 19, outputs, anchor="end")
    return canvas


def strides() -> Canvas:
    """Strides: outputs above the pixels they read. Windows that do not end with the row lose pixels."""
    size, taps, pitch = 7, 3, 28
    kernel = jnp.ones((taps, 1, 1))
    canvas = Canvas(178)
    for left, stride in zip((36, 262, 488), (1, 2, 3), strict=True):
        weights = matrix(partial(ops.conv, kernel=kernel, strides=stride, padding="VALID"), size)
        middles = [left + (np.flatnonzero(row).mean() + 0.5) * pitch - 0.5 for row in weights]
        lost = np.flatnonzero(~weights.any(axis=0)).tolist()
        canvas.lines(
            [
                [(middles[i], 52), (left + (j + 0.5) * pitch - 0.5, 112)]
                for i, j in np.argwhere(weights).tolist()
            ],
            MUTED,
            line=1,
            opacity=0.7,
        )
        canvas.cells(weights.any(axis=0) * 0.45, left, 112, pitch, scale=1)
        canvas.boxes([(m - 13.5, 26) for m in middles], pitch - 1, FIRST)
        canvas.boxes([(left + j * pitch, 112) for j in lost], pitch - 1, WRONG, line=1.6)
        report = ops.geometry.stride_loss(size, taps, stride=stride)
        assert report.unseen == tuple(lost)
        words = f"pixel {lost[0] + 1} is never read" if lost else f"{len(weights)} outputs read all 7"
        canvas.note(left + size * pitch / 2, 162, f"stride {stride}: {words}", anchor="middle")
    return canvas


def causal() -> Canvas:
    """Causal convolutions of two taps, dilation doubling: what the last output reads, layer by layer."""
    steps, gaps, pitch, rise = 16, (1, 2, 4), 37, 56
    canvas = Canvas(262)

    def place(level: int, step: int) -> tuple[float, float]:
        return 44 + pitch * step, 210 - rise * level

    causal_conv = partial(ops.conv, kernel=jnp.ones((2, 1, 1)), padding="CAUSAL")
    layers = [matrix(partial(causal_conv, dilation=gap), steps) for gap in gaps]
    reached = [np.eye(steps)[-1] > 0]
    for weights in reversed(layers):
        reached.append(weights.T @ reached[-1] > 0)
    reached.reverse()
    for level, weights in enumerate(layers):
        for strong in (False, True):
            edges = [
                (i, j) for i, j in np.argwhere(weights).tolist() if bool(reached[level + 1][i]) == strong
            ]
            canvas.lines(
                [[place(level, j), place(level + 1, i)] for i, j in edges],
                FIRST if strong else MUTED,
                line=2 if strong else 0.8,
                opacity=1 if strong else 0.45,
            )
    for level, on in enumerate(reached):
        canvas.dots([place(level, t) for t in range(steps) if not on[t]], 9, MUTED)
        canvas.dots([place(level, t) for t in range(steps) if not on[t]], 6.5, PAPER)
        canvas.dots([place(level, t) for t in range(steps) if on[t]], 11, FIRST)
        canvas.note(
            676, place(level, 0)[1] + 4, f"dilation {gaps[level - 1]}" if level else "input", anchor="end"
        )
    field = int(reached[0].sum())
    total = " + ".join(["1", *map(str, gaps)])
    canvas.note(
        44, 238, f"time →   the last output reads {total} = {field} steps, none of them later than itself"
    )
    return canvas


def matrices() -> Canvas:
    """Layers as matrices, outputs down, inputs across: what is shared, zero, transposed."""
    n, pitch = 12, 11
    rng = np.random.default_rng(3)
    taps = jnp.array([0.5, 1.0, -0.6]).reshape(3, 1, 1)
    own = jnp.asarray(rng.uniform(0.25, 1, (n, 3)) * rng.choice([-1, 1], (n, 3)))
    panels = {
        "conv": lambda x: ops.conv(x, taps),
        "dilation 2": lambda x: ops.conv(x, taps, dilation=2),
        "padding CAUSAL": lambda x: ops.conv(x, taps, padding="CAUSAL"),
        "padding CIRCULAR": lambda x: ops.conv(x, taps, padding="CIRCULAR"),
        "strides 2": lambda x: ops.conv(x, taps, strides=2, padding=1),
        "conv_transpose, strides 2": lambda x: ops.conv_transpose(
            x, taps, strides=2, padding=1, output_padding=1
        ),
        "tiled_conv, 2 tiles": lambda x: ops.tiled_conv(x, own[4:6, :, None, None]),
        "local_conv": lambda x: ops.local_conv(x, own[:, :, None, None]),
    }
    canvas = Canvas(356)
    for index, (name, layer) in enumerate(panels.items()):
        column, row = index % 4, index // 4
        left, top = 44 + 167 * column, 26 + 168 * row
        weights = matrix(layer, n // 2 if "transpose" in name else n)
        canvas.cells(weights, left, top, pitch, scale=1)
        canvas.note(left, top + n * pitch + 17, name)
    return canvas


def transposed() -> Canvas:
    """A transposed convolution adds what its inputs paint; uneven overlaps make a checkerboard."""
    x, taps = jnp.array([1.0, 0.4, 0.8, 0.6]), jnp.array([0.5, 1.0, 0.7])
    pitch, left, top = 25, 120, 26

    def paint(values: jax.Array) -> jax.Array:
        row = values.reshape(1, -1, 1)
        return ops.conv_transpose(row, taps.reshape(3, 1, 1), strides=2, padding="VALID").ravel()

    canvas = Canvas(232)
    for i, value in enumerate(x):
        y = top + (pitch + 4) * i
        canvas.cells(value, 44, y, pitch, scale=1.5)
        canvas.arrows([((44 + pitch + 6, y + 12), (left - 8, y + 12))], MUTED, line=0.9)
        canvas.cells(paint(x * (jnp.arange(4) == i)), left, y, pitch, scale=1.5)
    y = top + (pitch + 4) * 4 + 8
    canvas.lines([[(left, y - 6), (left + 9 * pitch - 1, y - 6)]], MUTED, line=0.9)
    canvas.cells(paint(x), left, y, pitch, scale=1.5)
    canvas.note(44, 216, "4 inputs, kernel of 3, strides 2: 9 outputs")
    for at, k, pitch in ((396, 3, 18), (552, 4, 15)):
        ones, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((k, k, 1, 1))
        overlaps = ops.conv_transpose(ones, kernel, strides=2, padding=1)[0, 1:-1, 1:-1, 0]
        canvas.cells(overlaps, at, 48, pitch, scale=5)
        canvas.note(at, 192, f"kernel {k} × {k}, strides 2")
    canvas.note(396, 216, "2-D, ones painted on ones")
    return canvas


PICTURES = (conv, dilation, padding, strides, causal, matrices, transposed)
