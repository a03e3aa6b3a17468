"""Both feeds give the same batches, whoever reads them; evaluation counts every example once."""

import multiprocessing
from contextlib import closing
from itertools import islice

import jax
import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.data import dataset
from jaxcnn.errors import UserError
from tests.data.making import make_pictures


@pytest.fixture(scope="module")
def train(digits):
    return digits.splits["train"].subset(np.arange(50, 100), "train")


def gathered(feed, start, count):
    gather = jax.jit(feed.gather)
    with closing(feed.stream(start)) as payloads:
        return [jax.device_get(gather(feed.data, payload)) for payload in islice(payloads, count)]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one["image"].dtype == np.uint8
        assert one["label"].dtype == np.int32
        jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("batch_size", [1, 16, 50, 120])
@pytest.mark.parametrize("start", [0, 5])
def test_feeds_agree(train, batch_size, start):
    order, images = data.Order(50, batch_size, seed=7), train.arrays()
    expected = [
        {name: array[order.indices(t)] for name, array in images.items()} for t in range(start, start + 8)
    ]
    assert_same(gathered(data.resident(train, batch_size, 7), start, 8), expected)
    assert_same(gathered(data.streaming(train, batch_size, 7), start, 8), expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_processes_read_the_same_batches_and_leave(train, workers):
    feed = data.streaming(train, 16, seed=7, workers=workers)
    assert_same(gathered(feed, 3, 9), gathered(data.resident(train, 16, 7), 3, 9))
    assert not multiprocessing.active_children()


def test_a_payload_is_the_streams(train):
    for feed in (data.resident(train, 16, 7), data.streaming(train, 16, 7)):
        with closing(feed.stream(4)) as payloads:
            for t, payload in enumerate(islice(payloads, 3), 4):
                jax.tree.map(np.testing.assert_array_equal, payload, feed.payload(t))


def test_seeds_have_orders_of_their_own(train):
    one, other = (data.resident(train, 50, seed).payload(0) for seed in (0, 1))
    assert (one != other).any()


def test_auto_keeps_what_fits(train, monkeypatch):
    assert isinstance(data.make_feed(train, 8, seed=0), data.feed.Resident)
    monkeypatch.setattr(dataset, "RESIDENT_BYTES", 50 * 64)
    assert data.choose_feed(train) == "resident"
    monkeypatch.setattr(dataset, "RESIDENT_BYTES", 50 * 64 - 1)
    assert data.choose_feed(train) == "streaming"
    assert isinstance(data.make_feed(train, 8, seed=0), data.feed.Streaming)
    assert data.choose_feed(train, "resident") == "resident"


def test_what_cannot_be_fed_is_refused(train):
    with pytest.raises(UserError, match="did you mean streaming"):
        data.make_feed(train, 8, seed=0, kind="steaming")
    with pytest.raises(ValueError, match="workers=-1"):
        data.streaming(train, 8, 0, workers=-1)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 64])
@pytest.mark.parametrize("whole", [True, False])
def test_evaluation_counts_every_example_once(train, batch_size, whole, monkeypatch):
    if not whole:
        monkeypatch.setattr(dataset, "RESIDENT_BYTES", 0)
    batches = list(data.eval_batches(train, batch_size))
    assert {batch["image"].shape for batch in batches} == {(batch_size, 8, 8, 1)}
    assert sum(batch["mask"].sum() for batch in batches) == 50
    seen = [batch["mask"] > 0 for batch in batches]
    for name, array in train.arrays().items():
        found = np.concatenate([batch[name][real] for batch, real in zip(batches, seen, strict=True)])
        np.testing.assert_array_equal(found, array)
        assert not any(batch[name][~real].any() for batch, real in zip(batches, seen, strict=True))


def test_evaluation_wants_a_batch(train):
    with pytest.raises(ValueError, match="batch_size=0"):
        data.eval_batches(train, 0)


def test_a_damaged_record_stops_the_stream(tmp_path):
    folder = make_pictures(tmp_path, {"train": 40, "validation": 5, "test": 5})
    split = data.load(str(folder)).splits["train"]
    shard = next(folder.glob("*train*"))
    content = bytearray(shard.read_bytes())
    written = np.flatnonzero(np.frombuffer(content, np.uint8))
    content[written[len(written) // 2]] ^= 1
    shard.write_bytes(content)
    payloads = data.streaming(split, 40, 0).stream(0)
    with closing(payloads), pytest.raises(RuntimeError, match="Corrupted"):
        next(payloads)
