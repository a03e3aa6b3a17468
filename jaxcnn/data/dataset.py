"""What every data set looks like here: three splits of uint8 images with integer labels."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np

RESIDENT_BYTES = 2 * 2**30  # a split that decodes to no more is kept whole, on the host and on the device
SAMPLE = 1024  # training images that the statistics of a larger set are taken from
_CHUNK = 1024  # records decoded at a time, so that encoded and decoded copies are never both whole

# The mean and standard deviation that published ImageNet models were trained with.
_PUBLISHED = {"imagenet2012": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


class Records(Protocol):
    """Encoded examples with random access."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int]) -> Sequence[Any]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Random access to the examples of one split.

    Args:
      name: what messages call it.
      records: encoded examples.
      decode: turns a record into ``(image, label)``.
      image_shape: (height, width, channels); None where images differ.
      indices: the records that belong to the split, in its order; None: all of them.
    """

    name: str
    records: Records
    decode: Callable[[Any], tuple[np.ndarray, int]]
    image_shape: tuple[int | None, int | None, int]
    indices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.records) if self.indices is None else len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Example ``index``: ``{"image": uint8 (h, w, c), "label": int}``."""
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index}: split {self.name!r} has {len(self)} examples")
        image, label = self._decoded([index % len(self)])[0]
        return {"image": image, "label": label}

    def read(self, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """Some examples as one batch.

        Args:
          indices: (n,) examples of the split.

        Returns:
          ``{"image": uint8 (n, h, w, c), "label": int32 (n,)}``.

        Raises:
          ValueError: images differ in shape.
        """
        if not self.fixed_size:
            raise ValueError(
                f"split {self.name!r} has images of shape {self.image_shape} that differ in size; "
                "give image_size= to make them equal"
            )
        images = np.empty((len(indices), *cast(tuple[int, int, int], self.image_shape)), np.uint8)
        labels = np.empty(len(indices), np.int32)
        for start in range(0, len(indices), _CHUNK):
            for row, (image, label) in enumerate(self._decoded(indices[start : start + _CHUNK]), start):
                images[row], labels[row] = image, label
        return {"image": images, "label": labels}

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole split, decoded once: ``{"image": uint8 (n, h, w, c), "label": int32 (n,)}``, read-only.

        Raises:
          ValueError: images differ in size.
        """
        return self._arrays

    @property
    def fixed_size(self) -> bool:
        """Whether all images have one shape."""
        return None not in self.image_shape

    @property
    def nbytes(self) -> int:
        """What the decoded images take, in bytes, where they all have one shape."""
        height, width, channels = self.image_shape
        return len(self) * (height or 0) * (width or 0) * channels

    @property
    def fits(self) -> bool:
        """Whether the decoded split is small enough to be kept whole."""
        return self.fixed_size and self.nbytes <= RESIDENT_BYTES

    def subset(self, indices: np.ndarray, name: str) -> "Split":
        """A split of some examples of this one."""
        chosen = indices if self.indices is None else self.indices[indices]
        return dataclasses.replace(self, indices=chosen, name=name)

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = self.read(np.arange(len(self)))
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    def _decoded(self, indices: Sequence[int] | np.ndarray) -> list[tuple[np.ndarray, int]]:
        chosen = np.asarray(indices) if self.indices is None else self.indices[indices]
        return [self.decode(record) for record in self.records.__getitems__(chosen.tolist())]

    def __getstate__(self) -> dict[str, Any]:
        """Reader processes get the way to the records, not the decoded split."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, opened.

    Args:
      name: e.g. ``"shapes/64"``.
      version: e.g. ``"1.0.0"``.
      class_names: one for each class.
      image_shape: (height, width, channels); None where images differ.
      splits: ``train``, ``validation`` and ``test``.
      notes: what a person should know about how the set came about, a line each.
    """

    name: str
    version: str
    class_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the training split, in units of 0..1: float32 (c,)."""
        return self._statistics[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel over the training split, in units of 0..1: float32 (c,)."""
        return self._statistics[1]

    @functools.cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Exact where the split fits in memory; else as published, or of :data:`SAMPLE` images."""
        train = self.splits["train"]
        if train.fits:
            return channel_statistics([train.arrays()["image"]])
        if self.name in _PUBLISHED:
            mean, std = _PUBLISHED[self.name]
            return np.array(mean, np.float32), np.array(std, np.float32)
        chosen = np.linspace(0, len(train) - 1, min(SAMPLE, len(train)), dtype=np.int64)
        return channel_statistics(train[int(i)]["image"] for i in chosen)


def channel_statistics(images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel.

    They come from the counts of the 256 values, so they do not depend on the order of summation. The
    deviation is at least one grey level, so that constant images can be divided by it.

    Args:
      images: uint8 arrays of shape (..., c).

    Returns:
      ``(mean, std)``, float32 (c,), in units of 0..1.

    Example:
      >>> mean, std = channel_statistics([np.array([[[0], [255]]], np.uint8)])
      >>> float(mean[0]), float(std[0])
      (0.5, 0.5)
    """
    counts: Any = 0
    for image in images:
        channels = image.reshape(-1, image.shape[-1])
        counts = counts + np.stack([np.bincount(channel, minlength=256) for channel in channels.T])
    values = np.arange(256) / 255
    total = counts.sum(1)
    mean = counts @ values / total
    deviation = np.sqrt(np.einsum("cv,cv->c", counts, (values[None] - mean[:, None]) ** 2) / total)
    return mean.astype(np.float32), np.maximum(deviation, 1 / 255).astype(np.float32)
