"""The training loop: from a configuration to a finished run folder."""

import json
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import jax
import numpy as np

from jaxcnn.config import Config
from jaxcnn.engine import backend, metrics
from jaxcnn.engine.checkpoint import UNSCORED, Checkpoints
from jaxcnn.engine.job import Job
from jaxcnn.engine.progress import TrainingProgress
from jaxcnn.engine.run_folder import MetricsLog, RunFolder, environment, write_atomically
from jaxcnn.errors import RunFailed

IN_FLIGHT = 2  # calls the device may be behind: enough to keep it busy, few enough to stop promptly


@dataclass(frozen=True)
class Result:
    """How a run ended; ``result.json`` of a finished one holds these fields."""

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    test_loss: float
    test_correct: int
    test_count: int


@dataclass
class Interrupted:
    """A signal asked the run to stop; it is saved at ``step``."""

    signal: int
    step: int


def run(config: Config) -> Result | Interrupted:
    """Train the configuration's job in its run folder, or go on with it, to the end.

    Every step is a function of ``(config, seed, step)``, so a run that was stopped anywhere ends with
    the same bits as one that was not.

    Raises:
      UserError: the configuration or the folder does not do; nothing was changed.
      RunFailed: the loss is no longer finite.
    """
    backend.use_compilation_cache()
    folder = RunFolder(config.folder())
    folder.check(config)
    if folder.result.exists():
        return Result(**json.loads(folder.result.read_text()))
    job = Job(config)  # before the folder is touched: a wrong name leaves nothing behind
    with folder.claim(config):
        print(job.describe(), flush=True)
        write_atomically(folder.environment, json.dumps(environment(config.seed), indent=2) + "\n")
        checkpoints = Checkpoints(folder.checkpoints, keep=config.keep)
        try:
            if interrupted := _train(job, folder, checkpoints):
                return interrupted
            result = _judge(job, checkpoints)
        finally:
            checkpoints.close()
        write_atomically(folder.result, json.dumps(asdict(result), indent=2) + "\n")
        return result


def _judge(job: Job, checkpoints: Checkpoints) -> Result:
    """The test split, looked at once, with the variables that validated best."""
    found = checkpoints.restore_best(job.state)
    assert found is not None, "training ends with a checkpoint"
    step, state = found
    variables = job.replicate(state).variables()
    validation, test = jax.device_get([job.evaluate(variables, split) for split in ("validation", "test")])
    return Result(
        steps=job.steps,
        best_step=step,
        validation_accuracy=float(validation["accuracy"].value()),
        test_accuracy=float(test["accuracy"].value()),
        test_loss=float(test["loss"].value()),
        test_correct=int(test["accuracy"].total),
        test_count=int(test["accuracy"].count),
    )


def _train(job: Job, folder: RunFolder, checkpoints: Checkpoints) -> Interrupted | None:
    """Take the steps that are left; on a stop request, save and return early."""
    config, total = job.config, job.steps
    found = checkpoints.restore_newest(job.state)
    start, state = (found[0], job.replicate(found[1])) if found else (0, job.init_state())
    if start:
        print(f"resuming {folder.path} at step {start} of {total}", flush=True)
    if start == total:
        return None
    feed = job.feed()
    steps_per_call, device_data = job.steps_per_call(feed), job.replicate(feed.data)
    call = job.compiled_steps(feed)
    in_flight: deque[Any] = deque()
    totals = metrics.zero()
    with (
        TrainingProgress(total, start, config.batch_size) as progress,
        closing(MetricsLog(folder, start)) as log,
        closing(feed.stream(start)) as payloads,
        _stop_requests() as stop,
    ):
        record = _Record(job, log, progress)
        before = recorded = start
        while before < total:
            # chunks begin at multiples of steps_per_call wherever a run is resumed, so they round alike
            step = min(before - before % steps_per_call + steps_per_call, total)
            chunk = jax.tree.map(lambda *leaves: np.stack(leaves), *islice(payloads, step - before))
            state, totals = call(state, totals, device_data, job.split(chunk))
            in_flight.append(totals)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            progress.update(step)

            def due(every: float, step: int = step, before: int = before) -> bool:
                return step == total or step // every > before // every

            validates = due(config.eval_every * job.epoch_steps)
            if validates or step - recorded >= config.log_every:
                record.training(step, totals)
                totals, recorded = metrics.zero(), step
            if validates or stop or due(config.save_every * job.epoch_steps):
                record.flush()  # a loss that is not finite stops the run before it is saved
                with progress.pause():
                    score = record.validation(step, state.variables()) if validates else UNSCORED
                    checkpoints.save(step, state, score)
            if stop and step < total:
                checkpoints.wait()
                return Interrupted(stop[0], step)
            before = step
    return None


class _Record:
    """Writes what training and validation measured; training's numbers a little late, so that the
    device need not be waited for."""

    def __init__(self, job: Job, log: MetricsLog, progress: TrainingProgress) -> None:
        self._job, self._log, self._progress = job, log, progress
        self._pending: tuple[int, Any] | None = None
        self._latest: dict[str, float] = {}

    def training(self, step: int, totals: metrics.Metrics) -> None:
        """Averages over the steps since the last call; written at the next call or flush."""
        self.flush()
        self._pending = (step, totals)

    def flush(self) -> None:
        """Write what is pending.

        Raises:
          RunFailed: the loss is not finite.
        """
        if self._pending is None:
            return
        (step, totals), self._pending = self._pending, None
        values = {name: float(mean.value()) for name, mean in jax.device_get(totals).items()}
        if not np.isfinite(values["loss"]):
            raise RunFailed(
                f"the training loss is {values['loss']} by step {step}: lower --learning_rate "
                f"(it is {self._job.config.learning_rate}) or raise --warmup, with another --workdir"
            )
        values["learning_rate"] = self._job.config.learning_rate * float(self._job.schedule(step - 1))
        if rate := self._progress.images_per_second():
            values["images_per_second"] = round(rate, 1)
        self._latest = values
        self._log.write("train", step, step / self._job.epoch_steps, **values)

    def validation(self, step: int, variables: Any) -> float:
        """Validate, say how it goes, and return the accuracy."""
        found = jax.device_get(self._job.evaluate(variables, "validation"))
        values = {name: float(mean.value()) for name, mean in found.items()}
        epoch = step / self._job.epoch_steps
        self._log.write("validation", step, epoch, **values)
        parts = [f"epoch {epoch:5.1f}", f"step {step:>{len(str(self._job.steps))}}/{self._job.steps}"]
        parts += [f"train loss {self._latest['loss']:.4f}"] if self._latest else []
        parts += [f"validation loss {values['loss']:.4f} accuracy {values['accuracy']:.2%}"]
        self._progress.say(" · ".join([*parts, self._progress.rate()]))
        return values["accuracy"]


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that the loop can save and leave; a second one ends at once."""
    requests: list[int] = []

    def note(number: int, frame: Any) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread may handle signals
        return
    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
