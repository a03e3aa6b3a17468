"""The devices a run uses, and how programs are compiled for them."""

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcnn.errors import UserError


def use_compilation_cache() -> Path:
    """Keep compiled programs in the user's cache folder, so that the second start is quick.

    ``JAX_COMPILATION_CACHE_DIR`` overrides the place.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or Path(cache, "jaxcnn", "xla")).expanduser()
    _keep_programs(str(folder))
    return folder


@cache
def _keep_programs(folder: str) -> None:
    """Once a folder: again, it might undo what :func:`unkept` does in a thread."""
    jax.config.update("jax_compilation_cache_dir", folder)
    # small networks are many small programs: keep those too
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if jaxlib.version.__version_info__ < (0, 12) else {}
HASTY = {"xla_backend_optimization_level": 0, **_EMITTERS}
"""Options of XLA for CPUs by which it compiles in less than half the time, and what is slower."""


def hasty() -> dict[str, int] | None:
    """Options of ``jax.jit`` for what runs once: on CPU, making it fast takes longer than running it."""
    return HASTY if jax.default_backend() == "cpu" else None


def calls_onednn() -> bool:
    """Whether convolutions can call oneDNN in programs that JAX's cache does not keep."""
    from jaxcnn.ops.lowering import onednn  # not before it is asked: a start has better to do first

    return jax.default_backend() == "cpu" and jax.device_count() == 1 and onednn.not_here() is None


@contextmanager
def lowered_here() -> Iterator[None]:
    """Lower what is lowered within for this machine alone where that helps.

    Its convolutions then call oneDNN (:mod:`jaxcnn.ops.lowering.onednn`), which JAX's cache cannot hold, so
    it is to be compiled :func:`unkept`.
    """
    from jaxcnn.ops.lowering import onednn

    with onednn.staying() if calls_onednn() else nullcontext():
        yield


_unkept = threading.RLock()


@contextmanager
def unkept() -> Iterator[None]:
    """Keep what is compiled within out of JAX's cache.

    The option is the whole process's: what other threads compile meanwhile is not written either, and two
    that keep something out take turns.
    """
    option: Any = "jax_persistent_cache_min_compile_time_secs"
    with _unkept:
        before = getattr(jax.config, option)
        jax.config.update(option, math.inf)
        try:
            yield
        finally:
            jax.config.update(option, before)


@contextmanager
def compiled_here() -> Iterator[None]:
    """Lower and compile what is called within for this process alone where that helps."""
    with lowered_here(), unkept() if calls_onednn() else nullcontext():
        yield


class JitHere:
    """``jax.jit``, compiled by :func:`compiled_here`: for steps that are called often enough to be worth it.

    Example:
      >>> float(JitHere(lambda x: 2 * x)(1.5))
      3.0
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._jitted = jax.jit(function, **options)

    def __call__(self, *args: Any) -> Any:
        with compiled_here():
            return self._jitted(*args)

    def compile(self, *args: Any) -> Any:
        """The compiled program for arguments like these, see ``jax.stages.Compiled``."""
        with compiled_here():
            return self._jitted.lower(*args).compile()


def data_mesh() -> Mesh:
    """All devices in one axis, ``data``: the batch is split over it, everything else is replicated.

    Raises:
      UserError: the platform asked for has no device.
    """
    try:
        count = jax.device_count()
    except RuntimeError as error:
        wanted = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(
            f"JAX_PLATFORMS={wanted}: no such device here ({str(error).splitlines()[0]})"
        ) from error
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Every device holds its share of the first axis."""
    return NamedSharding(mesh, PartitionSpec("data"))
