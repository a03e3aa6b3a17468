"""How feature maps answer when the image moves: do they move along, do they stay as they are."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from jaxcnn.analysis.effective import as_argument
from jaxcnn.analysis.tracing import Output, trace


@dataclass(frozen=True)
class Shift:
    """Move the content by whole pixels; what leaves at one side comes back at the other.

    >>> Shift(0, 1)
    Shift(down=0, right=1)
    """

    down: int
    right: int

    mode: ClassVar[str] = "wrap"

    def sources(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Where the content at some points (2, …) comes from."""
        return points - np.reshape([self.down, self.right], (2, *(1,) * (points.ndim - 1)))


@dataclass(frozen=True)
class Rotation:
    """Turn the content about the centre, clockwise as seen; corners turn out of sight and do not count."""

    degrees: float

    mode: ClassVar[str] = "nearest"

    def sources(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Where the content at some points (2, …) comes from."""
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        middle = centre.reshape(2, *(1,) * (points.ndim - 1))
        y, x = points - middle
        return np.stack([cosine * y - sine * x, sine * y + cosine * x]) + middle


@dataclass(frozen=True)
class Flip:
    """Mirror the content: rows (axis 0) or columns (axis 1) in reverse order."""

    axis: int

    mode: ClassVar[str] = "nearest"

    def sources(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Where the content at some points (2, …) comes from."""
        mirrored = points.copy()
        mirrored[self.axis] = 2 * centre[self.axis] - points[self.axis]
        return mirrored


@dataclass(frozen=True)
class Mirror:
    """Mirror the content in a line through the centre, level at 0 degrees and upright at 90.

    The line turns clockwise as seen; corners move out of sight and do not count.
    """

    degrees: float

    mode: ClassVar[str] = "nearest"

    def sources(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Where the content at some points (2, …) comes from."""
        cosine, sine = (function(2 * math.radians(self.degrees)) for function in (math.cos, math.sin))
        middle = centre.reshape(2, *(1,) * (points.ndim - 1))
        y, x = points - middle
        return np.stack([sine * x - cosine * y, cosine * x + sine * y]) + middle


Move = Shift | Rotation | Flip | Mirror


class Errors(NamedTuple):
    """How far an output is from moving along, and from staying.

    Attributes:
      equivariance: ‖f(T x) - T f(x)‖ / ‖T f(x)‖, 0 where the output moves as the image does.
      invariance: ‖f(T x) - f(x)‖ / ‖f(x)‖, 0 where it does not notice.
    """

    equivariance: float
    invariance: float


def equivariance(
    fn: Callable[[Array], Any], x: Float[Array, "n h w c"], moves: Sequence[Move]
) -> list[dict[str, Errors]]:
    """Measure how outputs answer to moves of the image.

    An output pixel sits at the middle of its receptive field, which :func:`jaxcnn.analysis.trace` knows
    exactly; T moves the output by reading it, linearly between pixels, where the move says that the content
    of that place comes from. An output without positions does not move: both errors are the same.

    Args:
      fn: from images (n, h, w, c) to an array, or to a mapping from names to arrays (n, …, c); what a
        ``jax.tree_util.Partial`` holds, such as weights, is no part of the compiled program.
      x: images.
      moves: what is done to them.

    Returns:
      For each move, for each output (``""`` when there is one array) its :class:`Errors`. Moving along is
      counted where the content comes from within the map, and of Rotation and Mirror within the circle that
      fits the image.

    Example:
      A circular convolution moves with every shift; with a stride, only with multiples of it.

      >>> from jaxcnn import ops
      >>> x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
      >>> kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 1))
      >>> strided = lambda x: ops.conv(x, kernel, strides=2, padding="CIRCULAR")
      >>> one, two = equivariance(strided, x, [Shift(0, 1), Shift(0, 2)])
      >>> one[""].equivariance > 0.3, two[""].equivariance < 1e-6
      (True, True)

    Reference: Lenc and Vedaldi, Understanding image representations by measuring their equivariance and
    equivalence, CVPR 2015; Zhang, Making convolutional networks shift-invariant again, ICML 2019.
    """

    def named(fn: Callable[[Array], Any], x: Array) -> dict[str, Array]:
        outputs = fn(x)
        return dict(outputs) if isinstance(outputs, Mapping) else {"": outputs}

    run = partial(jax.jit(named), as_argument(fn))
    still = run(x)
    read = trace(partial(named, fn), jax.ShapeDtypeStruct(x.shape, x.dtype)).outputs
    fields = dict(zip(sorted(still), read, strict=True))  # the leaves of a dictionary come sorted
    results = []
    for move in moves:
        moved = run(_moved(x, move, _grid(x.shape[1:3]), x.shape)[0])
        results.append(
            {name: _errors(still[name], moved[name], fields[name], move, x.shape) for name in still}
        )
    return results


def _errors(still: Array, moved: Array, output: Output, move: Move, shape: tuple[int, ...]) -> Errors:
    rows, columns = output.fields[1:3]
    stays = _relative(moved, still, np.ones(1))
    if not (rows.axis == 1 and columns.axis == 2 and rows.jump and columns.jump):
        return Errors(stays, stays)
    places = [
        float(field.start or 0) + (field.size - 1) / 2 + float(field.jump or 0) * np.arange(count)
        for field, count in zip((rows, columns), still.shape[1:3], strict=True)
    ]
    points = np.stack(np.meshgrid(*places, indexing="ij"))
    expected, counted = _moved(still, move, points, shape)
    if isinstance(move, Rotation | Mirror):
        counted &= _within(points, shape)
    if not counted.any():  # a map so small that it cannot show a move
        return Errors(stays, stays)
    return Errors(_relative(moved, expected, counted[None, ..., None]), stays)


def _moved(values: Array, move: Move, points: np.ndarray, shape: tuple[int, ...]) -> tuple[Array, np.ndarray]:
    """Maps (n, h, w, c) whose pixels sit at ``points`` (2, h, w) of an image of some shape, moved with it.

    And at which of the points (h, w) the content comes from within the map, which may hold less than the
    image, as behind a convolution without padding.
    """
    sizes, counts = np.array(shape[1:3]), np.array(points.shape[1:])
    sources = move.sources(points, (sizes - 1) / 2)
    step = np.array([points[0, -1, 0] - points[0, 0, 0], points[1, 0, -1] - points[1, 0, 0]])
    step = step / np.maximum(counts - 1, 1)
    away = np.round(sources - points[:, :1, :1], 6)  # whole pixels stay whole
    whole = np.zeros(2, bool)  # the axes that a map goes around as the image does
    if move.mode == "wrap":
        whole = np.isclose(counts * step, sizes)
        away = np.where(whole[:, None, None], away, away % sizes[:, None, None])
    at = np.round(away / np.where(step == 0, 1, step)[:, None, None], 6)
    inside = ((at >= 0) & (at <= (counts - 1)[:, None, None])) | whole[:, None, None]

    def one(plane: Array) -> Array:
        return map_coordinates(plane, list(jnp.asarray(at, values.dtype)), order=1, mode=move.mode)

    return jax.vmap(jax.vmap(one, -1, -1))(values), inside.all(0)


def _grid(sizes: Sequence[int]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij")).astype(float)


def _within(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Whether points lie in the circle that fits the image."""
    centre = (np.array(shape[1:3]) - 1) / 2
    return np.hypot(*(points - centre.reshape(2, 1, 1))) <= min(shape[1:3]) / 2 - 0.5


def _relative(found: Array, expected: Array, counted: np.ndarray) -> float:
    one, other = np.asarray(found, np.float64) * counted, np.asarray(expected, np.float64) * counted
    return float(np.linalg.norm(one - other) / (np.linalg.norm(other) or 1.0))
