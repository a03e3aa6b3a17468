"""Optuna's samplers and pruners by name."""

import importlib.util
from typing import Any

import numpy as np
import optuna

from jaxcnn.errors import UserError

WHOLE = 100  # a trial that has taken all its steps: progress is reported, and pruned by, in percent

NEEDS = {"cmaes": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}


def check_installed(sampler: str) -> None:
    """Raise UserError where a package is missing that the sampler needs."""
    for package in NEEDS.get(sampler, ()):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"--sampler={sampler} needs {package}: pip install {package}")


def make_sampler(name: str, seed: int, number: int, trials: int) -> optuna.samplers.BaseSampler:
    """The sampler that draws one candidate.

    Its random numbers are those of ``(seed, number)``: whoever draws a candidate, when and where, the same
    history gives the same candidate.

    Args:
      name: one of :data:`jaxcnn.sweeps.settings.SAMPLERS`.
      seed: of the sweep.
      number: of the candidate.
      trials: candidates in all.
    """
    draw = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    samplers = optuna.samplers
    if name == "tpe":
        return samplers.TPESampler(multivariate=True, constant_liar=True, seed=draw)
    if name == "qmc":
        # one scrambled sequence for all: only candidates that the sequence cannot give are drawn apart
        independent = samplers.RandomSampler(seed=draw)
        return samplers.QMCSampler(
            scramble=True, seed=seed, independent_sampler=independent, warn_independent_sampling=False
        )
    if name == "cmaes":
        independent = samplers.RandomSampler(seed=draw)
        return samplers.CmaEsSampler(
            seed=draw, independent_sampler=independent, warn_independent_sampling=False
        )
    if name == "gp":
        return samplers.GPSampler(seed=draw, warn_independent_sampling=False)
    if name == "nsga2":
        return samplers.NSGAIISampler(population_size=min(50, max(8, trials // 8)), seed=draw)
    return samplers.RandomSampler(seed=draw)  # random; a grid's points are given, not drawn


def make_pruner(name: str) -> Any:
    """The pruner by name; resources are percents of a trial's own steps."""
    pruners = optuna.pruners
    return {
        "none": pruners.NopPruner,
        "median": lambda: pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=WHOLE // 10),
        # at 12% and 36%, after the usual warm-up, the best third of those that came so far go on
        "asha": lambda: pruners.SuccessiveHalvingPruner(min_resource=12, reduction_factor=3),
        "hyperband": lambda: pruners.HyperbandPruner(
            min_resource=WHOLE // 27, max_resource=WHOLE, reduction_factor=3
        ),
    }[name]()
