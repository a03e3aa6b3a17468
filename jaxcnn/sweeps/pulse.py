"""Signs of life of workers, and when their absence is to be believed."""

import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import Any

LOOKS = 12  # so often in a row a worker may show no new sign of life


class Listener:
    """Counts for how many looks in a row each candidate has shown no new sign of its worker's life.

    Looks are counted, not seconds: who slept, or had no database, has not looked meanwhile. When all of them
    come back after a common silence, each has as long as ever to be heard before the first is given up.

    Example:
      >>> listener = Listener()
      >>> for look in range(LOOKS + 1):
      ...     listener.look({0: "always the same", 1: look})
      >>> listener.silent()
      {0}
    """

    def __init__(self) -> None:
        self._heard: dict[int, tuple[Hashable, int]] = {}

    def look(self, signs: Mapping[int, Hashable]) -> None:
        """Take note of the newest sign of each candidate."""
        before = self._heard
        self._heard = {
            number: (sign, before[number][1] + 1 if before.get(number, (None,))[0] == sign else 0)
            for number, sign in signs.items()
        }

    def silent(self) -> set[int]:
        """The candidates whose workers are to be given up."""
        return {number for number, (_, looks) in self._heard.items() if looks >= LOOKS}


class Pulse(AbstractContextManager):
    """Calls ``beat`` every so many seconds, from a thread, as long as the context lasts.

    Attributes:
      leaving: whether the context is over, and ``beat`` should not wait for anything.
    """

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat, self._seconds = beat, seconds
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.leaving = self._leave.is_set

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: Any) -> None:
        self._leave.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._leave.wait(self._seconds):
            self._beat()
