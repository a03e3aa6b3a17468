"""Two ways to bring the same batches to the device, and exact passes for evaluation.

Resident: the whole split lies on the device as uint8; a step is told which rows to take, and takes them
inside its own jitted call. Streaming: batches are read ahead by threads or processes and travel to the device
one by one. Both follow :class:`jaxcnn.data.order.Order`, so a run does not depend on which of them it used.
"""

import dataclasses
import os
import signal
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import jax
import numpy as np

from jaxcnn.data.dataset import Split
from jaxcnn.data.order import Order
from jaxcnn.errors import UserError, nearest

KINDS = ("auto", "resident", "streaming")

_THREADS = 16  # at most, for reading ahead; each holds a batch
_FOREVER = 2**62


class Feed(Protocol):
    """Where a training loop gets its batches."""

    @property
    def data(self) -> Any:
        """What lies on the device for the whole run, or None."""

    def payload(self, t: int) -> Any:
        """What the host sends for step ``t``: a pure function of the seed and ``t``."""

    def stream(self, start: int) -> Generator[Any, None, None]:
        """The payloads of steps ``start``, ``start + 1``, … without end; ``close()`` it after use."""

    def gather(self, data: Any, payload: Any) -> dict[str, jax.Array]:
        """``{"image", "label"}`` of a step; pure and traceable."""


@dataclasses.dataclass(frozen=True, eq=False)
class Resident:
    """Payloads are row numbers, int32 (batch,); see :class:`Feed`."""

    data: dict[str, jax.Array]
    order: Order

    def payload(self, t: int) -> np.ndarray:
        return self.order.indices(t)

    def stream(self, start: int) -> Generator[np.ndarray, None, None]:
        for t in range(start, _FOREVER):
            yield self.payload(t)

    def gather(self, data: dict[str, jax.Array], payload: jax.Array) -> dict[str, jax.Array]:
        return jax.tree.map(lambda array: array.at[payload].get(mode="promise_in_bounds"), data)


@dataclasses.dataclass(frozen=True, eq=False)
class Streaming:
    """Payloads are the batches themselves; see :class:`Feed`."""

    split: Split
    order: Order
    workers: int = 0
    data: None = None

    def payload(self, t: int) -> dict[str, np.ndarray]:
        return self.split.read(self.order.indices(t))

    def stream(self, start: int) -> Generator[dict[str, np.ndarray], None, None]:
        return _ahead(self.payload, start, _FOREVER, self.workers)

    def gather(self, data: None, payload: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return payload


def reseeded(feed: Any, seed: int) -> Any:
    """The same feed in another seed's order; what lies on the device is shared."""
    return dataclasses.replace(feed, order=dataclasses.replace(feed.order, seed=seed))


def make_feed(split: Split, batch_size: int, *, seed: int, kind: str = "auto", workers: int = 0) -> Feed:
    """A feed of the kind that was asked for.

    Args:
      split: the training split.
      batch_size: examples a step; more than the split has is fine, the epochs just go by faster.
      seed: picks the order.
      kind: ``"resident"``, ``"streaming"``, or ``"auto"``: see :func:`choose_feed`.
      workers: processes that read for a streaming feed; 0: threads.

    Raises:
      UserError: no such kind, or the split cannot be resident.
    """
    if choose_feed(split, kind) == "resident":
        return resident(split, batch_size, seed)
    return streaming(split, batch_size, seed, workers)


def choose_feed(split: Split, kind: str = "auto") -> str:
    """``"resident"`` or ``"streaming"``; ``"auto"`` is resident for a split that decodes to 2 GiB or less.

    Raises:
      UserError: no such kind, or images differ in size, so that they make no batches.
    """
    if kind not in KINDS:
        raise UserError(f"feed {kind!r} is unknown; {nearest(kind, KINDS)}")
    if not split.fixed_size:
        raise UserError(
            f"images of the {split.name} split differ in size and make no batch; give --image_size, say 224"
        )
    if kind == "auto":
        return "resident" if split.fits else "streaming"
    return kind


def resident(split: Split, batch_size: int, seed: int) -> Resident:
    """Put a whole split on the device.

    Args:
      split: the training split.
      batch_size: examples a step.
      seed: picks the order.

    Returns:
      A feed whose ``data`` is ``{"image": uint8 (n, h, w, c), "label": int32 (n,)}``.
    """
    return Resident(jax.device_put(split.arrays()), Order(len(split), batch_size, seed))


def streaming(split: Split, batch_size: int, seed: int, workers: int = 0) -> Streaming:
    """Read batches ahead of the device.

    Args:
      split: the training split.
      batch_size: examples a step.
      seed: picks the order.
      workers: processes that read; 0: threads of this one. The batches do not depend on it.
    """
    if workers < 0:
        raise ValueError(f"workers={workers}: expected 0 or more")
    return Streaming(split, Order(len(split), batch_size, seed), workers)


def eval_batches(split: Split, batch_size: int, workers: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Every example of a split exactly once, in batches of one shape.

    Args:
      split: any split with images of one size.
      batch_size: examples a batch.
      workers: processes that read a split too large to be kept whole; 0: threads.

    Returns:
      ``{"image": uint8 (batch, h, w, c), "label": int32 (batch,), "mask": float32 (batch,)}``. The mask is 1
      where there is an example, and 0 where the last batch is filled up with zeros.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected 1 or more")
    passes = _Passes(split, batch_size)
    count = -(-len(split) // batch_size)
    if split.fits:
        return (passes(t) for t in range(count))
    return _ahead(passes, 0, count, workers)


@dataclasses.dataclass(frozen=True, eq=False)
class _Passes:
    """Batch ``t`` of one pass in stored order."""

    split: Split
    batch_size: int

    def __call__(self, t: int) -> dict[str, np.ndarray]:
        rows = np.arange(t * self.batch_size, min((t + 1) * self.batch_size, len(self.split)))
        if self.split.fits:
            batch = {name: array[rows] for name, array in self.split.arrays().items()}
        else:
            batch = self.split.read(rows)
        batch["mask"] = np.ones(len(rows), np.float32)
        missing = self.batch_size - len(rows)
        return {
            name: np.pad(array, [(0, missing), *[(0, 0)] * (array.ndim - 1)]) for name, array in batch.items()
        }


def _ahead(read: Any, start: int, stop: int, workers: int) -> Generator[Any, None, None]:
    """``read(start)`` … ``read(stop - 1)`` in this order, computed ahead by threads or processes.

    A ``MapDataset`` is a function of the index, so the order cannot depend on who reads when.
    """
    import grain
    from absl import flags

    if workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads absl flags for its processes; a notebook has parsed none
    cores = os.cpu_count() or 1
    threads = max(1, min(_THREADS, cores // max(workers, 1)))
    batches = (
        grain.MapDataset.range(start, stop)
        .map(read)
        .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1))
        .mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=2), _ignore_interrupts)
    )
    iterator = iter(batches)
    try:
        yield from map(_unshared, iterator) if workers else iterator
    finally:
        iterator.close()


def _unshared(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A batch out of the shared memory that processes hand it over in, so that this can be freed at once."""
    return {name: np.array(array) for name, array in batch.items()}


def _ignore_interrupts(worker: int, workers: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main one finishes its step and closes its readers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
