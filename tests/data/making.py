"""Small TFDS sets for the tests, written as any TFDS set is and without TensorFlow."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from jaxcnn.data.embedded import _quiet

LABEL = tfds.features.ClassLabel(names=["ant", "bee", "cat"])


def encode(image: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    """An image (h, w, c) as the bytes of a file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return buffer.getvalue()


def make(
    root: Path,
    features: dict[str, Any],
    splits: dict[str, Iterable[dict[str, Any]]],
    *,
    name: str = "tiny",
    config: str = "",
    version: str = "1.0.0",
    supervised: tuple[str, str] | None = None,
) -> Path:
    """Prepare a set under ``root`` as array_record and return its folder."""

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                description="A set for tests.",
                features=tfds.features.FeaturesDict(features),
                supervised_keys=supervised,
            )

        def _split_generators(self, dl_manager):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Builder.name = name
    with _quiet():
        builder = Builder(
            data_dir=root, config=tfds.core.BuilderConfig(name=config, version=version) if config else None
        )
        builder.download_and_prepare(file_format="array_record")
    return Path(builder.data_dir)


def pictures(count: int, shape: tuple[int, ...] = (6, 5, 3), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


def make_pictures(root: Path, counts: dict[str, int], **kwargs: Any) -> Path:
    """A set of PNG images with labels."""
    splits = {
        split: [
            {"image": encode(image), "label": index % 3}
            for index, image in enumerate(pictures(count, seed=position))
        ]
        for position, (split, count) in enumerate(counts.items())
    }
    return make(root, {"image": tfds.features.Image(shape=(6, 5, 3)), "label": LABEL}, splits, **kwargs)
