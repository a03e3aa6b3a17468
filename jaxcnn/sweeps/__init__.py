"""Searches over hyperparameters: :func:`run` a search, or run a function's :func:`lanes`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.sweeps.columns import lanes
    from jaxcnn.sweeps.searching import run

__all__ = ["lanes", "run"]


def __getattr__(name: str) -> Any:
    """Import on demand: the parent of a sweep imports this package, and must not import JAX."""
    if name == "lanes":
        from jaxcnn.sweeps import columns

        return columns.lanes
    if name == "run":
        from jaxcnn.sweeps import searching

        return searching.run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
