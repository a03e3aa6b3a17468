"""The procedural shapes: areas, motions, boxes, and what TFDS stores of them."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxcnn.data import shapes
from jaxcnn.data.shapes import Pose


def lens(r1, r2, distance):
    """Area of the intersection of two disks."""
    cosine1 = (distance**2 + r1**2 - r2**2) / (2 * distance * r1)
    cosine2 = (distance**2 + r2**2 - r1**2) / (2 * distance * r2)
    kite = (-distance + r1 + r2) * (distance + r1 - r2) * (distance - r1 + r2) * (distance + r1 + r2)
    return r1**2 * np.arccos(cosine1) + r2**2 * np.arccos(cosine2) - np.sqrt(kite) / 2


ARM = 0.35
AREAS = {  # for circumradius 1
    "disk": np.pi,
    "ring": np.pi * (1 - 0.5**2),
    "crescent": np.pi - lens(1, 0.85, 0.5),
    "triangle": 3 * np.sqrt(3) / 4,
    "square": 2,
    "star": 10 * 0.45 * np.sin(np.pi / 5) / 2,
    "cross": (2 * 2 * 2 * ARM - (2 * ARM) ** 2) / (1 + ARM**2),
    "arrow": (0.9 * 1.6 / 2 + 1.1 * 0.6) / (1 + 0.3**2),
}


def test_all_shapes_are_measured():
    assert set(AREAS) == set(shapes.CLASS_NAMES)


@pytest.mark.parametrize("name", shapes.CLASS_NAMES)
def test_area(name):
    radius = 0.4 * 256
    for rotation in (0.0, 0.7):
        found = shapes.coverage(name, (256, 300), Pose(scale=0.4, rotation=rotation)).sum() / radius**2
        assert abs(found / AREAS[name] - 1) < 2e-3


@pytest.mark.parametrize("name", shapes.CLASS_NAMES)
def test_moves_and_turns_as_told(name):
    still = shapes.coverage(name, (64, 64), Pose(scale=0.2, rotation=0.3))
    moved = shapes.coverage(name, (64, 64), Pose((0.5 + 5 / 64, 0.5 - 3 / 64), 0.2, 0.3))
    np.testing.assert_allclose(moved, np.roll(still, (5, -3), (0, 1)), atol=1e-9)
    turned = shapes.coverage(name, (64, 64), Pose(scale=0.2, rotation=0.3 + np.pi / 2))
    np.testing.assert_allclose(turned, np.rot90(still, -1), atol=1e-9)  # clockwise
    larger = shapes.coverage(name, (128, 128), Pose(scale=0.2, rotation=0.3))
    shrunk = larger.reshape(64, 2, 64, 2).mean((1, 3))
    assert abs(shrunk - still).sum() < 0.05 * still.sum()


@pytest.mark.parametrize("size", [(16, 16), (24, 40)])
def test_everything_about_an_example_is_true(size):
    height, width = size
    for index in range(80):
        one = shapes.example("validation", index, size)
        pose = Pose(tuple(map(float, one["position"])), float(one["scale"]), float(one["rotation"]))
        name = shapes.CLASS_NAMES[one["label"]]
        assert one["label"] == index % 8
        np.testing.assert_array_equal(one["mask"][..., 0], shapes.coverage(name, size, pose) >= 0.5)
        # inside the image, by its circumscribed circle
        margin = pose.scale * min(size) / np.array(size)
        assert (one["position"] >= margin - 1e-6).all()
        assert (one["position"] <= 1 - margin + 1e-6).all()
        # the box is the tightest
        top, left, bottom, right = np.multiply(one["box"], (height, width, height, width)).round().astype(int)
        inside = one["mask"][top:bottom, left:right, 0]
        assert inside.sum() == one["mask"].sum() > 0
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_a_shape_differs_from_its_background():
    gaps = []
    for index in range(40):
        one = shapes.example("train", index, (48, 48))
        mask = one["mask"][..., 0] > 0
        gaps.append(np.linalg.norm(one["image"][mask].mean(0) - one["image"][~mask].mean(0)) / 255)
    assert min(gaps) > 0.3


def test_examples_are_fixed_and_splits_differ():
    one, again = (shapes.example("train", 5, (16, 16)) for _ in range(2))
    assert all(np.array_equal(one[key], again[key]) for key in one)
    other = shapes.example("test", 5, (16, 16))
    assert (one["image"] != other["image"]).any()


def test_the_stored_set_is_what_was_drawn(shapes16, data_dir):
    assert shapes16.class_names == shapes.CLASS_NAMES
    assert shapes16.image_shape == (16, 16, 3)
    assert {name: len(split) for name, split in shapes16.splits.items()} == shapes.COUNTS
    assert shapes16.name == "shapes/16"
    builder = tfds.builder_from_directory(data_dir / "shapes" / "16" / "1.0.0")
    stored = {example["image"].tobytes(): example for example in builder.as_data_source("validation")}
    assert len(stored) == shapes.COUNTS["validation"]
    for index in range(0, 500, 50):
        drawn = shapes.example("validation", index, (16, 16))
        found = stored[drawn["image"].tobytes()]
        for key in ("label", "mask", "position", "scale", "rotation"):
            np.testing.assert_array_equal(found[key], drawn[key])
        np.testing.assert_allclose(found["box"], drawn["box"], rtol=1e-6)


def test_classes_are_equally_frequent(shapes16):
    assert set(np.bincount(shapes16.splits["train"].arrays()["label"])) == {500}
