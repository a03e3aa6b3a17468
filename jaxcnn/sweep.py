"""Search hyperparameters: ``python -m jaxcnn.sweep --flagfile=experiments/digits_sweep.flags``."""

import importlib.util

from absl import flags

from jaxcnn import cli
from jaxcnn.errors import UserError
from jaxcnn.sweeps import settings as sweep_settings

USAGE = f"""\
usage: python -m jaxcnn.sweep [--flagfile=FILE] --search=NAME=RANGE [--name=value ...]

Trains candidates drawn by Optuna, side by side where they may be; the same command goes on with the sweep.
A sweep is a training job and what is varied: log(a,b), uniform(a,b[,step]), int(a,b[,step]), choice("a","b").
{sweep_settings.usage()}
"""


def main(words: list[str]) -> int:
    cli.reject_leftovers(words)
    settings, base = sweep_settings.from_flags(flags.FLAGS)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("sweeps need Optuna: pip install 'jaxcnn[sweep]'")

    from jaxcnn.sweeps import start  # after the flags: it brings Optuna

    return start.start(settings, base)


if __name__ == "__main__":
    sweep_settings.define_flags()
    cli.run(main, lambda: USAGE)
