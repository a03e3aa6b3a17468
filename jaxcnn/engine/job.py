"""The parts of a run, built from its configuration."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn import data, models
from jaxcnn.config import LARGEST, Config
from jaxcnn.engine import backend, finetune, metrics, optim, step
from jaxcnn.engine.checkpoint import Checkpoints
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.engine.steps import Steps
from jaxcnn.engine.values import Values, values
from jaxcnn.errors import UserError
from jaxcnn.models import registry

STEPS_PER_CALL = 8  # on accelerators, where a call costs more than a small step


class Job:
    """Data, model, optimizer and steps of one configuration; nothing is trained or allocated yet.

    Attributes:
      steps: training steps in all.
      epoch_steps: steps an epoch, not rounded.
      image_shape: of one example, (*spatial, channels).
      values: the numbers that the compiled steps take as arguments.
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
        self.values = values(config)
        self._augment_calls, _ = data.augment.split(config.augment)
        self._freeze = finetune.patterns(config.freeze)
        self._layers: tuple[str, ...] = ()
        self.schedule = optim.make_schedule(config.schedule, 1_000, config.warmup)
        self._optimizer(self.values)

        self.dataset = data.load(config.dataset, data_dir=config.data_dir, image_size=config.image_size)
        if config.full:
            self.dataset = data.with_validation(self.dataset)
        train = self.dataset.splits["train"]
        self.epoch_steps = len(train) / config.batch_size
        if config.batch_size > len(train):
            raise UserError(
                f"--batch_size={config.batch_size}: expected at most the {len(train):,} examples to train on"
            )
        self.steps = config.steps or max(1, round(config.epochs * self.epoch_steps))
        if self.steps > LARGEST[int]:
            raise UserError(
                f"--epochs={config.epochs}: makes {self.steps:.3g} steps, expected {LARGEST[int]} at most"
            )
        self.schedule = optim.make_schedule(config.schedule, self.steps, config.warmup)
        self.model = self._create(config.model)
        self._eval_step = jax.jit(self.eval_step)
        sizes = self.dataset.image_shape
        image_shape = tuple(size for size in sizes if size is not None)
        if len(image_shape) < len(sizes):
            raise UserError(
                f"--image_size=0: the images of {config.dataset} differ in size and make no batches; "
                "give a size, e.g. --image_size=224"
            )
        self.image_shape = image_shape
        self._compiled_init = jax.jit(
            self._init, out_shardings=backend.replicated(self.mesh), compiler_options=backend.hasty()
        )
        try:
            if config.layer_decay != 1:
                self._layers = finetune.layers(self.model, image_shape)
            self.state = jax.eval_shape(self._compiled_init, self.values["seed"])
        except (ValueError, TypeError) as error:
            raise UserError(
                f"--model={config.model} cannot be trained on {config.dataset}'s images of shape "
                f"{image_shape}: {str(error).splitlines()[0]}"
            ) from error
        finetune.check(self.state.params, self._freeze)

    def _create(self, text: str, **rates: Any) -> Any:
        """The network; it costs nothing, so a traced step makes one around traced probabilities."""
        dtype = jnp.dtype(self.config.dtype)
        return models.create(text, num_classes=self.dataset.num_classes, dtype=dtype, **rates)

    def _optimizer(self, values: Values) -> optax.GradientTransformation:
        optimizer = optim.make_optimizer(
            self.config.optimizer,
            self.schedule,
            learning_rate=values["learning_rate"],
            momentum=values["momentum"],
            weight_decay=values["weight_decay"],
            clip_norm=values.get("clip_norm"),
        )
        optimizer = finetune.decaying(optimizer, self._layers, self.config.layer_decay)
        return finetune.freezing(optimizer, self._freeze)

    def _init(self, seed: Any) -> step.TrainState:
        ema = "ema_decay" in self.values
        return step.init_state(self.model, self._optimizer(self.values), seed, self.image_shape, ema=ema)

    def prepare(self, values: Values, at: Any, batch: step.Batch) -> step.Batch:
        """The batch of step ``at`` with its uint8 images augmented and standardized; pure and not jitted."""
        augment = data.augment.build(self._augment_calls, values["augment"])
        images = augment(step.keys(values["seed"], at)["augment"], _as_float(batch["image"]))
        return {**batch, "image": self._standardize(images)}

    def train_step(
        self, values: Values, state: step.TrainState, batch: step.Batch
    ) -> tuple[step.TrainState, metrics.Metrics]:
        """One step of any run that differs from this one in numbers alone; pure and not jitted.

        Args:
          values: the numbers of that run, see :func:`jaxcnn.engine.values.values`; they may be traced.
          batch: from :meth:`prepare`.
        """
        train_step = step.make_train_step(
            self._create(registry.split(self.config.model)[0], **values["model"]),
            self._optimizer(values),
            seed=values["seed"],
            label_smoothing=values["label_smoothing"],
            ema_decay=values.get("ema_decay", 0.0),
        )
        with finetune.evaluating(self._freeze):
            return train_step(state, batch)

    def eval_step(self, variables: Any, batch: step.Batch) -> tuple[metrics.Metrics, jax.Array]:
        """Metrics and probabilities of a batch, see :func:`jaxcnn.engine.step.make_eval_step`; not jitted."""
        batch = {**batch, "image": self.standardize(batch["image"])}
        return step.make_eval_step(self.model)(variables, batch)

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

    def init_state(self, seed: Any = None) -> step.TrainState:
        """The state before the first step, on every device; of this configuration's seed, or of another."""
        state = self._compiled_init(self.values["seed"] if seed is None else seed)
        return self.replicate(finetune.started(state, self.trained)) if self.config.init_from else state

    @property
    def summed(self) -> tuple[str, ...]:
        """Kernels of :attr:`trained` that were summed over colours, for images of one channel."""
        return self._loaded.summed

    @property
    def trained(self) -> dict[str, Any]:
        """What ``--init_from`` holds for this network; where its head has other classes, the abstract leaf.

        Raises:
          UserError: there is no such file or folder, or it does not fit.
        """
        return self._loaded.variables

    @functools.cached_property
    def _loaded(self) -> models.torch_weights.Loaded:
        variables = {"params": self.state.params, "batch_stats": self.state.batch_stats}
        source: Any = Path(self.config.init_from).expanduser()
        if source.is_dir():
            run = TrainedRun(source)
            source = models.torch_state(run.variables, run.model, layout="jaxcnn")
        return models.torch_weights.load(
            variables, source, self.model, new_head=True, sum_colours=True, called=self.config.init_from
        )

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

    def compiled_steps(self, feed: Any, jit_here: Any = backend.JitHere) -> Steps:
        """The steps of a call, compiled when it is first called."""
        return Steps(self.reading(feed), self.advance, apart=self.apart(feed), jit_here=jit_here)

    def apart(self, feed: Any) -> bool:
        """Whether the steps read and train apart, see :class:`jaxcnn.engine.steps.Steps`."""
        return jax.default_backend() == "cpu" and self.steps_per_call(feed) == 1

    def reading(self, feed: Any) -> Any:
        """A function ``(values, step, data, payload)`` that makes the batch of a step."""
        return lambda values, at, data, payload: self.prepare(values, at, feed.gather(data, payload))

    def advance(self, values: Values, state: step.TrainState, totals: Any, batch: step.Batch) -> Any:
        """:meth:`train_step` with its metrics added to those before."""
        state, new = self.train_step(values, state, batch)
        return state, metrics.add(totals, new)

    def zero(self) -> dict[str, metrics.Mean]:
        """The metrics of no examples, placed as those of a step are: else the second step compiles anew."""
        return self.replicate(metrics.zero())

    def evaluate(self, variables: Any, split: str, eval_step: Any = None) -> dict[str, metrics.Mean]:
        """Exact metrics over every example of a split; ``eval_step`` may be one for several lanes."""
        eval_step = eval_step or self._eval_step
        totals = metrics.zero()
        for batch in self._eval_batches(split):
            totals = metrics.add(totals, eval_step(variables, batch)[0])
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
            ended = self.folder.result.exists()
            raise UserError(
                f"{path} is finished, but its checkpoints are gone; delete its result.json to train it anew"
                if ended
                else f"{path} has no checkpoint yet; train it first"
            )
        self.step, state = found
        self.variables = self.job.replicate(state).variables()

    def predict(self, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and labels of a split, see :meth:`Job.predict`."""
        return self.job.predict(self.variables, split)
