"""Embedded sets on disk: prepared once however many ask, never used damaged, never over others' files."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.data import embedded
from jaxcnn.errors import UserError

PRINT_DIGEST = """
import hashlib, sys
from jaxcnn import data
split = data.load("digits", data_dir=sys.argv[1]).splits["train"]
print(hashlib.sha256(split.arrays()["image"].tobytes()).hexdigest())
"""


@pytest.fixture
def copy(digits, data_dir, tmp_path):
    """A data folder of one's own, with digits prepared."""
    shutil.copytree(data_dir / "digits", tmp_path / "digits")
    return tmp_path / "digits" / "1.0.0"


def shard(folder):
    return next(folder.glob("*train*"))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit": lambda folder: flip_a_bit(shard(folder)),
    "a shard cut short": lambda folder: os.truncate(shard(folder), 70_000),
    "an empty shard": lambda folder: os.truncate(shard(folder), 0),
    "a missing shard": lambda folder: shard(folder).unlink(),
    "garbled metadata": lambda folder: (folder / "dataset_info.json").write_bytes(b"\xff{"),
    "missing metadata": lambda folder: (folder / "dataset_info.json").unlink(),
    "empty features": lambda folder: (folder / "features.json").write_text(""),
    "sums cut short": lambda folder: os.truncate(folder / embedded.SUMS, 200),
    "sums without a line": lambda folder: (folder / embedded.SUMS).write_text(
        "".join((folder / embedded.SUMS).read_text().splitlines(keepends=True)[:-1])
    ),
    "garbled sums": lambda folder: (folder / embedded.SUMS).write_bytes(os.urandom(300)),
    "missing sums": lambda folder: (folder / embedded.SUMS).unlink(),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_set_is_rebuilt_and_that_is_said(what, copy, digits, capsys):
    DAMAGES[what](copy)
    again = data.load("digits", data_dir=str(copy.parents[1]))
    assert f"{copy} is damaged" in capsys.readouterr().err
    for name, split in digits.splits.items():
        np.testing.assert_array_equal(again.splits[name].arrays()["image"], split.arrays()["image"])
    assert embedded.damage(copy) is None
    assert sorted(path.name for path in copy.parent.iterdir()) == [".lock", "1.0.0"]


def test_an_intact_set_is_left_alone(copy, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    data.load("digits", data_dir=str(copy.parents[1]))
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before
    assert capsys.readouterr() == ("", "")


def test_the_sums_are_those_of_sha256sum(copy):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", embedded.SUMS], cwd=copy, check=True)


def test_processes_that_start_together_all_succeed(digits, tmp_path):
    command = [sys.executable, "-c", PRINT_DIGEST, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    # the same set in the same order in every process, and in this one
    here = hashlib.sha256(digits.splits["train"].arrays()["image"].tobytes()).hexdigest()
    assert {out.strip() for out, _ in outputs} == {here}
    assert sum("preparing" in err for _, err in outputs) == 1


def test_what_is_not_ours_is_not_touched(tmp_path):
    folder = tmp_path / "digits" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("the only copy")
    with pytest.raises(UserError, match="move it away"):
        data.load("digits", data_dir=str(tmp_path))
    assert (folder / "thesis.txt").read_text() == "the only copy"


def test_an_interrupted_preparation_leaves_nothing(tmp_path, monkeypatch):
    from jaxcnn.data import builders

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(builders.Digits, "_generate_examples", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("digits", data_dir=str(tmp_path))
    assert [path.name for path in (tmp_path / "digits").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert len(data.load("digits", data_dir=str(tmp_path)).splits["test"]) == 359


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot keep digits"):
        data.load("digits", data_dir=str(tmp_path / "data"))


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        data.load("digits", data_dir=str(tmp_path / "file"))
    (tmp_path / "digits").write_text("")
    with pytest.raises(UserError, match="cannot keep digits"):
        data.load("digits", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="cannot keep digits"):
        data.load("digits", data_dir=str(tmp_path / "file" / "deeper"))
