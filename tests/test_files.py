"""Files are found whole, whoever else writes them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxcnn.errors import UserError
from jaxcnn.files import read_json, write_atomically


def test_the_last_text_stays_and_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "x", "1")
    write_atomically(tmp_path / "x", "2")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "2"


def test_threads_that_write_at_once_do_not_meet(tmp_path):
    texts = [str(i) * 10_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: write_atomically(tmp_path / "x", texts[i % 8]), range(400)))
    assert (tmp_path / "x").read_text() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


DAMAGE = [
    b"",
    b"{",
    b"{}",
    b"[]",
    b"3",
    b"\xff\xfe\x00",
    b'{"n": null, "x": 1}',
    b'{"n": 1}',
    b'{"n": 1, "x": "a"}',
]


@pytest.mark.parametrize("content", DAMAGE)
def test_damaged_json_is_one_line_that_names_the_file_and_what_to_do(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(tmp_path / "f", {"n": int, "x": float}, "burn it")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'f'} cannot be read (")
    assert said.endswith("; burn it")
    assert "\n" not in said


def test_a_folder_is_no_json(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); burn it"):
        read_json(tmp_path, {}, "burn it")


def test_json_may_hold_more(tmp_path):
    (tmp_path / "f").write_text('{"n": 1, "more": 2}')
    assert read_json(tmp_path / "f", {"n": int}, "") == {"n": 1, "more": 2}
