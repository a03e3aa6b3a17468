"""Names and folders: what is found, what is refused, and that nobody waits for a network."""

import re

import pytest
import tensorflow_datasets as tfds

from jaxcnn import data
from jaxcnn.data.locate import Name
from jaxcnn.errors import UserError
from tests.data.making import make_pictures


def refusal(name, data_dir):
    with pytest.raises(UserError) as caught:
        data.load(name, data_dir=str(data_dir))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "mnist:3.0.1", "imagenet_resized/8x8", "imagenet2012"])
def test_an_unprepared_set_is_refused_with_a_command_that_prepares_it(name, tmp_path, monkeypatch):
    said = refusal(name, tmp_path / "data")
    assert said.startswith(f"dataset {name} is not prepared in {tmp_path / 'data'}")
    assert "pip install 'jaxcnn[tf]'" in said
    assert ("downloads/manual" in said) == (name == "imagenet2012")
    # the command does what it says: prepare this very set there, as array_record
    calls = []

    class Builder:
        def __init__(self, name, **kwargs):
            calls.append((name, kwargs))

        def download_and_prepare(self, **kwargs):
            calls.append(kwargs)

    monkeypatch.setattr(tfds, "builder", Builder)
    exec(re.search(r'python -c "(.*)"', said)[1])
    assert calls == [(name, {"data_dir": str(tmp_path / "data")}), {"file_format": "array_record"}]
    assert not (tmp_path / "data").exists()


def test_what_is_prepared_instead_is_said(tmp_path):
    make_pictures(tmp_path, {"train": 20}, name="cifar10", version="2.0.0")
    assert data.load("cifar10", data_dir=str(tmp_path)).version == "2.0.0"
    assert "prepared there: cifar10:2.0.0" in refusal("cifar10:3.0.2", tmp_path)
    make_pictures(tmp_path, {"train": 20}, name="imagenet_resized", config="8x8", version="0.1.0")
    assert "prepared there: imagenet_resized/8x8:0.1.0" in refusal("imagenet_resized/16x16", tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digts", "did you mean digits"),
        ("MNIST", "did you mean mnist"),
        ("cifar_10", "did you mean cifar10"),
        ("qqqqqqqq", "known: digits, shapes, and all of TFDS's catalogue"),
        ("cifar10:9.9.9", "TFDS knows 3.0.2"),
        ("cifar10/gray", "has no configuration 'gray'; it has none"),
        ("imagenet_resized/8x9", "did you mean 8x8"),
        ("digits:2.0.0", "the version is 1.0.0"),
        ("digits/small", "digits has no configurations"),
        ("shapes/8", "16 to 1024"),
        ("shapes/2000", "16 to 1024"),
        ("shapes/large", "e.g. shapes/64"),
        ("mnist:3", "is no name; write name[/config][:version]"),
        ("two words", "is no name"),
        ("huggingface:mnist", "is no name"),
        ("", "is no name"),
    ],
)
def test_misspelt_names_get_one_line(name, says, tmp_path):
    assert says in refusal(name, tmp_path)


def test_folders(tmp_path, monkeypatch):
    folder = make_pictures(tmp_path, {"train": 20})
    monkeypatch.chdir(tmp_path)
    assert data.load("./tiny/1.0.0").version == "1.0.0"
    assert data.load("tiny/1.0.0").version == "1.0.0"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.load("~/tiny/1.0.0").version == "1.0.0"
    assert f"holds versions of a set; name one, e.g. {folder}" in refusal(str(folder.parent), "")
    assert "does not exist" in refusal(str(tmp_path / "nowhere"), "")
    assert "has no dataset_info.json" in refusal(str(tmp_path), "")
    assert "is a file" in refusal(str(folder / "features.json"), "")
    assert "is a file; expected a folder" in refusal("mnist", folder / "features.json")


def test_the_data_folder_is_tfdss(tmp_path, monkeypatch):
    make_pictures(tmp_path / "tensorflow_datasets", {"train": 20}, version="1.0.0")
    make_pictures(tmp_path / "elsewhere", {"train": 20}, version="2.0.0")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert data.load("tiny").version == "1.0.0"
    assert data.load("tiny", data_dir="~/elsewhere").version == "2.0.0"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    assert data.load("tiny").version == "2.0.0"


def test_a_set_that_is_still_being_prepared_is_not_found(tmp_path):
    folder = make_pictures(tmp_path, {"train": 20})
    folder.rename(folder.parent / "incomplete.ABCDEF_1.0.0")
    assert "unknown" in refusal("tiny", tmp_path)


def test_a_square_has_one_name(shapes16, data_dir):
    assert data.load("shapes/16x16", data_dir=str(data_dir)).name == "shapes/16"


def test_names_are_written_as_they_are_read():
    assert str(Name("mnist")) == "mnist"
    assert str(Name("shapes", "64", "1.*.*")) == "shapes/64:1.*.*"
    assert Name("a", version="1.*.*").accepts("1.20.3")
    assert not Name("a", version="1.*.*").accepts("2.0.0")
