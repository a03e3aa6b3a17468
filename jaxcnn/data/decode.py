"""From a stored TFDS record to ``(image, label)``, without TensorFlow."""

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

from jaxcnn.errors import UserError

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Reads the image and the label of a record and leaves its other features alone.

    Args:
      features: a TFDS ``FeaturesDict`` of exactly the two.
      image: name of the image feature.
      label: name of the label feature.
      encoded: whether images are stored as PNG or JPEG files, or as plain tensors.
      channels: 1, 3 or 4 for encoded images, any number for tensors.
      size: pixels a side to resize to; None: as stored.
    """

    features: Any
    image: str
    label: str
    encoded: bool
    channels: int
    size: int | None = None

    def __call__(self, record: bytes) -> tuple[np.ndarray, int]:
        """One record as ``(uint8 (h, w, c), label)``."""
        import tensorflow_datasets as tfds

        decoders = {self.image: tfds.decode.SkipDecoding()} if self.encoded else None
        example = self.features.deserialize_example_np(record, decoders=decoders)
        image, label = example[self.image], int(example[self.label])
        if self.encoded:
            # not TFDS's own decoder, which leaves CMYK and palette files in an RGB set as they are
            with Image.open(io.BytesIO(image)) as file:
                image = np.asarray(file.convert(_MODES[self.channels]))
        image = image.reshape(*image.shape[:2], self.channels)
        return (image if self.size is None else resize(image, self.size)), label


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """The largest central square of an image, resized to ``size`` × ``size``.

    Bilinear with antialiasing (a triangle filter as wide as the reduction), as PIL computes it.

    Args:
      image: uint8 (h, w, c).
      size: pixels a side.

    Returns:
      uint8 (size, size, c).

    Example:
      >>> resize(np.arange(24, dtype=np.uint8).reshape(4, 6, 1), 4)[0, :, 0]  # columns 1 to 4 of row 0
      array([1, 2, 3, 4], dtype=uint8)
    """
    height, width, channels = image.shape
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    box = (left, top, left + side, top + side)
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., c])).resize(
            (size, size), Image.Resampling.BILINEAR, box
        )
        for c in range(channels)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def make_decoder(features: Any, supervised: Any, size: int | None, what: str) -> tuple[Decoder, tuple]:
    """Find the image and the label among a set's features.

    A feature called ``image`` (``label``) is it; else what TFDS lists for supervised learning; else the only
    one of its kind.

    Args:
      features: the set's TFDS ``FeaturesDict``.
      supervised: its supervised keys, or None.
      size: pixels a side to resize to; None: as stored.
      what: how messages call the set.

    Returns:
      The decoder, and the shape of what it returns with None where images differ.

    Raises:
      UserError: there is no such feature, or its images are not uint8.
    """
    import tensorflow_datasets as tfds

    def is_image(feature: Any) -> bool:
        if isinstance(feature, tfds.features.Image):
            return True
        return type(feature) is tfds.features.Tensor and len(feature.shape) in (2, 3)

    def is_label(feature: Any) -> bool:
        return isinstance(feature, tfds.features.ClassLabel) and bool(feature.num_classes)

    image = _find("image", is_image, features, supervised, what)
    label = _find("label", is_label, features, supervised, what)
    found = features[image]
    encoded = isinstance(found, tfds.features.Image)
    shape = tuple(found.shape) if len(found.shape) == 3 else (*found.shape, 1)
    if found.np_dtype != np.uint8:
        raise UserError(f"{what} has images of type {np.dtype(found.np_dtype)} in {image!r}; expected uint8")
    if shape[2] is None or (encoded and shape[2] not in _MODES) or not (encoded or None not in shape):
        raise UserError(
            f"{what} has images of shape {shape} in {image!r}; expected (height, width, channels)"
        )
    if shape[:2] == (size, size):
        size = None
    chosen = tfds.features.FeaturesDict({image: found, label: features[label]})
    decoder = Decoder(chosen, image, label, encoded, shape[2], size)
    return decoder, shape if size is None else (size, size, shape[2])


def _find(kind: str, is_kind: Any, features: Any, supervised: Any, what: str) -> str:
    candidates = [name for name, feature in features.items() if is_kind(feature)]
    listed = [name for name in supervised or () if isinstance(name, str) and name in candidates]
    if kind in candidates:
        return kind
    if len(listed) == 1:
        return listed[0]
    if len(candidates) == 1:
        return candidates[0]
    trouble = f"more than one {kind}" if candidates else f"no {kind}"
    listing = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in sorted(features.items()))
    raise UserError(
        f"{what} has {trouble} among its features: {listing}; jaxcnn classifies one image by one label"
    )
