"""The training loop: from a configuration to a finished run folder."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import numpy as np

from jaxcnn.config import Config
from jaxcnn.engine import backend, finetune, metrics
from jaxcnn.engine.checkpoint import UNSCORED
from jaxcnn.engine.diary import Diary, Late, Result
from jaxcnn.engine.job import Job
from jaxcnn.engine.progress import TrainingProgress
from jaxcnn.engine.run_folder import RunFolder

IN_FLIGHT = 2  # calls the device may be behind: enough to keep it busy, few enough to stop promptly


@dataclass
class Interrupted:
    """A signal asked the run to stop; it is saved at ``step``."""

    signal: int
    step: int


def run(config: Config, jit_here: Callable[..., Any] = backend.JitHere) -> Result | Interrupted:
    """Train the configuration's job in its run folder, or go on with it, to the end.

    Every step is a function of ``(config, seed, step)``, so a run that was stopped anywhere ends with
    the same bits as one that was not.

    Args:
      config: of the job.
      jit_here: compiles its step, see :class:`jaxcnn.engine.steps.Steps`.

    Ctrl-C (SIGINT) and SIGTERM save the run where it is; a third of them ends the process there and then.

    Raises:
      UserError: the configuration or the folder does not do; nothing was changed.
      RunFailed: the loss is no longer finite.
    """
    backend.use_compilation_cache()
    folder = RunFolder(config.folder())
    folder.check(config)
    if folder.result.exists():
        return Result.read(folder)
    job = Job(config)  # before the folder is touched: a wrong name leaves nothing behind
    if config.init_from and not folder.begun():
        print(finetune.said(config.init_from, job.trained, job.summed), flush=True)
    with folder.claim(config), _stop_requests() as stop:
        print(job.describe(), flush=True)
        with closing(Diary(job, config, folder)) as diary:
            return _train(job, diary, jit_here, stop) or diary.finish()


def _train(job: Job, diary: Diary, jit_here: Callable[..., Any], stop: list[int]) -> Interrupted | None:
    """Take the steps that are left; on a stop request, save and return early."""
    total, start = job.steps, diary.start
    if start:
        print(f"resuming {diary.folder.path} at step {start} of {total}", flush=True)
    if start == total:
        return None
    state = job.init_state() if diary.saved is None else job.replicate(diary.saved)
    feed = job.feed()
    steps_per_call, device_data = job.steps_per_call(feed), job.replicate(feed.data)
    values, call = job.replicate(job.values), job.compiled_steps(feed, jit_here)
    in_flight: deque[Any] = deque()
    totals, late, best = job.zero(), Late(), diary.best_score()
    with (
        TrainingProgress(total, start, job.config.batch_size) as progress,
        closing(feed.stream(start)) as payloads,
    ):
        before = start
        while before < total:
            # chunks begin at multiples of steps_per_call wherever a run is resumed, so they round alike
            step = min(before - before % steps_per_call + steps_per_call, total)
            chunk = jax.tree.map(lambda *leaves: np.stack(leaves), *islice(payloads, step - before))
            state, totals = call(values, state, totals, device_data, job.split(chunk))
            in_flight.append(totals)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            progress.update(step)

            due = diary.due(before, step)
            if due.log:

                def note(found: metrics.Metrics, step: int = step) -> None:
                    diary.training(step, found, progress.images_per_second())

                late.fetch(totals, note)
                totals = job.zero()
            if due.validate or due.save or stop:
                late.flush()  # a loss that is not finite stops the run before it is saved
                with progress.pause():
                    score = UNSCORED
                    if due.validate:
                        score = diary.validation(step, job.evaluate(state.variables(), "validation"))
                        progress.say(f"{diary.summary} · {progress.rate()}")
                    # of equals the last is the best, wherever the run was stopped and resumed
                    if due.save or stop or best <= score > UNSCORED:
                        diary.save(step, state, score)
                    best = max(best, score)
            if stop and step < total:
                return Interrupted(stop[0], step)
            before = step
    return None


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that the loop can save and leave.

    An exception in the middle of a save would leave its threads waiting, so of who cannot wait the process
    ends as if it was killed: checkpoints are committed whole.
    """
    requests: list[int] = []

    def note(number: int, frame: Any) -> None:
        requests.append(number)
        if len(requests) == 2:
            os.write(2, b"saving, one moment; once more ends it without\n")
        elif len(requests) > 2:
            os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread may handle signals
        return
    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
