"""Arrays as small pictures: inputs, filters, feature maps."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

Anchors = Sequence[tuple[int, int, int]]

DIVERGING: Anchors = ((38, 84, 148), (122, 163, 207), (245, 244, 240), (226, 148, 116), (172, 58, 34))
"""Below zero blue, zero pale, above zero red."""

SEQUENTIAL: Anchors = ((22, 26, 44), (28, 78, 104), (35, 138, 131), (140, 196, 128), (247, 238, 170))
"""From dark to light, even in lightness."""

LEVELS = 48  # colours a map is rounded to: no eye sees the steps, and files are half the size


def data_uri(picture: np.ndarray) -> str:
    """A uint8 picture (h, w) or (h, w, 3) as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def shrink(picture: np.ndarray, largest: int) -> np.ndarray:
    """A uint8 picture whose longer side is at most ``largest`` pixels, averaged down where it is longer."""
    height, width = picture.shape[:2]
    scale = largest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def input_picture(image: np.ndarray) -> np.ndarray:
    """A model's input as people see it.

    Args:
      image: (h, w, c) uint8; one channel is grey, three are colours, any other number is averaged to grey.

    Returns:
      (h, w) or (h, w, 3) uint8.

    Raises:
      ValueError: ``image`` is no uint8 array of that rank.

    Example:
      >>> input_picture(np.zeros((8, 8, 1), np.uint8)).shape
      (8, 8)
    """
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"image is {image.dtype} of shape {image.shape}; expected uint8 (height, width, channels)"
        )
    if image.shape[-1] == 3:
        return image
    return np.rint(image.mean(axis=-1)).astype(np.uint8)


def filter_pictures(kernel: np.ndarray, most: int = 64) -> list[np.ndarray]:
    """The filters of a convolution, all on one scale, so that their strengths compare.

    Args:
      kernel: spatial + (in, out) weights, one to three spatial axes.
      most: filters shown, the first ones.

    Returns:
      A uint8 picture for each filter. Three input channels are red, green and blue with zero at mid grey.
      One is drawn in :data:`DIVERGING` colours. Any other number, and the depth of a 3-D kernel, are drawn
      side by side with a line between. A 1-D filter is one picture: a row for each input channel.

    Raises:
      ValueError: ``kernel`` has no or too many spatial axes.

    Example:
      >>> len(filter_pictures(np.ones((3, 3, 1, 16)))), filter_pictures(np.ones((3, 3, 5, 16)))[0].shape
      (16, (3, 19, 3))
    """
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"kernel has shape {kernel.shape}; expected one to three spatial axes + (in, out)")
    kernel = np.asarray(kernel[..., :most], np.float32)
    scale = float(np.max(np.abs(kernel))) or 1.0
    filters = np.moveaxis(kernel, -1, 0) / scale
    if kernel.ndim == 4 and kernel.shape[2] == 3:
        return [np.rint((one + 1) * 127.5).astype(np.uint8) for one in filters]
    if kernel.ndim == 3:
        return [colour(one.T, DIVERGING) for one in filters]
    tiles = filters.reshape(len(filters), -1, *filters.shape[-3:]) if kernel.ndim == 5 else filters[:, None]
    return [
        _side_by_side([colour(cut[..., i], DIVERGING) for cut in one for i in range(cut.shape[-1])])
        for one in tiles
    ]


def map_pictures(maps: np.ndarray, most: int = 16, largest: int = 48) -> list[np.ndarray]:
    """The feature maps of one example in one layer, all on one scale.

    Args:
      maps: (h, w, c) activations.
      most: channels shown, the first ones.
      largest: longest side of a picture in pixels; longer maps are averaged down.

    Returns:
      A uint8 picture (h, w, 3) for each channel: the layer's least value dark, its greatest light.

    Example:
      >>> [p.shape for p in map_pictures(np.zeros((4, 4, 2)))]
      [(4, 4, 3), (4, 4, 3)]
    """
    if maps.ndim != 3:
        raise ValueError(f"maps have shape {maps.shape}; expected (height, width, channels) of one example")
    maps = np.asarray(maps[..., :most], np.float32)
    low, high = float(maps.min()), float(maps.max())
    unit = (maps - low) / ((high - low) or 1.0)
    return [shrink(colour(unit[..., i] * 2 - 1, SEQUENTIAL), largest) for i in range(maps.shape[-1])]


def colour(values: np.ndarray, anchors: Anchors) -> np.ndarray:
    """Numbers in [-1, 1] as colours along ``anchors``.

    >>> colour(np.array([[-1.0, 0.0, 1.0]]), DIVERGING)[0].tolist()
    [[38, 84, 148], [245, 244, 240], [172, 58, 34]]
    """
    unit = np.rint((np.clip(values, -1, 1) + 1) / 2 * LEVELS) / LEVELS
    at = np.linspace(0, 1, len(anchors))
    channels = [np.interp(unit, at, [anchor[i] for anchor in anchors]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _side_by_side(tiles: list[np.ndarray]) -> np.ndarray:
    line = np.full((tiles[0].shape[0], 1, 3), 255, np.uint8)
    parts = [part for tile in tiles for part in (tile, line)]
    return np.concatenate(parts[:-1], axis=1)
