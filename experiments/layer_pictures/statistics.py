"""Pictures of normalisation and of what is dropped at random."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import FIRST, INK, MUTED, PAPER, RULE, Canvas
from experiments.layer_pictures.probe import influence
from jaxcnn import ops


def norms() -> Canvas:
    """Which values share the statistics that normalise the one in the corner."""
    n, size, channels, cell, depth = 4, 6, 6, 12, 7
    x = np.random.default_rng(0).standard_normal((n, size, channels)).astype(np.float32)
    corner = (0, 0, channels - 1)
    panels = {
        "batch_norm": lambda x: ops.batch_norm(x, None, None, *ops.batch_moments(x)[:2]),
        "layer_norm": ops.layer_norm,
        "layer_norm, axis=(1, 2)": lambda x: ops.layer_norm(x, axis=(1, 2)),
        "group_norm, 2 groups": lambda x: ops.group_norm(x, groups=2),
        "instance_norm": ops.instance_norm,
        "local_response_norm, size 5": lambda x: ops.local_response_norm(x, 5),
    }
    canvas = Canvas(322)
    for index, (name, layer) in enumerate(panels.items()):
        left, top = 76 + 226 * (index % 3), 54 + 138 * (index // 3)
        shared = influence(layer, x, corner) != 0

        def front(c: float, p: float, e: float, left: int = left, top: int = top) -> tuple[float, float]:
            return left + cell * c + depth * e, top + cell * p - depth * e

        faces: dict[bool, list] = {False: [], True: []}
        for c in range(channels):
            for p in range(size):
                face = [front(c, p, 0), front(c + 1, p, 0), front(c + 1, p + 1, 0), front(c, p + 1, 0)]
                faces[bool(shared[0, p, c])].append(face)
            for e in range(n):
                face = [front(c, 0, e), front(c + 1, 0, e), front(c + 1, 0, e + 1), front(c, 0, e + 1)]
                faces[bool(shared[e, 0, c])].append(face)
        for p in range(size):
            for e in range(n):
                edge = channels
                face = [
                    front(edge, p, e),
                    front(edge, p, e + 1),
                    front(edge, p + 1, e + 1),
                    front(edge, p + 1, e),
                ]
                faces[bool(shared[e, p, channels - 1])].append(face)
        canvas.polygons(faces[False], RULE, opacity=0.6)
        canvas.polygons(faces[True], FIRST)
        canvas.polygons(faces[False] + faces[True], PAPER, line=1)
        c, p, e = corner[2], corner[1], corner[0]
        canvas.polygons(
            [[front(c, p, e), front(c + 1, p, e), front(c + 1, p + 1, e), front(c, p + 1, e)]], INK, line=1.6
        )
        canvas.note(left + cell * channels / 2 + depth * n / 2, top + cell * size + 18, name, anchor="middle")
    canvas.note(360, 308, "across: channels · down: positions · into the page: examples", anchor="middle")
    return canvas


def dropped() -> Canvas:
    """What is dropped of two examples with three feature maps each, at a rate of 0.3."""
    key, rate, size, pitch = jax.random.key(2), 0.3, 12, 4
    x = jnp.ones((2, size, size, 3))
    panels = {
        "dropout": ops.dropout(key, x, rate),
        "drop_block, 4 × 4": ops.drop_block(key, x, rate, block=4),
        "spatial_dropout": ops.spatial_dropout(key, x, rate),
        "drop_path": ops.drop_path(key, x, rate),
    }
    canvas = Canvas(164)
    for index, (name, y) in enumerate(panels.items()):
        left, zero = 32 + 168 * index, np.asarray(y) == 0
        for example, channel in np.ndindex(2, 3):
            at = left + 52 * channel, 26 + 52 * example
            canvas.boxes([at], size * pitch, FIRST, opacity=0.7)
            canvas.cells(
                zero[example, ..., channel], *at, pitch, gap=0, scale=1, colours=(PAPER, PAPER), ground=False
            )
            canvas.boxes([(at[0] - 0.5, at[1] - 0.5)], size * pitch + 1, MUTED, opacity=0.5, line=0.8)
        canvas.note(left + 76, 148, name, anchor="middle")
    return canvas


PICTURES = (norms, dropped)
