"""Timing in turns: every side runs once a round, so that a busy machine slows all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, *, pause: float = 0.0
) -> dict[str, list[float]]:
    """Seconds of each side in each round; a first round, which compiles, is not counted.

    Args:
      sides: functions that return when their work is done.
      rounds: measurements of each.
      pause: seconds to sleep before each, in which the threads of the side before stop spinning.

    Returns:
      ``rounds`` durations for each side; those of one index ran one after the other.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        run()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in sides.items():
                time.sleep(pause)
                begun = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begun)
    finally:
        gc.enable()
    return seconds


def ratio(seconds: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """The median over rounds of ours / theirs."""
    return statistics.median(a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True))


def call(program: Callable[..., Any], args: Sequence[Any], calls: int = 1) -> Callable[[], None]:
    """Calls of which the last is waited for; a device ends them in order."""

    def run() -> None:
        for _ in range(calls):
            last = program(*args)
        jax.block_until_ready(last)

    return run
