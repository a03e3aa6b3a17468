"""A strict process: silent broadcasting and silent promotion are errors."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _no_leftover_x64():
    """Tests that switch to float64 do it with ``jax.enable_x64`` and leave nothing behind."""
    yield
    assert not jax.config.jax_enable_x64
