"""Which examples make up batch t: a pure function of ``(seed, t)``.

Example ``j = t·B + i`` of a run is ``perm_e(j mod n)`` with ``e = j // n``: epoch ``e`` visits the ``n``
examples in its own permutation, drawn from a counter-based generator keyed by ``(seed, e)``. Within an
epoch nothing is dropped and nothing is repeated, whatever the batch size; a batch may straddle epochs.
Nothing is remembered between steps, so a run resumes at any step.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Order:
    """The order in which training visits ``count`` examples.

    Args:
      count: examples in the split, n.
      batch_size: examples in a batch, B; it may exceed n.
      seed: picks the permutations.

    Raises:
      ValueError: ``count`` or ``batch_size`` is below 1, or ``seed`` is negative.

    Example:
      >>> order = Order(count=5, batch_size=2, seed=0)
      >>> sorted(int(i) for t in range(5) for i in order.indices(t))  # two epochs of five
      [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    count: int
    batch_size: int
    seed: int
    _recent: dict[int, np.ndarray] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("batch_size", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name}={value}: expected {least} or more")

    def indices(self, t: int) -> np.ndarray:
        """The examples of batch ``t``.

        Args:
          t: step, from 0.

        Returns:
          int32 array of shape (batch_size,).
        """
        if t < 0:
            raise ValueError(f"t={t}: expected a step from 0 on")
        start, stop = t * self.batch_size, (t + 1) * self.batch_size
        pieces = []
        for epoch in range(start // self.count, (stop - 1) // self.count + 1):
            first = epoch * self.count
            pieces.append(self._epoch(epoch)[max(start - first, 0) : stop - first])
        return np.concatenate(pieces)

    def _epoch(self, epoch: int) -> np.ndarray:
        """An epoch's permutation; a few are kept, since threads may be at work in neighbouring ones."""
        found = self._recent.get(epoch)
        if found is None:
            if len(self._recent) >= 4:
                self._recent.clear()
            found = self._recent[epoch] = permutation(self.count, self.seed, epoch)
        return found


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch.

    Args:
      count: examples, n.
      seed: the run's seed.
      epoch: which pass over the data.

    Returns:
      A permutation of 0 … n − 1, int32. The generator is Philox (Salmon et al., "Parallel Random
      Numbers: As Easy as 1, 2, 3", 2011) with ``(seed, epoch)`` as its key.

    Example:
      >>> bool((np.sort(permutation(7, seed=0, epoch=3)) == np.arange(7)).all())
      True
    """
    key = np.array([epoch, seed], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count).astype(np.int32)
