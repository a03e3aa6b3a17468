"""The devices a run uses, and how programs are compiled for them."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcnn.errors import UserError
from jaxcnn.ops.lowering import onednn


def use_compilation_cache() -> Path:
    """Keep compiled programs in the user's cache folder, so that the second start is quick.

    ``JAX_COMPILATION_CACHE_DIR`` overrides the place.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or Path(cache, "jaxcnn", "xla")).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # small networks are many small programs: keep those too
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if jaxlib.version.__version_info__ < (0, 12) else {}
HASTY = {"xla_backend_optimization_level": 0, **_EMITTERS}
"""Options of XLA for CPUs by which it compiles in less than half the time, and what is slower."""


def hasty() -> dict[str, int] | None:
    """Options of ``jax.jit`` for what runs once: on CPU, making it fast takes longer than running it."""
    return HASTY if jax.default_backend() == "cpu" else None


def calls_onednn() -> bool:
    """Whether convolutions can call oneDNN in programs that JAX's cache does not keep."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and onednn.not_here() is None


@contextmanager
def compiled_here() -> Iterator[None]:
    """Compile what is compiled within for this process alone where that helps: the cache does not keep it.

    Its convolutions then call oneDNN (:mod:`jaxcnn.ops.lowering.onednn`), which a cache cannot hold. The
    option is the whole process's: no other thread should compile meanwhile.
    """
    option: Any = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, option)
    if calls_onednn():
        jax.config.update(option, math.inf)
    try:
        yield
    finally:
        jax.config.update(option, before)


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
