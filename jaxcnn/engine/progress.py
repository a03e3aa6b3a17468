"""Progress of long work: a bar on a terminal, plain lines elsewhere; always with a rate and the time left."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_SECONDS = 15.0  # between lines when there is no terminal


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
        self._clock: tuple[float, int] | None = None  # when the first step, which compiles, was done
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
        if self._clock is None:
            self._clock = (now, step)
        if self._bar:
            self._bar.update(self._task, completed=step, rate=self.rate())
        elif now - self._spoke > PLAIN_SECONDS:
            self.say(f"step {step}/{self.steps} · {self.rate()}")

    def pause(self, seconds: float) -> None:
        """Leave time that was not training (validation, saving) out of the rate."""
        self._paused += seconds

    def say(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.console.print(line, markup=False)
        else:
            print(line, flush=True)

    def images_per_second(self) -> float | None:
        """The rate since the first step; None until there is one."""
        if self._clock is None or self._step == self._clock[1]:
            return None
        seconds = time.monotonic() - self._clock[0] - self._paused
        return (self._step - self._clock[1]) * self.batch_size / max(seconds, 1e-9)

    def rate(self) -> str:
        """Images a second, and the time left."""
        rate = self.images_per_second()
        if rate is None:
            return "measuring"
        begun, first = self._clock or (0.0, 0)
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
