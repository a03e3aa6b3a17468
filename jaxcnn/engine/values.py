"""The numbers of a configuration that its compiled programs take as arguments.

Runs that differ in nothing else share a program: another learning rate compiles nothing anew, and several
of them can be the lanes of one ``vmap``. Which numbers these are, fields of :class:`Config` say by ``lane``.
"""

import dataclasses
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

from jaxcnn import data, models
from jaxcnn.config import Config
from jaxcnn.models import registry

Values = dict[str, Any]
"""Numbers by field, and of call strings by argument: a pytree whose leaves may be traced."""


def values(config: Config) -> Values:
    """The numbers, as arrays without axes: int32 where a whole number is asked for, else float32.

    Raises:
      UserError: a call string cannot be read, or a number in it is out of range.

    Example:
      >>> found = values(Config(model="mlp(dropout=0.5)", augment="shift(1)", ema_decay=0.9))
      >>> found["model"], found["augment"], "clip_norm" in found
      ({'dropout': array(0.5, dtype=float32)}, ({'max_pixels': array(1, dtype=int32)},), False)
    """
    return jax.tree.map(_array, _split(config)[1])


def static_key(config: Config) -> Hashable:
    """What a configuration's program is compiled for: all but these numbers.

    Which numbers there are is part of it, so configurations of equal keys have values of equal structure.
    Fields that do not change a run's course are not.

    Raises:
      UserError: see :func:`values`.

    Example:
      >>> static_key(Config(learning_rate=0.1)) == static_key(Config(learning_rate=0.2, seed=3))
      True
      >>> static_key(Config(ema_decay=0.9)) == static_key(Config())
      False
    """
    static, numbers = _split(config)
    return repr(static), jax.tree.structure(numbers)


def _split(config: Config) -> tuple[dict[str, Any], Values]:
    static: dict[str, Any] = {}
    numbers: Values = {}
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        match field.metadata["lane"]:
            case "value":
                numbers[name] = value if field.type is int else float(value)
            case "above 0":
                if value > 0:
                    numbers[name] = float(value)
            case "rates":
                models.create(value)  # a probability out of range is a person's mistake
                static[name], numbers[name] = registry.split(value)
            case "strengths":
                static[name], numbers[name] = data.augment.split(value)
            case _:
                if field.metadata["course"]:
                    static[name] = value
    return static, numbers


def _array(value: int | float) -> np.ndarray:
    return np.asarray(value, np.int32 if isinstance(value, int) else np.float32)
