"""One training function, many hyperparameters, one compiled program."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.errors import UserError


def lanes(
    train_fn: Callable[..., Any],
    hyperparameters: Mapping[str, Any],
    *,
    most: int | None = None,
) -> Any:
    """Run a pure training function once for each row of hyperparameters, as lanes of one program.

    ``vmap`` turns the function of numbers into one of columns of numbers, which is compiled once:
    lane i of the result is ``train_fn`` of row i alone, within rounding. No lane reads another's
    numbers, so one that becomes NaN hurts no neighbour.

    Args:
      train_fn: called as ``train_fn(**row)`` with traced scalars; returns a pytree of arrays. It must be
        pure, and may not branch on the values in Python.
      hyperparameters: columns of equal length n, e.g. ``{"learning_rate": [0.1, 0.2], "seed": [0, 0]}``.
      most: lanes at a time, where n of them do not fit in memory; None: all.

    Returns:
      The pytree of ``train_fn`` with a leading axis of n on every leaf.

    Raises:
      ValueError: no columns, columns of different lengths or that are no numbers, ``most`` below 1, or a
        function that branches on its values, or takes one for a size.

    Example:
      >>> def descend(learning_rate, seed):
      ...     x = jax.random.normal(jax.random.key(seed))
      ...     return jax.lax.fori_loop(0, 20, lambda _, x: x - learning_rate * 2 * x, x) ** 2
      >>> losses = lanes(descend, {"learning_rate": [0.01, 0.1, 1.5], "seed": [0, 0, 0]})
      >>> losses.shape, bool(losses[1] < losses[0] < losses[2])
      ((3,), True)
    """
    columns = {name: _column(name, values) for name, values in hyperparameters.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths:
        raise ValueError("hyperparameters={}: expected at least one column")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"hyperparameters have {lengths} rows: expected columns of equal length")
    count = next(iter(lengths.values()))
    if count == 0:
        raise ValueError(f"the columns {', '.join(lengths)} are empty: expected a row for each lane")
    if most is not None and most < 1:
        raise ValueError(f"most={most}: expected 1 or more")
    return Rows(train_fn, min(most or count, count))(columns)


class Rows:
    """A function of numbers as a program of columns, compiled once for ``width`` rows at a time."""

    def __init__(self, function: Callable[..., Any], width: int) -> None:
        self._width = width
        self._program = jax.jit(jax.vmap(lambda row: function(**row)))

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """The function of each row, in order; the columns are equally long."""
        columns = {name: np.asarray(column) for name, column in columns.items()}
        count = len(next(iter(columns.values())))
        pieces = []
        for start in range(0, count, self._width):
            # where rows are few the last is run again, rather than compiling a program of another width
            rows = np.minimum(np.arange(start, start + self._width), count - 1)
            try:
                piece = self._program({name: column[rows] for name, column in columns.items()})
            except (TypeError, jax.errors.ConcretizationTypeError) as error:
                if "Tracer" not in str(error):
                    raise
                said = str(error).splitlines()[0].partition(". ")[0][:150]
                raise UserError(
                    f"the function takes a number of its lane for one of Python's ({said}): "
                    "decide by jnp.where or jax.lax, and keep sizes and counts out of the lanes"
                ) from error
            pieces.append(jax.tree.map(lambda leaf, few=count - start: leaf[:few], piece))
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *pieces)


def _column(name: str, values: Any) -> np.ndarray:
    column = np.asarray(values)
    if column.ndim < 1 or column.dtype.kind not in "biuf":
        raise ValueError(f"hyperparameters[{name!r}]={values!r}: expected a list of numbers, one a lane")
    return column
