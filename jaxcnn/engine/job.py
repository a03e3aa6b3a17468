"""The parts of a run, built from its configuration."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn import data, models
from jaxcnn.config import Config
from jaxcnn.engine import backend, metrics, optim, step
from jaxcnn.engine.checkpoint import Checkpoints
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.errors import UserError

STEPS_PER_CALL = 8  # on accelerators, where a call costs more than a small step


class Job:
    """Data, model, optimizer and steps of one configuration; nothing is trained or allocated yet.

    Attributes:
      steps: training steps in all.
      epoch_steps: steps an epoch, not rounded.
      state: the abstract training state (shapes and dtypes).

    Raises:
      UserError: the configuration names what does not exist or does not fit together.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.mesh = backend.data_mesh()
        if config.batch_size % self.mesh.size:
            raise UserError(
                f"--batch_size={config.batch_size}: expected a multiple of {self.mesh.size}, the devices here"
            )
        # the cheap checks first: a misspelt name should not wait for the data
        augment = data.augment.parse(config.augment)
        self.schedule = optim.make_schedule(config.schedule, 1_000, config.warmup)
        models.create(config.model, num_classes=2)
        optim.make_optimizer(config.optimizer, self.schedule, learning_rate=config.learning_rate)

        self.dataset = data.load(config.dataset, data_dir=config.data_dir, image_size=config.image_size)
        train = self.dataset.splits["train"]
        self.epoch_steps = len(train) / config.batch_size
        self.steps = config.steps or max(1, round(config.epochs * self.epoch_steps))
        self.schedule = optim.make_schedule(config.schedule, self.steps, config.warmup)
        self.model = models.create(
            config.model, num_classes=self.dataset.num_classes, dtype=jnp.dtype(config.dtype)
        )
        self.optimizer = optim.make_optimizer(
            config.optimizer,
            self.schedule,
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
        )
        self._train_step = step.make_train_step(
            self.model,
            self.optimizer,
            prepare=lambda key, images: self._standardize(augment(key, _as_float(images))),
            seed=config.seed,
            label_smoothing=config.label_smoothing,
            ema_decay=config.ema_decay,
        )
        self._eval_step = jax.jit(
            step.make_eval_step(self.model, prepare=lambda key, images: self.standardize(images))
        )
        sizes = self.dataset.image_shape
        image_shape = tuple(size for size in sizes if size is not None)
        if len(image_shape) < len(sizes):
            raise UserError(
                f"--image_size=0: the images of {config.dataset} differ in size and make no batches; "
                "give a size, e.g. --image_size=224"
            )
        self._init = functools.partial(
            step.init_state,
            self.model,
            self.optimizer,
            config.seed,
            image_shape,
            ema=config.ema_decay > 0,
        )
        try:
            self.state = jax.eval_shape(self._init)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"--model={config.model} cannot take {config.dataset}'s images of shape "
                f"{image_shape}: {str(error).splitlines()[0]}"
            ) from error

    def describe(self) -> str:
        """What will be trained, on what, where."""
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in self.dataset.splits.items())
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.state.params))
        device = f"{self.mesh.size} × {jax.devices()[0].device_kind}"
        lines = [
            f"{self.dataset.name} {self.dataset.version}: {sizes}",
            *self.dataset.notes,
            f"{self.config.model}: {parameters:,} parameters, {self.steps:,} steps of "
            f"{self.config.batch_size} on {device}",
        ]
        return "\n".join(lines)

    def standardize(self, images: jax.Array) -> jax.Array:
        """uint8 images (..., c) as the model sees them: mean 0 and deviation 1 over the training split."""
        return self._standardize(_as_float(jnp.asarray(images)))

    def _standardize(self, images: jax.Array) -> jax.Array:
        lead = (1,) * (images.ndim - 1)
        mean, std = (jnp.asarray(value).reshape(*lead, -1) for value in (self.dataset.mean, self.dataset.std))
        return (images - mean) / std

    def init_state(self) -> step.TrainState:
        """The state before the first step, on every device."""
        # it runs once: on CPU, making it fast takes seconds longer than running it
        hasty = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(self._init, out_shardings=backend.replicated(self.mesh), compiler_options=hasty)()

    def replicate(self, tree: Any) -> Any:
        """Arrays, whole on every device."""
        return jax.device_put(tree, backend.replicated(self.mesh))

    def split(self, payloads: Any) -> Any:
        """Stacked payloads (steps, batch, ...), each device with its share of the batch."""
        return jax.device_put(payloads, NamedSharding(self.mesh, PartitionSpec(None, "data")))

    def feed(self) -> Any:
        """The training examples, on the device where they fit and as a stream where they do not."""
        return data.make_feed(
            self.dataset.splits["train"],
            self.config.batch_size,
            seed=self.config.seed,
            kind=self.config.feed,
            workers=self.config.readers,
        )

    def steps_per_call(self, feed: Any) -> int:
        """How many steps one compiled call takes; it affects rounding, so only the hardware decides it."""
        return 1 if jax.default_backend() == "cpu" or feed.data is None else STEPS_PER_CALL

    def compiled_steps(self, feed: Any) -> Any:
        """A jitted ``(state, totals, data, payloads) -> (state, totals)`` over stacked payloads.

        The state is donated.
        """

        def one(carry: Any, payload: Any, data: Any) -> Any:
            state, totals = carry
            state, new = self._train_step(state, feed.gather(data, payload))
            return state, metrics.add(totals, new)

        def call(state: Any, totals: Any, data: Any, payloads: Any) -> Any:
            if jax.tree.leaves(payloads)[0].shape[0] == 1:
                return one((state, totals), jax.tree.map(lambda leaf: leaf[0], payloads), data)
            return jax.lax.scan(
                lambda carry, payload: (one(carry, payload, data), None), (state, totals), payloads
            )[0]

        return jax.jit(call, donate_argnums=0)

    def evaluate(self, variables: Any, split: str) -> dict[str, metrics.Mean]:
        """Exact metrics over every example of a split."""
        totals = metrics.zero()
        for batch in self._eval_batches(split):
            totals = metrics.add(totals, self._eval_step(variables, batch)[0])
        return totals

    def predict(self, variables: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, classes) and labels (n,) of every example of a split, in its order."""
        probabilities, labels = [], []
        for batch in self._eval_batches(split):
            real = np.asarray(batch["mask"]) > 0
            probabilities.append(np.asarray(self._eval_step(variables, batch)[1])[real])
            labels.append(np.asarray(batch["label"])[real])
        return np.concatenate(probabilities), np.concatenate(labels)

    def _eval_batches(self, split: str) -> Iterator[dict[str, jax.Array]]:
        sharding = backend.split(self.mesh)
        size = (
            -(-min(self.config.batch_size * 4, len(self.dataset.splits[split])) // self.mesh.size)
            * self.mesh.size
        )
        for batch in data.eval_batches(self.dataset.splits[split], size):
            yield jax.device_put(batch, sharding)


def _as_float(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 255.0


class TrainedRun:
    """A run folder opened for reading: its job, with the variables that it is judged by.

    Attributes:
      step: the checkpoint they are from.
    """

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self.config = self.folder.read_config()
        self.job = Job(self.config)
        self.dataset, self.model = self.job.dataset, self.job.model
        checkpoints = Checkpoints(self.folder.checkpoints, read_only=True)
        found = checkpoints.restore_best(self.job.state)
        checkpoints.close()
        if found is None:
            raise UserError(f"{path} has no checkpoint yet; train it first")
        self.step, state = found
        self.variables = self.job.replicate(state).variables()

    def predict(self, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and labels of a split, see :meth:`Job.predict`."""
        return self.job.predict(self.variables, split)
