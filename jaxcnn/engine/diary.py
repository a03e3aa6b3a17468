"""What a run writes in its folder as it trains, and when."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcnn.config import Config
from jaxcnn.engine import backend
from jaxcnn.engine.checkpoint import UNSCORED, Checkpoints
from jaxcnn.engine.job import Job
from jaxcnn.engine.metrics import Metrics
from jaxcnn.engine.run_folder import MetricsLog, RunFolder, environment
from jaxcnn.engine.step import TrainState
from jaxcnn.errors import RunFailed
from jaxcnn.files import read_json, write_atomically


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

    @classmethod
    def read(cls, folder: RunFolder) -> "Result":
        """The result of a run that is finished.

        Raises:
          UserError: the file is damaged.
        """
        kinds: dict[str, Any] = {field.name: field.type for field in fields(cls)}
        found = read_json(folder.result, kinds, "delete it, and training again writes it anew")
        return cls(**{name: found[name] for name in kinds})


class Due(NamedTuple):
    """What is to be done after a step."""

    log: bool
    validate: bool
    save: bool


class Diary:
    """Writes down one run, in a folder that is claimed for it.

    Args:
      job: what is trained; it may be another configuration's that differs in numbers alone.
      config: the run's own configuration.
      folder: its folder.

    Attributes:
      start: the step it goes on from.
      saved: the state at that step, or None where nothing is saved yet.
      summary: how the last validation went, in a line.
    """

    def __init__(self, job: Job, config: Config, folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self._job = job
        # one program: operation by operation, each of them would be compiled when the first row is written
        self._schedule = jax.jit(job.schedule, compiler_options=backend.hasty())
        write_atomically(folder.environment, json.dumps(environment(config.seed), indent=2) + "\n")
        self._checkpoints = Checkpoints(folder.checkpoints, keep=config.keep)
        self.start: int
        self.saved: TrainState | None
        self.start, self.saved = self._checkpoints.restore_newest(job.state) or (0, None)
        self._log = MetricsLog(folder, self.start)
        folder.pruned.unlink(missing_ok=True)  # it goes on after all
        self._logged = self.start
        self._training: dict[str, float] = {}
        self.summary = ""

    def due(self, before: int, step: int) -> Due:
        """What is to be done now that the run has gone from step ``before`` to ``step``."""

        def passed(epochs: float) -> bool:
            every = epochs * self._job.epoch_steps
            return step == self._job.steps or step // every > before // every

        validate = passed(self.config.eval_every)
        log = validate or step - self._logged >= self.config.log_every
        if log:
            self._logged = step
        return Due(log, validate, passed(self.config.save_every))

    def training(self, step: int, found: Metrics, images_per_second: float | None = None) -> None:
        """Log the averages over the training steps since the last time.

        Raises:
          RunFailed: the loss is not finite.
        """
        values = {name: float(mean.value()) for name, mean in found.items()}
        if not np.isfinite(values["loss"]):
            raise RunFailed(
                f"the training loss is {values['loss']} by step {step}: lower --learning_rate "
                f"(it is {self.config.learning_rate}) or raise --warmup, with another --workdir"
            )
        values["learning_rate"] = self.config.learning_rate * float(self._schedule(step - 1))
        if images_per_second:
            values["images_per_second"] = round(images_per_second, 1)
        self._training = values
        self._log.write("train", step, step / self._job.epoch_steps, **values)

    def validation(self, step: int, found: Metrics) -> float:
        """Log what validation found, and return the score: the accuracy, if it says something."""
        values = {name: float(mean.value()) for name, mean in jax.device_get(found).items()}
        epoch = step / self._job.epoch_steps
        self._log.write("validation", step, epoch, **values)
        parts = [f"epoch {epoch:5.1f}", f"step {step:>{len(str(self._job.steps))}}/{self._job.steps}"]
        parts += [f"train loss {self._training['loss']:.4f}"] if self._training else []
        parts += [f"validation loss {values['loss']:.4f} accuracy {values['accuracy']:.2%}"]
        self.summary = " · ".join(parts)
        return UNSCORED if self.config.full else values["accuracy"]

    def save(self, step: int, state: Any, score: float) -> None:
        """Save a checkpoint in the background; the state may be donated as soon as this returns."""
        self._checkpoints.save(step, state, score)

    def best_score(self) -> float:
        """The highest score that a checkpoint was saved with."""
        return max(map(self._checkpoints.score, self._checkpoints.steps()), default=UNSCORED)

    def finish(self) -> Result:
        """Judge the run: the test split, looked at once, with the variables that validated best."""
        found = self._checkpoints.restore_best(self._job.state)
        assert found is not None, "training ends with a checkpoint"
        step, state = found
        variables = self._job.replicate(state).variables()
        splits = [self._job.evaluate(variables, split) for split in ("validation", "test")]
        validation, test = jax.device_get(splits)
        result = Result(
            steps=self._job.steps,
            best_step=step,
            validation_accuracy=float(validation["accuracy"].value()),
            test_accuracy=float(test["accuracy"].value()),
            test_loss=float(test["loss"].value()),
            test_correct=int(test["accuracy"].total),
            test_count=int(test["accuracy"].count),
        )
        write_atomically(self.folder.result, json.dumps(asdict(result), indent=2) + "\n")
        return result

    def prune(self, step: int) -> None:
        """Mark the run as one that was not worth going on with."""
        write_atomically(self.folder.pruned, json.dumps({"step": step}) + "\n")

    def close(self) -> None:
        """Commit what is being saved and close the files."""
        self._checkpoints.close()
        self._log.close()


class Late:
    """Fetches numbers from the device one turn late, so that it need not be waited for."""

    def __init__(self) -> None:
        self._pending: tuple[Any, Callable[[Any], None]] | None = None

    def fetch(self, tree: Any, use: Callable[[Any], None]) -> None:
        """Call ``use`` with the fetched tree at the next call or flush."""
        self.flush()
        self._pending = (tree, use)

    def flush(self) -> None:
        """Fetch and use what is pending."""
        if self._pending is not None:
            (tree, use), self._pending = self._pending, None
            use(jax.device_get(tree))
