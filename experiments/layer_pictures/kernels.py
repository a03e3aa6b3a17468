"""Pictures of what kernels connect: channels, places, and pixels that the input chooses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import FIRST, INK, PAPER, SECOND, Canvas
from experiments.layer_pictures.probe import channel_matrix, influence
from jaxcnn import ops


def channels() -> Canvas:
    """Which channels a feature reads: all, its group's, its own; a shuffle deals a group to all groups."""
    n, rise, width = 8, 24, 86
    dense, half, own = (jnp.ones((1, 1, c, n)) for c in (n, n // 2, 1))
    panels: dict[str, list] = {
        "conv": [lambda x: ops.conv(x, dense)],
        "groups = 2": [lambda x: ops.conv(x, half, groups=2)],
        "depthwise_conv": [lambda x: ops.depthwise_conv(x, own)],
        "shuffled_conv, groups = 2": [
            lambda x: ops.shuffled_conv(x, half, groups=2),
            lambda x: ops.conv(x, half, groups=2),
        ],
    }
    canvas = Canvas(252)
    left = 50
    for name, layers in panels.items():
        group = np.arange(n) >= n // 2  # of each channel on the left

        def place(step: int, channel: int, left: int = left) -> tuple[float, float]:
            return left + width * step, 34 + rise * channel

        for step, layer in enumerate(layers):
            weights = channel_matrix(layer, n)
            for of, colour in ((False, FIRST), (True, SECOND)):
                edges = [(f, c) for f, c in np.argwhere(weights).tolist() if bool(group[c]) == of]
                canvas.lines(
                    [[place(step, c), place(step + 1, f)] for f, c in edges], colour, line=1, opacity=0.75
                )
            mixed = (weights != 0) @ np.stack([~group, group], axis=1) > 0
            if step == len(layers) - 1:
                canvas.dots([place(step + 1, f) for f in range(n)], 10, INK)
            group = mixed[:, 1]
            if step < len(layers) - 1:
                canvas.dots([place(step + 1, f) for f in range(n) if not group[f]], 10, FIRST)
                canvas.dots([place(step + 1, f) for f in range(n) if group[f]], 10, SECOND)
        canvas.dots([place(0, c) for c in range(n // 2)], 10, FIRST)
        canvas.dots([place(0, c) for c in range(n // 2, n)], 10, SECOND)
        canvas.note(left + width * len(layers) / 2, 236, name, anchor="middle")
        left += width * len(layers) + 64
    return canvas


def kernels() -> Canvas:
    """The kernels that layers amount to, input channels down and features across, and their weights."""
    rng = np.random.default_rng(5)
    c, f, k, pitch = 3, 4, 3, 9

    def draw(*shape: int) -> np.ndarray:
        return rng.choice([-1, -0.45, 0.45, 1], shape).astype(np.float32)

    panels = {
        "conv": (ops.conv, [draw(k, k, c, f)]),
        "separable": (ops.separable_conv, [draw(k, k, 1, c), draw(c, f)]),
        "pointwise first": (
            partial(ops.separable_conv, pointwise_first=True),
            [draw(k, k, 1, f), draw(c, f)],
        ),
        "spatially separable": (
            lambda x, *chain: ops.spatially_separable_conv(x, chain),
            [draw(k, c, 1), draw(k, 1, f)],
        ),
        "flattened": (
            lambda x, lateral, *profiles: ops.flattened_conv(x, lateral, profiles),
            [draw(c, f), draw(k, f), draw(k, f)],
        ),
    }
    canvas = Canvas(166)
    for index, (name, (layer, weights)) in enumerate(panels.items()):
        left, tile = 32 + 135 * index, k * pitch + 2
        centre = jax.jacobian(lambda x, layer=layer, weights=weights: layer(x, *weights)[0, k // 2, k // 2])
        found = np.asarray(centre(jnp.zeros((1, k, k, c))))[:, 0]  # features, taps, channels
        for feature in range(f):
            for channel in range(c):
                at = left + feature * tile, 24 + channel * tile
                canvas.cells(
                    found[feature, ..., channel], *at, pitch, scale=float(np.abs(found).max()), gap=0
                )
        canvas.text(left, 134, name)
        canvas.note(left, 151, f"{sum(w.size for w in weights)} weights")
    return canvas


def factors() -> Canvas:
    """A kernel and what is left of it as a chain of two one-dimensional ones, by rank."""
    size, pitch = 11, 11
    rows, columns = np.indices((size, size)) - size // 2
    across, along = columns * np.cos(0.6) + rows * np.sin(0.6), rows * np.cos(0.6) - columns * np.sin(0.6)
    kernel = np.exp(-((across / 2.6) ** 2) - (along / 4.5) ** 2) * np.cos(1.15 * across)
    kernel = jnp.asarray(kernel, jnp.float32).reshape(size, size, 1, 1)
    impulse = jnp.zeros((1, size, size, 1)).at[0, size // 2, size // 2].set(1)
    canvas = Canvas(196)
    for index, rank in enumerate((None, 1, 2, 3)):
        left = 44 + 171 * index
        shown, name, words = kernel[..., 0, 0], "kernel", f"{kernel.size} weights"
        if rank is not None:
            chain, error = ops.factor_kernel(kernel, rank)
            shown = jnp.flip(ops.spatially_separable_conv(impulse, chain)[0, ..., 0])
            name, words = f"rank {rank}", f"{sum(k.size for k in chain)} weights, error {float(error):.0%}"
        canvas.cells(shown, left, 26, pitch, scale=1, gap=0)
        canvas.text(left, 166, name)
        canvas.note(left, 182, words)
    return canvas


def local() -> Canvas:
    """Which kernel every output pixel uses: one, four in turn, one each."""
    n, pitch = 6, 30
    x = jnp.ones((1, n, n, 1))
    names = {
        "conv": ops.conv(x, jnp.zeros((1, 1, 1, 1))),
        "tiled_conv, 2 × 2 tiles": ops.tiled_conv(x, jnp.arange(4.0).reshape(2, 2, 1, 1, 1, 1)),
        "local_conv": ops.local_conv(x, jnp.arange(float(n * n)).reshape(n, n, 1, 1, 1, 1)),
    }
    canvas = Canvas(248)
    for left, (name, y) in zip((44, 270, 496), names.items(), strict=True):
        used = np.asarray(y)[0, ..., 0].astype(int)
        few = used.max() < 4
        shades = np.array([0.55, -0.5, 0.25, -0.2])[used % 4] if few else 0.1 + 0.5 * used / used.max()
        canvas.cells(shades, left, 26, pitch, scale=1)
        canvas.numbers(used + 1, left, 26, pitch)
        canvas.note(left + n * pitch / 2, 232, name, anchor="middle")
    return canvas


def deformable() -> Canvas:
    """Deformable taps: where one output looks, and the pixels its interpolation reads."""
    size, pitch, taps = 9, 20, 9
    x = np.ones((1, size, size, 1), np.float32)
    kernel = jnp.ones((3, 3, 1, 1))
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(taps, 2)
    turn = np.array([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
    panels: dict[str, tuple[np.ndarray, np.ndarray | None]] = {
        "offset 0: conv": (np.zeros((taps, 2)), None),
        "offsets: turned and widened": (1.8 * grid @ turn - grid, None),
        "and a mask, from 1 to 0.1": (1.8 * grid @ turn - grid, np.linspace(1, 0.1, taps)),
    }
    canvas = Canvas(246)
    middle = size // 2
    for left, (name, (moves, mask)) in zip((44, 270, 496), panels.items(), strict=True):
        offset = jnp.broadcast_to(moves.reshape(-1), (1, size, size, 2 * taps))
        factor = None if mask is None else jnp.broadcast_to(mask, (1, size, size, taps))
        layer = partial(ops.deform_conv, kernel=kernel, offset=offset, mask=factor)
        canvas.cells(influence(layer, x, (0, middle, middle, 0))[0, ..., 0], left, 26, pitch, scale=1.25)

        def pixel(p: np.ndarray, left: int = left) -> tuple[float, float]:
            row, column = (p + middle + 0.5) * pitch - 0.5
            return left + float(column), 26 + float(row)

        moved = [(pixel(g), pixel(g + m)) for g, m in zip(grid, moves, strict=True) if np.hypot(*m) > 0.3]
        canvas.lines(moved, INK, line=0.8, opacity=0.55)
        canvas.dots([pixel(g) for g in grid], 6, INK)
        canvas.dots([pixel(g) for g in grid], 3.6, PAPER)
        for i, p in enumerate(grid + moves):
            canvas.dots([pixel(p)], 9, SECOND)
            canvas.dots([pixel(p)], 7, PAPER)
            canvas.dots([pixel(p)], 7, SECOND, opacity=1 if mask is None else float(mask[i]))
        canvas.note(left + size * pitch / 2, 230, name, anchor="middle")
    return canvas


def regions() -> Canvas:
    """RoI align: a box cut into bins wherever it lies, each the mean of interpolated samples."""
    size, pitch, bins = 11, 16, 3
    x = np.ones((1, size, size, 1), np.float32)
    low, high = np.array([1.6, 2.2]), np.array([8.2, 9.4])
    side = (high - low) / bins
    box, image = jnp.concatenate([low, high])[None], jnp.zeros(1, jnp.int32)
    still, moved = np.zeros((2, bins, bins, 2))
    moved[0, :, 0], moved[1, 0], moved[2, 2] = (-1.4, -0.6, 0.4), (0.3, -1.2), (1.6, 0.8)
    align = partial(ops.roi_align, boxes=box, image=image, size=bins)
    deform = partial(ops.deform_roi_pool, boxes=box, image=image, offset=jnp.asarray(moved)[None], size=bins)
    chess = np.where(np.indices((bins, bins)).sum(axis=0) % 2, -1, 1)
    panels = {
        "roi_align: one bin of 3 × 3": (align, still, np.pad([[1]], 1)),
        "all bins": (align, still, chess),
        "deform_roi_pool: bins displaced": (deform, moved, chess),
    }
    canvas = Canvas(242)
    for left, (name, (layer, offset, signs)) in zip((46, 272, 498), panels.items(), strict=True):

        def place(at: np.ndarray, left: int = left) -> tuple[float, float]:
            return left + pitch * float(at[1]) - 0.5, 26 + pitch * float(at[0]) - 0.5

        def signed(x: jax.Array, layer: partial = layer, signs: np.ndarray = signs) -> jax.Array:
            return jnp.sum(layer(x)[0, ..., 0] * signs)

        canvas.cells(influence(signed, x, ())[0, ..., 0], left, 26, pitch, scale=0.3)
        for b in np.ndindex(bins, bins):
            start = low + b * side + 0.1 * offset[b] * (high - low)  # 0.1: what gamma is by default
            size_in_pixels = (pitch * float(side[1]), pitch * float(side[0]))
            canvas.boxes([place(start)], size_in_pixels, INK, line=1.3 if signs[b] else 0.6)
            if signs[b]:
                samples = start + side * (np.indices((2, 2)).reshape(2, -1).T + 0.5) / 2
                canvas.dots(map(place, samples), 3.4, INK)
        canvas.note(left + size * pitch / 2, 224, name, anchor="middle")
    return canvas


PICTURES = (channels, kernels, factors, local, deformable, regions)
