"""Do three 3×3 layers do better than one 7×7 layer, which sees as far and has more weights?

    python -m experiments.receptive_field --seeds=5

A stack of three 3×3 layers and one 7×7 layer have the same receptive field of 7×7 positions. With C channels
throughout they have 27·C² and 49·C² weights, and three activations or one (Simonyan and Zisserman, Very Deep
Convolutional Networks, 2015, section 2.3). Everything around them is the same: a 3×3 stem, batch norm and
ReLU after every layer, average pooling and a linear classifier; optimizer, augmentation, steps, seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
from absl import app, flags, logging

from experiments import paired
from jaxcnn import models, nn
from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.models import arguments
from jaxcnn.models.network import Network
from jaxcnn.nn import heads

STACK, SINGLE = "three 3×3", "one 7×7"
KERNELS = {STACK: (3, 3, 3), SINGLE: (7,)}
DATASETS = {"digits": "digits", "shapes": "shapes/32"}

SEEDS = flags.DEFINE_integer("seeds", 5, "paired seeds", lower_bound=2)
EPOCHS = flags.DEFINE_float("epochs", 12.0, "passes over the training split", lower_bound=0.01)
CHANNELS = flags.DEFINE_integer("channels", 16, "channels of every layer, C", lower_bound=1)
LANES = flags.DEFINE_integer("lanes", 0, "runs at once; 0: as many as is fastest here", lower_bound=0)
WORKDIR = flags.DEFINE_string("workdir", "runs/receptive_field", "holds the runs; started again, they go on")
OUT = flags.DEFINE_string("out", "experiments/results/receptive_field", "the results, without an ending")


@models.register(name="kernel_stack")
class KernelStack(Network):
    """A stem, convolutions of the given sizes with as many channels, and a pooled classifier."""

    num_classes: int = 10
    num_filters: int = 16
    kernels: Sequence[int] = (3, 3, 3)
    strides: int = 1
    dtype: Any = None

    def __post_init__(self) -> None:
        arguments.whole("num_filters", self.num_filters)
        arguments.wholes("kernels", self.kernels)
        super().__post_init__()

    @linen.nowrap
    def forward(self, x: jax.Array, train: bool) -> jax.Array:
        stem = nn.ConvNorm(self.num_filters, 3, strides=self.strides, dtype=self.dtype, name="stem")
        x = jax.nn.relu(stem(x, train=train))
        for i, size in enumerate(self.kernels, 1):
            x = jax.nn.relu(
                nn.ConvNorm(self.num_filters, size, dtype=self.dtype, name=f"conv{i}")(x, train=train)
            )
        return heads.head("pooled", self.num_classes, name="head")(x, train=train)


def conditions(dataset: str, epochs: float, channels: int) -> dict[str, Config]:
    """The two jobs that are compared on a data set."""
    strides = 1 if dataset == "digits" else 2  # shapes are larger: half the positions along each axis
    return {
        name: Config(
            dataset=DATASETS[dataset],
            model=f"kernel_stack(num_filters={channels}, kernels={list(kernels)}, strides={strides})",
            augment="shift(1)",
            epochs=epochs,
            learning_rate=0.1,
            eval_every=epochs / 8,
            save_every=epochs,
        )
        for name, kernels in KERNELS.items()
    }


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    accuracies, comparisons = {}, {}
    for dataset in DATASETS:
        jobs = conditions(dataset, EPOCHS.value, CHANNELS.value)
        folder = Path(WORKDIR.value) / dataset
        try:
            accuracies[dataset] = paired.run(jobs, SEEDS.value, folder, LANES.value or None)
        except UserError as error:
            raise app.UsageError(str(error)) from error
        found = accuracies[dataset]
        comparisons[dataset] = paired.compare(STACK, found[STACK], SINGLE, found[SINGLE])
    command = f"--seeds={SEEDS.value} --epochs={EPOCHS.value:g} --channels={CHANNELS.value}"
    about = (
        "The same receptive field of 7×7, with 27·C² weights and three activations or with 49·C² weights and "
        f"one, C = {CHANNELS.value}: which does better in {EPOCHS.value:g} epochs at one learning rate.\n\n"
        f"    python -m experiments.receptive_field {command}"
    )
    weights = {name: sum(k * k for k in sizes) * CHANNELS.value**2 for name, sizes in KERNELS.items()}
    facts = {"weights": weights, "epochs": EPOCHS.value, "datasets": DATASETS}
    title = "Three 3×3 layers against one 7×7 layer"
    print(paired.write(Path(OUT.value), title, about, accuracies, comparisons, facts))


if __name__ == "__main__":
    app.run(main)
