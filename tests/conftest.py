"""A strict process: silent broadcasting and silent promotion are errors. And a hasty one."""

import gc
import logging
import os
import re
import tempfile
from contextlib import contextmanager

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the processes that tests start are many

import jax
import pytest
from hypothesis import settings
from jax.experimental.compilation_cache import compilation_cache

from jaxcnn.engine.backend import HASTY

jax.config.update("jax_numpy_rank_promotion", "raise")
# Of thousands of small programs, compiling takes longer than running, and their values are the same; so too
# in the processes that tests start, but for the few that ask to be compiled AS_FOR_ANYONE.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
# The cores are taken by pytest's workers, so that a program divided among threads only takes longer in all.
HASTIER = {**HASTY, "xla_cpu_parallel_codegen_split_count": 1}
hasty = (f"--{name}={str(value).lower()}" for name, value in HASTIER.items())
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *hasty])
# They share what JAX compiles, those of pytest's other workers too; this one has no such cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    FOLDER = tempfile.TemporaryDirectory(prefix="jaxcnn-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = FOLDER.name
jax.config.update("jax_compilation_cache_dir", None)
settings.register_profile("jaxcnn", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("jaxcnn")


def pytest_collection_finish():
    """Let the garbage collector pass over the packages and tests, which stay: JAX often calls it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # tracing makes many objects, of which few are in cycles


@pytest.fixture(autouse=True)
def _no_leftover_x64():
    """Tests that switch to float64 do it with ``jax.enable_x64`` and leave nothing behind."""
    yield
    assert not jax.config.jax_enable_x64


@pytest.fixture(autouse=True)
def _no_leftover_cache():
    """A test that uses JAX's persistent cache uses it for itself: what follows may call oneDNN again."""
    yield
    if jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.reset_cache()


@pytest.fixture
def compiled(caplog):
    """A context that lists the programs that were compiled in it."""

    @contextmanager
    def listing():
        caplog.clear()
        names = []
        with caplog.at_level(logging.WARNING), jax.log_compiles():
            yield names
        found = (re.match(r"Finished XLA compilation of jit\((.+?)\)", line) for line in caplog.messages)
        names += [match[1] for match in found if match]

    return listing
