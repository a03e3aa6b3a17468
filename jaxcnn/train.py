"""Train a network: ``python -m jaxcnn.train --flagfile=experiments/digits.flags``."""

import gc
from importlib.util import find_spec
from pathlib import Path

from absl import flags

from jaxcnn import cli, config

USAGE = f"""\
usage: python -m jaxcnn.train [--flagfile=FILE] [--name=value ...]

Trains one model on one data set in a run folder; the same command resumes it. Later flags win.
{config.usage()}
"""


def main(words: list[str]) -> int:
    cli.reject_leftovers(words)
    choices = config.Config.from_flags(flags.FLAGS)

    from jaxcnn.engine.run_folder import RunFolder

    place = RunFolder(choices.folder())
    place.check(choices)  # before anything is compiled
    folder, finished = place.path, place.result.exists()
    gc.set_threshold(100_000)  # nothing that a start imports and traces is garbage: search it less often
    # after the flags, for both bring JAX; the second brings all else, while a thread compiles
    from jaxcnn.engine import ahead

    jit_here = {} if finished else {"jit_here": ahead.Ahead(choices).jit_here}
    from jaxcnn.engine import loop

    outcome = loop.run(choices, **jit_here)
    if isinstance(outcome, loop.Interrupted):
        print(f"stopped and saved at step {outcome.step}; resume with: {cli.train_command(folder, folder)}")
        return 128 + outcome.signal

    from jaxcnn import report

    page: Path | str = folder / "report.html"
    if find_spec("matplotlib") is None:
        page = f"needs pip install 'jaxcnn[report]', then {cli.command('jaxcnn.report', folder)}"
    elif not (folder / "report.html").exists():
        report.write(folder)
    judged = f"which validated best at {outcome.validation_accuracy:.2%}"
    print(
        f"{folder} {'was finished already' if finished else 'is finished'}: test accuracy "
        f"{outcome.test_accuracy:.2%} ({outcome.test_correct} of {outcome.test_count}), from step "
        f"{outcome.best_step} of {outcome.steps}, {'the last' if choices.full else judged}\n"
        f"  report       {page}\n"
        f"  checkpoints  {folder / 'checkpoints'}\n"
        f"  curves       {cli.curves_command(folder / 'tensorboard')}\n"
        f"  anew         {cli.train_command(folder, f'{folder}-again')}"
    )
    return 0


def elsewhere(flag: str) -> str:
    """Where a flag is known that is none of training's."""
    from jaxcnn.sweeps.settings import Settings

    return "it is one of python -m jaxcnn.sweep" if flag in Settings.names() else ""


if __name__ == "__main__":
    config.define_flags()
    cli.run(main, lambda: USAGE, elsewhere)
