"""What models ask of what a person writes in a call string."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcnn.models.stem import STEMS
from jaxcnn.nn import choices, heads
from jaxcnn.ops.check import whole


def odd(name: str, value: Any) -> None:
    """Refuse what is no odd number of taps, which alone have a middle."""
    whole(name, value)
    if value % 2 == 0:
        raise ValueError(f"{name}={value}: expected an odd number")


def wholes(name: str, values: Any, least: int = 1) -> None:
    """Refuse what is no sequence of whole numbers of ``least`` or more."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name}={values!r}: expected a list of whole numbers")
    for i, value in enumerate(values):
        whole(f"{name}[{i}]", value, least)


def rows(name: str, values: Any, kind: Any) -> None:
    """Refuse what is no list of rows, each with the fields of a named tuple: whole numbers, True or False.

    >>> from typing import NamedTuple
    >>> class Stage(NamedTuple):
    ...     features: int
    ...     gated: bool
    >>> rows("stages", [(8, True), (16,)], Stage)
    Traceback (most recent call last):
    ValueError: stages[1]=(16,): expected (features, gated)
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name}={values!r}: expected a list of rows ({', '.join(kind._fields)})")
    least, most = len(kind._fields) - len(kind._field_defaults), len(kind._fields)
    for i, row in enumerate(values):
        if isinstance(row, str) or not isinstance(row, Sequence) or not least <= len(row) <= most:
            raise ValueError(f"{name}[{i}]={row!r}: expected ({', '.join(kind._fields)})")
        for field, value in zip(kind._fields, row, strict=False):
            refuse = flag if kind.__annotations__[field] is bool else whole
            refuse(f"{name}[{i}] {field}", value)


def rate(name: str, value: Any) -> None:
    """Refuse what is no probability below 1; a traced number passes.

    >>> rate("dropout", 1.5)
    Traceback (most recent call last):
    ValueError: dropout=1.5: expected at least 0 and below 1
    """
    if isinstance(value, jax.Array):
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: expected a number at least 0 and below 1")
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value}: expected at least 0 and below 1")


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: expected True or False")


def factor(name: str, value: Any) -> None:
    """Refuse what is no number by which channels can be multiplied.

    >>> factor("width", 0)
    Traceback (most recent call last):
    ValueError: width=0: expected a number above 0, e.g. 0.5
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: expected a number above 0, e.g. 0.5")
    if not 0 < value < 1000:
        raise ValueError(f"{name}={value}: expected a number above 0, e.g. 0.5")


def within(least: float, most: float, expected: str) -> Callable[[str, Any], None]:
    """What refuses all but numbers from ``least`` to ``most``.

    >>> within(0, 1, "a number from 0 to 1")("momentum", 7)
    Traceback (most recent call last):
    ValueError: momentum=7: expected a number from 0 to 1
    """

    def refuse(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
            raise TypeError(f"{name}={value!r}: expected {expected}")
        if not least <= value <= most:
            raise ValueError(f"{name}={value}: expected {expected}")

    return refuse


def listed(name: str, values: Any) -> None:
    """Refuse what is no list."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name}={values!r}: expected a list")


COMMON: dict[str, Callable[[str, Any], Any]] = {
    "num_classes": whole,
    "width": factor,
    "norm": lambda _, value: choices.norm(value, 8),
    "activation": lambda _, value: choices.activation(value),
    "conv": lambda _, value: choices.conv(value),
    "stem": lambda name, value: choices.pick(name, value, STEMS),
    "head": lambda name, value: choices.pick(name, value, heads.HEADS),
    "dropout": rate,
    "drop_path": rate,
    "zero_init": flag,
    "epsilon": within(1e-30, 1.0, "a number above 0, e.g. 1e-5"),
    "momentum": within(0.0, 1.0, "a number from 0 to 1"),
}
"""The arguments that mean the same in every family, each with what refuses a wrong one."""


def common(network: Any) -> None:
    """Refuse wrong values of whichever arguments of :data:`COMMON` a network has."""
    for name, refuse in COMMON.items():
        if hasattr(network, name):
            refuse(name, getattr(network, name))
