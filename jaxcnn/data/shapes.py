"""Procedural colour images of one shape each, with everything known about it.

A shape of a known class lies at a known position, scale and rotation, wholly inside the image, on a
background of changing colour. Made for measuring equivariance, where a moved, turned or scaled shape must
have the same class, and for segmentation and deformable layers, which need masks and boxes.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

SCALES = (0.15, 0.4)  # circumradius, in units of the shorter side
COUNTS = {"train": 4000, "validation": 500, "test": 1000}
SMALLEST, LARGEST = 16, 1024  # pixels a side

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _polygon(*vertices: tuple[float, float]) -> Distance:
    """The signed distance to a polygon, scaled so that its farthest vertex is 1 away from the origin."""
    corners = np.array(vertices)
    corners = corners / np.linalg.norm(corners, axis=1).max()

    def distance(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        nearest = np.full(y.shape, np.inf)
        inside = np.zeros(y.shape, bool)
        for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            dy, dx = y1 - y0, x1 - x0
            along = np.clip(((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx), 0, 1)
            nearest = np.minimum(nearest, np.hypot(y - y0 - along * dy, x - x0 - along * dx))
            if dy:  # even-odd rule: count the edges that a ray along x crosses
                inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * dx / dy)
        return np.where(inside, -nearest, nearest)

    return distance


def _regular(count: int, inner: float = 1.0) -> list[tuple[float, float]]:
    """The vertices of a regular polygon, or of a star when every second one is drawn in."""
    angles = 2 * np.pi * np.arange(count) / count
    radii = np.where(np.arange(count) % 2, inner, 1.0)
    return [(-r * np.cos(a), r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]


_ARM = 0.35  # half the width of the cross's arms
_CROSS = [
    (sy * y, sx * x)
    for sy, sx, corner in (
        (-1, 1, ((1, _ARM), (_ARM, _ARM), (_ARM, 1))),
        (1, 1, ((_ARM, 1), (_ARM, _ARM), (1, _ARM))),
        (1, -1, ((1, _ARM), (_ARM, _ARM), (_ARM, 1))),
        (-1, -1, ((_ARM, 1), (_ARM, _ARM), (1, _ARM))),
    )
    for y, x in corner
]
_ARROW = [(-1.0, 0.0), (-0.1, 0.8), (-0.1, 0.3), (1.0, 0.3), (1.0, -0.3), (-0.1, -0.3), (-0.1, -0.8)]

# Signed distances in the shape's own frame: negative inside, circumradius 1, y down.
_DISTANCES: dict[str, Distance] = {
    "disk": lambda y, x: np.hypot(y, x) - 1,
    "ring": lambda y, x: np.abs(np.hypot(y, x) - 0.75) - 0.25,
    "crescent": lambda y, x: np.maximum(np.hypot(y, x) - 1, 0.85 - np.hypot(y, x - 0.5)),
    "triangle": _polygon(*_regular(3)),
    "square": _polygon(*_regular(4)),
    "star": _polygon(*_regular(10, inner=0.45)),
    "cross": _polygon(*_CROSS),
    "arrow": _polygon(*_ARROW),
}
CLASS_NAMES = tuple(_DISTANCES)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where a shape lies.

    Args:
      position: centre (y, x) in units of the image's height and width.
      scale: circumradius in units of the image's shorter side.
      rotation: radians, clockwise as seen (from x towards y, which points down).
    """

    position: tuple[float, float] = (0.5, 0.5)
    scale: float = 0.3
    rotation: float = 0.0


def coverage(name: str, size: tuple[int, int], pose: Pose) -> np.ndarray:
    """How much of each pixel a shape covers, by its signed distance from the pixel's centre.

    Args:
      name: one of :data:`CLASS_NAMES`.
      size: (height, width) in pixels.
      pose: where the shape lies.

    Returns:
      float64 (height, width) in 0..1; at least one half exactly where the pixel's centre is inside.

    Example:
      >>> area = coverage("disk", (64, 64), Pose(scale=0.25)).sum()
      >>> bool(abs(area - np.pi * 16**2) < 1)
      True
    """
    height, width = size
    radius = pose.scale * min(size)
    y = (np.arange(height)[:, None] + 0.5 - pose.position[0] * height) / radius
    x = (np.arange(width)[None, :] + 0.5 - pose.position[1] * width) / radius
    cosine, sine = np.cos(pose.rotation), np.sin(pose.rotation)
    distance = _DISTANCES[name](cosine * y - sine * x, cosine * x + sine * y)
    return np.clip(0.5 - distance * radius, 0, 1)


def example(split: str, index: int, size: tuple[int, int]) -> dict:
    """Example ``index`` of a split, drawn from a generator of its own.

    Classes take turns, so they are equally frequent. Colours differ by at least 0.5 (Euclidean, in RGB 0..1).

    Args:
      split: one of :data:`COUNTS`.
      index: from 0.
      size: (height, width) in pixels.

    Returns:
      ``image`` uint8 (h, w, 3), ``label`` int, ``mask`` uint8 (h, w, 1) of 0 and 1, ``box`` of the mask as
      (top, left, bottom, right) in 0..1, and ``position`` (2,), ``scale`` and ``rotation`` of its
      :class:`Pose`.

    Example:
      >>> one = example("train", 3, (32, 32))
      >>> CLASS_NAMES[one["label"]], one["image"].shape, int(one["mask"].max())
      ('triangle', (32, 32, 3), 1)
    """
    height, width = size
    key = np.array([index, list(COUNTS).index(split)], np.uint64)
    draw = np.random.Generator(np.random.Philox(key=key))
    label = index % len(CLASS_NAMES)
    scale = draw.uniform(*SCALES)
    margin = scale * min(size) / np.array(size)
    position = draw.uniform(margin, 1 - margin)
    pose = Pose((position[0], position[1]), scale, draw.uniform(0, 2 * np.pi))
    covered = coverage(CLASS_NAMES[label], size, pose)

    background = foreground = draw.uniform(size=3)
    while np.linalg.norm(foreground - background) < 0.5:
        foreground = draw.uniform(size=3)
    slopes = draw.uniform(-0.2, 0.2, (2, 3))
    y, x = np.linspace(-0.5, 0.5, height)[:, None, None], np.linspace(-0.5, 0.5, width)[None, :, None]
    image = (background + slopes[0] * y + slopes[1] * x).astype(np.float32)
    image += covered[..., None].astype(np.float32) * (foreground.astype(np.float32) - image)
    image += 0.03 * draw.standard_normal(image.shape, np.float32)

    mask = covered >= 0.5
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return {
        "image": np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8),
        "label": label,
        "position": np.array(pose.position, np.float32),
        "scale": np.float32(pose.scale),
        "rotation": np.float32(pose.rotation),
        "mask": mask[..., None].astype(np.uint8),
        "box": (rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width),
    }


def parse_size(config: str) -> tuple[int, int] | None:
    """The (height, width) that ``"64"`` or ``"64x96"`` spells, or None.

    >>> parse_size("64"), parse_size("64x96"), parse_size("8"), parse_size("big")
    ((64, 64), (64, 96), None, None)
    """
    found = re.fullmatch(r"([1-9]\d{1,3})(?:x([1-9]\d{1,3}))?", config)
    if not found:
        return None
    height, width = int(found[1]), int(found[2] or found[1])
    return (height, width) if SMALLEST <= min(height, width) <= max(height, width) <= LARGEST else None
