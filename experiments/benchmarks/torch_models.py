"""timm's models where torchvision is not installed.

timm imports torchvision for image transforms and a few detectors, which no model needs to be built or
trained, and torchvision has no build for a CPU-only torch. So while timm is imported, modules of that name
stand in whose every attribute is an empty class.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import MutableSequence
from typing import Any


class _Empty(type):
    """A class whose attributes are their own names, as those of an enumeration are."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _StandIn(types.ModuleType):
    __path__: MutableSequence[str] = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def import_timm() -> Any:
    """The timm package, or None where it or torch is not installed."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("timm")):
        return None
    if importlib.util.find_spec("torchvision"):
        import timm

        return timm
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import timm
    finally:
        sys.meta_path.remove(finder)
    return timm
