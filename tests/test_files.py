"""Files are found whole, whoever else writes them."""

from concurrent.futures import ThreadPoolExecutor

from jaxcnn.files import write_atomically


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
