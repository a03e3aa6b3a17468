"""The embedded data sets as TFDS builders; they write array_record files without TensorFlow."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxcnn.data import digits, shapes

_DIGITS_CITATION = """@misc{alpaydin1998optical,
  title = {Optical Recognition of Handwritten Digits},
  author = {Alpaydin, E. and Kaynak, C.},
  howpublished = {UCI Machine Learning Repository},
  year = {1998},
}"""


def _pixels(*shape: int) -> tfds.features.Tensor:
    """uint8 images as plain bytes: ``features.Image`` would need TensorFlow to write an array."""
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)


class Digits(tfds.core.GeneratorBasedBuilder):
    """scikit-learn's handwritten digits; see :mod:`jaxcnn.data.digits`."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=digits.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": _pixels(*digits.SHAPE),
                    "label": tfds.features.ClassLabel(names=digits.CLASS_NAMES),
                    "index": tfds.features.Scalar(np.int64, doc="row in scikit-learn's load_digits()"),
                }
            ),
            supervised_keys=("image", "label"),
            citation=_DIGITS_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        images, labels = digits.examples()
        return {
            name: self._generate_examples(images, labels, rows) for name, rows in digits.split(labels).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in map(int, rows):
            yield row, {"image": images[row], "label": int(labels[row]), "index": row}


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Procedural shapes; see :mod:`jaxcnn.data.shapes`. A configuration is a size, ``64`` or ``64x96``."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        height, width = self._size
        return tfds.core.DatasetInfo(
            builder=self,
            description=shapes.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": _pixels(height, width, 3),
                    "label": tfds.features.ClassLabel(names=shapes.CLASS_NAMES),
                    "mask": _pixels(height, width, 1),
                    "box": tfds.features.BBoxFeature(),
                    "position": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    "scale": tfds.features.Scalar(np.float32),
                    "rotation": tfds.features.Scalar(np.float32),
                }
            ),
            supervised_keys=("image", "label"),
        )

    @property
    def _size(self) -> tuple[int, int]:
        size = shapes.parse_size(self.builder_config.name)
        assert size is not None, "checked before the builder is made"
        return size

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(name, count) for name, count in shapes.COUNTS.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            example = shapes.example(split, index, self._size)
            yield index, example | {"box": tfds.features.BBox(*example["box"])}
