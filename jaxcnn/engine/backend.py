"""The devices a run uses, and the compilation cache."""

import os
from pathlib import Path

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcnn.errors import UserError


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
