"""Pictures of known filters, of pixels traded for channels, and of gates."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import MUTED, Canvas
from jaxcnn import ops


def filters() -> Canvas:
    """Filters that need no training."""
    canvas = Canvas(190)
    size, pitch, orientations = 13, 5, 6
    bank = np.asarray(ops.gabor_bank(size, orientations=orientations, wavelengths=(5.5,)))[..., 0, :]
    for feature in range(2 * orientations):
        at = 32 + 69 * (feature % orientations), 26 + 69 * (feature // orientations)
        canvas.cells(bank[..., feature], *at, pitch, gap=0)
    canvas.note(32, 178, "gabor_bank: even filters and their odd partners")
    basis = np.asarray(ops.dct_filter((4, 4)))[..., 0, :]
    for feature in range(16):
        at = 462 + 35 * (feature % 4), 26 + 34 * (feature // 4)
        canvas.cells(basis[..., feature], *at, 8, gap=0)
    canvas.note(462, 178, "dct_filter, 4 × 4")
    for at, taps, pitch in (
        ((618, 26), ops.sobel_filter()[..., 0, 0], 11),
        ((658, 26), ops.sobel_filter()[..., 0, 1], 11),
        ((618, 104), ops.gaussian_filter((7, 7), 1.5)[..., 0, 0], 8),
    ):
        canvas.cells(taps, *at, pitch, gap=0)
    canvas.note(618, 74, "sobel_filter")
    canvas.note(618, 178, "gaussian_filter")
    return canvas


def rearrangement() -> Canvas:
    """Pixels become channels and channels pixels; the orders of TensorFlow and of torch."""
    pitch, tints = 28, np.array([[0.6, -0.55], [0.25, -0.22]])
    canvas = Canvas(190)
    pixels = jnp.arange(1.0, 17).reshape(1, 4, 4, 1)
    places = jnp.asarray(np.tile(tints, (2, 2)), jnp.float32).reshape(1, 4, 4, 1)
    canvas.cells(places[0, ..., 0], 32, 26, pitch, scale=1)
    canvas.numbers(np.asarray(pixels[0, ..., 0]).astype(int), 32, 26, pitch)
    deep, tinted = (np.asarray(ops.space_to_depth(x, 2))[0] for x in (pixels, places))
    for channel in range(4):
        at = 192 + 64 * (channel % 2), 20 + 64 * (channel // 2)
        canvas.cells(tinted[..., channel], *at, pitch, scale=1)
        canvas.numbers(deep[..., channel].astype(int), *at, pitch)
    canvas.arrows([((152, 82), (182, 82))], MUTED)
    canvas.note(32, 172, "space_to_depth, block 2: 1 channel to 4")
    codes = jnp.arange(1.0, 9).reshape(1, 1, 1, 8)
    shades = jnp.asarray([0.62, 0.47, 0.32, 0.17, -0.62, -0.47, -0.32, -0.17]).reshape(1, 1, 1, 8)
    canvas.cells(np.asarray(shades)[0, 0].T, 380, 26, 16, scale=1)
    canvas.numbers(np.arange(1, 9)[:, None], 380, 26, 16, size=10)
    for left, name, shuffle in (
        (424, "depth_to_space", ops.depth_to_space),
        (568, "pixel_shuffle", ops.pixel_shuffle),
    ):
        for channel in range(2):
            at = left + 64 * channel, 46
            canvas.cells(np.asarray(shuffle(shades, 2))[0, ..., channel], *at, pitch, scale=1)
            canvas.numbers(np.asarray(shuffle(codes, 2))[0, ..., channel].astype(int), *at, pitch)
        canvas.note(left, 124, name)
    canvas.note(380, 172, "8 channels of one pixel to 2 of 2 × 2")
    return canvas


def gates() -> Canvas:
    """A feature map of three channels and the factors that gates give its values."""
    size, pitch = 9, 9
    rows, columns = np.indices((size, size))
    blobs = [((2, 2), 1.8, 1.0), ((6, 5), 2.0, 0.6), ((2, 6), 1.2, 0.3)]
    maps = [peak * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * s * s)) for (r, c), s, peak in blobs]
    x = jnp.asarray(np.stack(maps, axis=-1)[None] + 0.02, jnp.float32)
    plain = (jnp.eye(3), None)

    def affine(slope: float, start: float) -> tuple[jax.Array, jax.Array]:
        return slope * jnp.eye(3), jnp.full(3, start)

    kernel, bias = jnp.full((3, 3, 2, 1), 0.5), jnp.full(1, -2.0)
    panels = {
        "x": x,
        "squeeze_excite": ops.squeeze_excite(x, plain, affine(20, -2)) / x,
        "channel_attention": ops.channel_attention(x, plain, affine(6, -1.8)) / x,
        "spatial_attention": ops.spatial_attention(x, kernel, bias) / x,
        "cbam": ops.cbam(x, plain, affine(6, -1.8), kernel, bias) / x,
        "coordinate_attention": ops.coordinate_attention(
            x, plain, [affine(12, -1.8)] * 2, activation=jax.nn.relu
        )
        / x,
    }
    canvas = Canvas(320)
    for index, (name, y) in enumerate(panels.items()):
        left = 36 + 114 * index
        for channel in range(3):
            canvas.cells(y[0, ..., channel], left, 26 + 88 * channel, pitch, scale=1, gap=0)
        canvas.note(left + size * pitch / 2, 306, name, anchor="middle")
    return canvas


PICTURES = (filters, rearrangement, gates)
