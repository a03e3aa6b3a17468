"""The embedded digits against scikit-learn."""

import numpy as np
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from jaxcnn.data import digits as source


def stored(data_dir):
    builder = tfds.builder_from_directory(data_dir / "digits" / "1.0.0")
    return {name: list(builder.as_data_source(name)) for name in builder.info.splits}


def test_every_scan_is_stored_once_and_unchanged(digits, data_dir):
    scans = load_digits()
    splits = stored(data_dir)
    rows = np.array([example["index"] for split in splits.values() for example in split])
    assert sorted(rows) == list(range(1797))
    images = np.stack([example["image"] for split in splits.values() for example in split])
    labels = np.array([example["label"] for split in splits.values() for example in split])
    np.testing.assert_array_equal(np.rint(images[..., 0] / 255 * 16), scans.images[rows])
    np.testing.assert_array_equal(labels, scans.target[rows])


def test_the_splits_have_equal_shares_of_every_class(digits):
    totals = np.bincount(load_digits().target)
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        counts = np.bincount(digits.splits[name].arrays()["label"])
        assert (abs(counts - share * totals) <= 1).all()


def test_a_split_knows_no_example_of_another():
    labels = load_digits().target
    rows = np.concatenate(list(source.split(labels).values()))
    assert sorted(rows) == list(range(1797))


def test_what_the_set_says_of_itself(digits):
    assert (digits.name, digits.version, digits.num_classes) == ("digits", "1.0.0", 10)
    assert digits.class_names == tuple("0123456789")
    assert digits.image_shape == (8, 8, 1)
    assert digits.notes == ()


def test_reading_one_or_all_is_the_same(digits):
    split = digits.splits["validation"]
    arrays = split.arrays()
    assert arrays["image"].shape == (179, 8, 8, 1)
    for index in (0, 7, 178, -1):
        np.testing.assert_array_equal(split[index]["image"], arrays["image"][index])
        assert split[index]["label"] == arrays["label"][index]
    assert sum(1 for _ in split) == 179


def test_statistics_are_numpys(digits):
    images = digits.splits["train"].arrays()["image"] / 255
    np.testing.assert_allclose(digits.mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(digits.std, images.std((0, 1, 2)), rtol=1e-6)
