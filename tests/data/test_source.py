"""Sets as TFDS prepares them, read without TensorFlow: features, splits, sizes, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxcnn import data
from jaxcnn.data import dataset, source
from jaxcnn.errors import UserError
from tests.data.making import LABEL, encode, make, make_pictures, pictures

IMAGE = tfds.features.Image(shape=(6, 5, 3))
REPOSITORY = Path(__file__).parents[2]


def by_content(examples):
    return sorted((np.asarray(image).tobytes(), int(label)) for image, label in examples)


def stored(split):
    arrays = split.arrays()
    return by_content(zip(arrays["image"], arrays["label"], strict=True))


def drawn(count, position):
    return by_content((image, index % 3) for index, image in enumerate(pictures(count, seed=position)))


WITHOUT_TENSORFLOW = '''
import sys

class Without:
    """Finds what another finder finds, but no TensorFlow."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] == "tensorflow" else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
from jaxcnn import data
found = data.load(sys.argv[1])
print([int(split.arrays()["image"].sum()) for split in found.splits.values()])
assert not any(name.split(".")[0] == "tensorflow" for name in sys.modules)
'''


def test_encoded_images_are_read_without_tensorflow(tmp_path):
    folder = make_pictures(tmp_path, {"train": 12, "validation": 4, "test": 5})
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    expected = [
        int(sum(image.astype(int).sum() for image in pictures(n, seed=s))) for s, n in enumerate((12, 4, 5))
    ]
    assert json.loads(done.stdout) == expected


def test_a_set_by_folder_and_by_name(tmp_path):
    counts = {"train": 12, "validation": 4, "test": 5}
    folder = make_pictures(tmp_path, counts, version="2.0.1")
    for found in (data.load(str(folder)), data.load("tiny", data_dir=str(tmp_path))):
        assert (found.name, found.version, found.class_names) == ("tiny", "2.0.1", ("ant", "bee", "cat"))
        assert found.image_shape == (6, 5, 3)
        assert found.notes == ()
        for position, (name, count) in enumerate(counts.items()):
            assert stored(found.splits[name]) == drawn(count, position)


def test_the_highest_prepared_version_unless_one_is_named(tmp_path):
    for version in ("1.9.0", "1.10.0", "1.10.2"):
        make_pictures(tmp_path, {"train": 20}, version=version)

    def load(name):
        return data.load(name, data_dir=str(tmp_path)).version

    assert load("tiny") == "1.10.2"
    assert load("tiny:1.9.0") == "1.9.0"
    assert load("tiny:1.10.*") == "1.10.2"
    assert load("tiny:*.9.*") == "1.9.0"


def test_configurations(tmp_path):
    make_pictures(tmp_path, {"train": 20}, config="small")
    found = data.load("tiny/small", data_dir=str(tmp_path))
    assert found.name == "tiny/small"
    # without a configuration it is TFDS's default, which TFDS notes beside the set
    note = tmp_path / "tiny" / ".config" / "metadata.json"
    note.parent.mkdir()
    note.write_text('{"default_config_name": "small"}')
    assert data.load("tiny:1.0.0", data_dir=str(tmp_path)).name == "tiny/small"


@pytest.mark.parametrize(
    ("counts", "expected", "notes"),
    [
        ({"train": 40, "test": 6}, (36, 4, 6), ["validation split is 4 examples taken"]),
        ({"train": 40, "val": 6}, (36, 4, 6), ["val split is the test split", "validation split is 4"]),
        ({"train": 40}, (32, 4, 4), ["validation split is 4", "test split is 4"]),
        ({"train": 40, "dev": 3, "test": 6, "extra": 2}, (40, 3, 6), []),
    ],
)
def test_missing_splits_come_out_of_others(tmp_path, counts, expected, notes):
    folder = make_pictures(tmp_path, counts)
    found, again = data.load(str(folder)), data.load(str(folder))
    assert tuple(len(found.splits[name]) for name in ("train", "validation", "test")) == expected
    assert len(found.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, found.notes, strict=True))
    for name in found.splits:
        assert stored(found.splits[name]) == stored(again.splits[name])
    # nothing is lost and nothing is in two places
    everything = [example for split in found.splits.values() for example in stored(split)]
    used = [
        drawn(count, position) for position, (name, count) in enumerate(counts.items()) if name != "extra"
    ]
    assert sorted(everything) == sorted(example for split in used for example in split)


def test_a_carved_split_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_CARVED_MOST", 2)
    found = data.load(str(make_pictures(tmp_path, {"train": 40, "test": 3})))
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": 38,
        "validation": 2,
        "test": 3,
    }


def test_a_test_split_without_labels_is_not_used(tmp_path):
    splits = {
        name: [{"image": encode(image), "label": label} for image in pictures(count)]
        for name, count, label in (("train", 20, 1), ("validation", 5, 2), ("test", 3, -1))
    }
    found = data.load(str(make(tmp_path, {"image": IMAGE, "label": LABEL}, splits)))
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": 18,
        "validation": 2,
        "test": 5,
    }
    assert found.notes[0] == "the test split has no labels and is not used"


def one_split(root, features, examples, **kwargs):
    return make(root, features, {"train": examples, "validation": examples, "test": examples}, **kwargs)


@pytest.mark.parametrize(
    ("shape", "kind", "mode"),
    [
        ((6, 5, 1), "PNG", None),
        ((6, 5, 1), "PNG", "RGB"),
        ((6, 5, 3), "PNG", "P"),
        ((6, 5, 3), "PNG", "L"),
        ((6, 5, 4), "PNG", None),
        ((6, 5, 4), "PNG", "RGB"),
        ((16, 16, 3), "JPEG", None),
        ((16, 16, 3), "JPEG", "CMYK"),
        ((16, 16, 3), "JPEG", "L"),
    ],
)
def test_files_of_every_kind_give_the_declared_channels(tmp_path, shape, kind, mode):
    channels = shape[2]
    smooth = np.linspace(0, 200, np.prod(shape[:2])).reshape(*shape[:2], 1) + 10 * np.arange(channels)
    image = smooth.astype(np.uint8)
    encoding = {} if kind == "JPEG" and channels != 3 else {"encoding_format": kind.lower()}
    features = {"image": tfds.features.Image(shape=(None, None, channels), **encoding), "label": LABEL}
    folder = one_split(tmp_path, features, [{"image": encode(image, kind, mode), "label": 0}])
    found = data.load(str(folder)).splits["test"][0]["image"]
    assert found.dtype == np.uint8
    assert found.shape == shape
    # palettes and gray lose colour, JPEG rounds: as much as PIL says
    expected = Image.fromarray(image[..., 0] if channels == 1 else image)
    expected = (expected.convert(mode) if mode else expected).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    tolerance = 12 if kind == "JPEG" else 0
    difference = found.astype(int) - np.asarray(expected, int).reshape(shape)
    assert abs(difference).max() <= tolerance


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 7)])
@pytest.mark.parametrize("encoding", ["NONE", "BYTES", "ZLIB"])
def test_tensors_are_images_too(tmp_path, shape, encoding):
    feature = tfds.features.Tensor(
        shape=shape, dtype=np.uint8, encoding=getattr(tfds.features.Encoding, encoding)
    )
    images = pictures(12, shape)
    examples = [{"image": image, "label": index % 3} for index, image in enumerate(images)]
    found = data.load(str(one_split(tmp_path, {"image": feature, "label": LABEL}, examples)))
    channels = shape[2] if len(shape) == 3 else 1
    assert found.image_shape == (6, 5, channels)
    assert stored(found.splits["train"]) == by_content((e["image"], e["label"]) for e in examples)


def test_other_features_are_left_alone_and_names_may_differ(tmp_path):
    features = {
        "photo": IMAGE,
        "kind": LABEL,
        "segmentation": tfds.features.Image(shape=(6, 5, 1)),
        "quality": tfds.features.ClassLabel(num_classes=2),
    }
    examples = [
        {"photo": encode(image), "kind": 2, "segmentation": b"no image at all", "quality": 0}
        for image in pictures(4)
    ]
    folder = one_split(tmp_path, features, examples, supervised=("photo", "kind"))
    found = data.load(str(folder))
    assert found.class_names == ("ant", "bee", "cat")
    assert stored(found.splits["train"]) == by_content((image, 2) for image in pictures(4))


@pytest.mark.parametrize(
    ("features", "example", "says"),
    [
        ({"image": IMAGE}, {"image": encode(pictures(1)[0])}, "no label among its features: image (Image)"),
        (
            {"text": tfds.features.Text(), "label": LABEL},
            {"text": "hello", "label": 0},
            "no image among its features: label (ClassLabel), text (Text)",
        ),
        (
            {"left": IMAGE, "right": IMAGE, "label": LABEL},
            {"left": encode(pictures(1)[0]), "right": encode(pictures(1)[0]), "label": 0},
            "more than one image among",
        ),
        (
            {"image": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.float32), "label": LABEL},
            {"image": np.zeros((4, 4, 1), np.float32), "label": 0},
            "images of type float32 in 'image'; expected uint8",
        ),
    ],
)
def test_what_is_not_one_image_with_one_label_is_refused(tmp_path, features, example, says):
    folder = one_split(tmp_path, features, [example])
    with pytest.raises(UserError) as caught:
        data.load(str(folder))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_without_training_examples_is_refused(tmp_path):
    with pytest.raises(UserError, match="no training split, only test"):
        data.load(str(make_pictures(tmp_path, {"test": 5})))
    with pytest.raises(UserError, match="too few"):
        data.load(str(make_pictures(tmp_path / "few", {"train": 2})))


@pytest.fixture
def mixed(tmp_path):
    """A set whose images differ in size, with a feature of each."""
    sizes = [(8, 12), (20, 9), (7, 7), (8, 30)] * 5
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    examples = [{"image": encode(image), "label": 0} for image in images]
    features = {"image": tfds.features.Image(), "label": LABEL}
    return str(one_split(tmp_path, features, examples)), images


def test_images_that_differ_in_size(mixed):
    folder, images = mixed
    found = data.load(folder)
    assert found.image_shape == (None, None, 3)
    split = found.splits["train"]
    assert by_content((e["image"], 0) for e in split) == by_content((image, 0) for image in images)
    with pytest.raises(ValueError, match="differ in size"):
        split.arrays()
    with pytest.raises(UserError, match="--image_size"):
        data.make_feed(split, 4, seed=0)


def test_they_are_resized_as_pil_resizes_the_central_square(mixed):
    folder, images = mixed
    found = data.load(folder, image_size=5)
    assert found.image_shape == (5, 5, 3)
    expected = []
    for image in images:
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) / 2, (image.shape[1] - side) / 2
        picture = Image.fromarray(image).resize(
            (5, 5), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
        )
        expected.append((picture, 0))
    assert stored(found.splits["train"]) == by_content(expected)
    feed = data.make_feed(found.splits["train"], 4, seed=0, kind="streaming")
    assert feed.payload(3)["image"].shape == (4, 5, 5, 3)
    with pytest.raises(UserError, match="image_size=-1"):
        data.load(folder, image_size=-1)


def test_resizing_a_tensor_uses_jaxs_weights(digits, data_dir):
    """PIL's antialiased triangle filter is ``jax.image.resize``'s."""
    found = data.load("digits", data_dir=str(data_dir), image_size=5).splits["test"].arrays()["image"]
    images = digits.splits["test"].arrays()["image"]
    expected = jax.image.resize(images.astype(np.float32), (len(images), 5, 5, 1), "linear", antialias=True)
    assert abs(found - np.asarray(expected)).max() <= 1.0


def test_statistics_of_larger_sets(mixed, digits, monkeypatch):
    folder, images = mixed
    values = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    found = data.load(folder)
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.std, values.std(0), rtol=1e-6)
    exact = digits.mean
    monkeypatch.setattr(dataset, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(dataset, "SAMPLE", 200)
    sampled = data.Dataset("digits", "1.0.0", digits.class_names, digits.image_shape, digits.splits)
    assert 0 < abs(sampled.mean - exact) < 0.02
    named = data.Dataset("imagenet2012", "5.1.0", digits.class_names, digits.image_shape, digits.splits)
    assert named.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_constant_images_can_be_standardized():
    mean, std = dataset.channel_statistics([np.full((3, 2, 2, 1), 51, np.uint8)])
    assert mean == np.float32(0.2)
    assert std == np.float32(1 / 255)


def test_tfrecord_is_refused_with_the_way_out(tmp_path):
    folder = make_pictures(tmp_path, {"train": 20})
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(UserError) as caught:
        data.load(str(folder))
    assert "was prepared as tfrecord, which only TensorFlow reads" in str(caught.value)
    assert f"convert_format --dataset_version_dir={folder} --out_file_format=array_record" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "dataset_info.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "features.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "features.json").unlink(), "is damaged"),
        (lambda folder: next(folder.glob("*train*")).unlink(), "00000-of-00001 is missing"),
        (lambda folder: next(folder.glob("*train*")).write_bytes(b"cut short"), "at least 64KB"),
    ],
)
def test_a_damaged_set_says_so(tmp_path, spoil, says):
    folder = make_pictures(tmp_path, {"train": 20})
    spoil(folder)
    with pytest.raises(UserError) as caught:
        data.load(str(folder))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_indices_out_of_range(digits):
    split = digits.splits["test"]
    for index in (359, -360):
        with pytest.raises(IndexError, match="359 examples"):
            split[index]


def test_arrays_cannot_be_written_to(digits):
    with pytest.raises(ValueError, match="read-only"):
        digits.splits["test"].arrays()["image"][0] = 0


def test_copying_a_set_is_enough(tmp_path):
    folder = make_pictures(tmp_path / "there", {"train": 12, "validation": 3, "test": 3})
    moved = tmp_path / "here" / "1.0.0"
    shutil.move(folder, moved)
    assert len(data.load(str(moved)).splits["train"]) == 12
