"""Splits put together, for a last training on everything that may be trained on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcnn.data.dataset import Dataset, Records


class _Both:
    """The records of one after those of another."""

    def __init__(self, first: Records, second: Records) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitems__(self, indices: list[int]) -> Sequence[Any]:
        size = len(self._first)
        ours, theirs = ([i for i in indices if (i < size) is first] for first in (True, False))
        found = dict(zip(ours, self._first.__getitems__(ours), strict=True)) if ours else {}
        if theirs:
            rest = self._second.__getitems__([i - size for i in theirs])
            found |= dict(zip(theirs, rest, strict=True))
        return [found[i] for i in indices]


def with_validation(dataset: Dataset) -> Dataset:
    """The data set with its validation split among the training examples, after them.

    What validation then finds has been trained on, and says nothing of other examples.
    """
    train, validation = dataset.splits["train"], dataset.splits["validation"]
    ours, theirs = (
        np.arange(len(split.records)) if split.indices is None else split.indices
        for split in (train, validation)
    )
    if train.records is validation.records:  # one was taken out of the other
        joined = dataclasses.replace(train, indices=np.concatenate([ours, theirs]))
    else:
        both = _Both(train.records, validation.records)
        indices = np.concatenate([ours, theirs + len(train.records)])
        joined = dataclasses.replace(train, records=both, indices=indices)
    note = "the validation split is trained on too: its figures say nothing of new examples"
    return dataclasses.replace(
        dataset, splits=dataset.splits | {"train": joined}, notes=(*dataset.notes, note)
    )
