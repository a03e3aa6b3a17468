"""What candidates of one program have in common, read without training anything."""

from functools import cached_property

import jax
import jax.numpy as jnp

from jaxcnn import analysis
from jaxcnn.config import Config
from jaxcnn.engine.job import Job
from jaxcnn.errors import UserError
from jaxcnn.sweeps.settings import Settings


class Program:
    """The steps and costs of a configuration.

    Attributes:
      steps: training steps in all.
      parameters: learned numbers of the network.

    Raises:
      UserError: the configuration names what does not exist or does not fit together.
    """

    def __init__(self, config: Config) -> None:
        job = Job(config)
        if config.init_from:
            _check_weights(job)
        self._model, self._state, self._image = job.model, job.state, job.dataset.image_shape
        self._of = f"{config.model} on {config.dataset}"
        self.steps = job.steps
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(job.state.params))

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the network for one example."""
        example = jax.ShapeDtypeStruct((1, *self._image), jnp.float32)
        found = analysis.trace(self._model.apply, self._state.variables(), example).macs
        if found is None:
            raise UserError(f"--objective: the multiply-accumulates of {self._of} are not known")
        return found


def _check_weights(job: Job) -> None:
    try:
        job.trained  # noqa: B018
    except UserError as error:
        first, *others = map(str.strip, str(error).splitlines())
        more = f"; and {len(others) - 1} more" if len(others) > 1 else ""
        what = f"--init_from for --model={job.config.model}"
        raise UserError(f"{what}: {' '.join([first, *others[:1]])}{more}") from error


def check(settings: Settings, base: Config) -> None:
    """Build the job with every word that may be chosen, one at a time, before anything is started.

    Raises:
      UserError: one of them does not do.
    """
    space = settings.space()
    words = {p: p.arguments for p in space if p.kind == "choice" and isinstance(p.arguments[0], str)}
    first = space.config(base, {parameter.name: options[0] for parameter, options in words.items()})
    others = [
        (f"--search={parameter}: ", space.config(first, {parameter.name: word}))
        for parameter, options in words.items()
        for word in options[1:]
    ]
    for at, job in [("", first), *others]:
        try:
            program = Program(job)
            for name in settings.objectives():
                if name in ("macs", "parameters"):
                    getattr(program, name)
        except UserError as error:
            raise UserError(f"{at}{error}") from error
