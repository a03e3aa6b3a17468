"""The test suite."""

AS_FOR_ANYONE = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}
"""What a process is started with that compiles as those of users do, see conftest.py."""
