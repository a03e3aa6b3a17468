"""Pictures of pooling: what windows keep, where they end, and what a shift does to them."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import FIRST, INK, MUTED, SECOND, Canvas
from experiments.layer_pictures.probe import matrix
from jaxcnn import ops


def pooling() -> Canvas:
    """One feature map under the poolings, windows of 2 × 2."""
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.beta(0.6, 1.6, (1, 8, 8, 1)), jnp.float32)
    panels = {
        "feature map": x,
        "max_pool": ops.max_pool(x, 2),
        "avg_pool": ops.avg_pool(x, 2),
        "lp_pool, p = 2": ops.lp_pool(x, 2),
        "gaussian_pool, 4 × 4": ops.gaussian_pool(x, 4, strides=2, padding=1),
        "stochastic_pool": ops.stochastic_pool(jax.random.key(1), x, 2),
    }
    brightest = max(float(y.max()) for y in panels.values())
    canvas = Canvas(158)
    for index, (name, y) in enumerate(panels.items()):
        left = 32 + 112 * index
        canvas.cells(y[0, ..., 0], left, 26, 96 // y.shape[1], scale=brightest)
        canvas.note(left - 0.5 + 48, 142, name, anchor="middle")
    return canvas


def windows() -> Canvas:
    """The weights of average pooling on a row of six pixels: one line for each output."""
    n, pitch = 6, 26
    panels = {
        "window 3, strides 2": lambda x: ops.avg_pool(x, 3, strides=2),
        "ceil_mode": lambda x: ops.avg_pool(x, 3, strides=2, ceil_mode=True),
        "dilation 2": lambda x: ops.avg_pool(x, 3, strides=1, dilation=2),
        "padding 1": lambda x: ops.avg_pool(x, 3, strides=2, padding=1),
        "count_include_pad=False": lambda x: ops.avg_pool(
            x, 3, strides=2, padding=1, count_include_pad=False
        ),
        "adaptive_avg_pool, size 4": lambda x: ops.adaptive_avg_pool(x, 4),
    }
    canvas = Canvas(298)
    for index, (name, layer) in enumerate(panels.items()):
        left, top = 44 + 238 * (index % 3), 40 + 128 * (index // 3)
        weights = matrix(layer, n)
        words = [[str(Fraction(float(w)).limit_denominator(9)) if w else "" for w in row] for row in weights]
        canvas.text(left, top - 10, name)
        canvas.cells(weights, left, top, pitch, scale=1)
        canvas.numbers(words, left, top, pitch, size=10.5)
    return canvas


def aliasing() -> Canvas:
    """Stripes shifted pixel by pixel: strided max-pooling tells the shifts apart, blur-pooling hardly."""
    n, pitch = 16, 13
    stripes = (np.arange(n) // 2 % 2).astype(np.float32)
    names = {
        "stripes, shifted by 0 to 3": lambda x: x,
        "max_pool(2)": lambda x: ops.max_pool(x, 2, strides=2, padding="CIRCULAR"),
        "max_pool(2, strides=1), blur_pool": lambda x: ops.blur_pool(
            ops.max_pool(x, 2, strides=1, padding="CIRCULAR"), padding="CIRCULAR"
        ),
    }
    canvas = Canvas(180)
    for left, (name, layer) in zip((32, 256, 480), names.items(), strict=True):
        canvas.text(left, 34, name)
        for shift in range(4):
            y = np.asarray(layer(jnp.roll(stripes, shift).reshape(1, n, 1))).ravel()
            wide = pitch * n // len(y)
            canvas.cells(y, left, 48 + 29 * shift + (26 - wide) // 2, wide, scale=1)
    return canvas


def energy() -> Canvas:
    """A grating drifts past: each filter of a quadrature pair follows its phase, their energy does not."""
    size, steps, left, right, top, zero, unit = 15, 97, 300, 676, 30, 108, 66
    bank = ops.gabor_bank(size, orientations=1, wavelengths=(6.0,))
    columns = jnp.arange(size) - size // 2
    phases = jnp.linspace(0, 4 * jnp.pi, steps)
    waves = jnp.cos(2 * jnp.pi * columns[None, None] / 6.0 + phases[:, None, None])
    gratings = jnp.broadcast_to(waves, (steps, size, size))[..., None]
    simple = ops.conv(gratings, bank, padding="VALID")[:, 0, 0]
    scale = float(jnp.abs(simple).max())
    canvas = Canvas(210)
    for at, place, name, colour in ((44, 0, "even", FIRST), (158, 1, "odd", SECOND)):
        canvas.cells(bank[..., 0, place], at, 44, 6, gap=0)
        canvas.dots([(at + 24, 155)], 7, colour)
        canvas.note(at + 33, 159, name)
    across = np.linspace(left, right, steps)

    def curve(values: jax.Array) -> list[tuple[float, float]]:
        return [(float(x), zero - unit * float(v) / scale) for x, v in zip(across, values, strict=True)]

    canvas.lines([[(left, zero), (right, zero)]], MUTED, line=0.8, opacity=0.6)
    canvas.lines([curve(simple[:, 0])], FIRST, line=1.4, opacity=0.8)
    canvas.lines([curve(simple[:, 1])], SECOND, line=1.4, opacity=0.9)
    canvas.lines([curve(ops.complex_cell(simple)[:, 0])], INK, line=2.4)
    canvas.text(right, top, "complex_cell", anchor="end")
    canvas.note(left, 196, "phase of the grating, two periods →")
    return canvas


PICTURES = (pooling, windows, aliasing, energy)
