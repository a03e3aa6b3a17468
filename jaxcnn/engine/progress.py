"""Progress of long work: a bar on a terminal, plain lines elsewhere; always with a rate and the time left."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_SECONDS = 15.0  # between lines when there is no terminal
WINDOW_SECONDS = 5.0  # that the rate is over


class TrainingProgress:
    """Shows how far training is.

    Args:
      steps: how many in all.
      start: the step it goes on from.
      batch_size: examples a step, for the rate.
    """

    def __init__(self, steps: int, start: int, batch_size: int) -> None:
        self.steps, self.start, self.batch_size = steps, start, batch_size
        self._step = start
        self._first: tuple[float, int] | None = None  # when the first step, which compiles, was done
        self._recent: deque[tuple[float, int]] = deque()  # training time and step, over the last seconds
        self._paused = 0.0
        self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                console=Console(highlight=False),
                transient=True,
            )
            self._task = self._bar.add_task("", total=steps, completed=start, rate="compiling")

    def __enter__(self) -> "TrainingProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: int) -> None:
        """Training has done ``step`` steps."""
        now = time.monotonic()
        self._step = step
        self._first = self._first or (now, step)
        self._recent.append((now - self._paused, step))
        while len(self._recent) > 2 and self._recent[-1][0] - self._recent[1][0] >= WINDOW_SECONDS:
            self._recent.popleft()
        if self._bar:
            self._bar.update(self._task, completed=step, rate=self.rate())
        elif now - self._spoke > PLAIN_SECONDS:
            self.say(f"step {step}/{self.steps} · {self.rate()}")

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the time inside, which is not training (validation, saving), out of the rate."""
        begun = time.monotonic()
        yield
        self._paused += time.monotonic() - begun

    def say(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.console.print(line, markup=False)
        else:
            print(line, flush=True)

    def images_per_second(self) -> float | None:
        """The rate of the last seconds; None until there is one."""
        if len(self._recent) < 2:
            return None
        (begun, first), (now, last) = self._recent[0], self._recent[-1]
        return (last - first) * self.batch_size / max(now - begun, 1e-9)

    def rate(self) -> str:
        """Images a second, and the time left."""
        rate = self.images_per_second()
        if rate is None or self._first is None:
            return "measuring"
        begun, first = self._first
        left = (
            (time.monotonic() - begun) / (self._step - first) * (self.steps - self._step)
        )  # pauses will recur
        return f"{rate:,.0f} images/s · {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(7.2), duration(75), duration(7290)
    ('7 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
