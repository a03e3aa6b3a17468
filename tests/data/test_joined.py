"""A last training has every example of both splits, once, and nothing of the test split."""

import dataclasses

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.data.dataset import Dataset, Split

PARTS = {"train": [0, 3, 4, 7, 9], "validation": [2, 11], "test": [1, 5, 6, 8, 10]}


class Records(list):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


def decode(number):
    return np.full((2, 2, 1), number, np.uint8), number


def made(stored):
    """A set of 12 examples in one file or in three; an image is filled with its number."""
    whole = Split("all", Records(range(12)), decode, (2, 2, 1))
    splits = {
        name: whole.subset(np.asarray(numbers), name)
        if stored == "together"
        else Split(name, Records(numbers), decode, (2, 2, 1))
        for name, numbers in PARTS.items()
    }
    return Dataset("made", "1.0.0", tuple(map(str, range(12))), (2, 2, 1), splits)


@pytest.mark.parametrize("stored", ["together", "apart"])
def test_the_joined_split_is_both(stored):
    joined = data.with_validation(made(stored))
    train = joined.splits["train"]
    assert len(train) == 7
    assert train.arrays()["label"].tolist() == [0, 3, 4, 7, 9, 2, 11]
    assert [train[i]["label"] for i in (6, 0, 5)] == [11, 0, 2]
    np.testing.assert_array_equal(train.read([5, 1])["image"][:, 0, 0, 0], [2, 3])
    assert joined.splits["test"].arrays()["label"].tolist() == [1, 5, 6, 8, 10]
    assert "trained on too" in joined.notes[-1]
    subset = dataclasses.replace(train).subset(np.array([6, 0]), "some")
    assert subset.arrays()["label"].tolist() == [11, 0]
