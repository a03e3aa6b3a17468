"""The program that trains, compiled ahead from the text that the last start of the same job left.

JAX's cache cannot hold a program that calls oneDNN, so each start compiles its training step anew. That is
seconds of C++ which would wait for all the Python before it: imports, data, tracing. So a start leaves the
text of its program (StableHLO, as ``jax.export`` writes it) in the cache folder, and the next start of that
job has it compiled by a thread before it does anything else.

The text is a guess and no more: what was made of it is used only where the step, traced in the usual way,
comes to the same text, byte for byte. A wrong guess costs processor time, never a result.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.export

import jaxcnn
from jaxcnn.config import Config
from jaxcnn.engine import backend
from jaxcnn.files import write_atomically

_CALLS = ("__onednn$convolution", "__onednn$matmul")
_ALLOWED = [jax.export.DisabledSafetyCheck.custom_call(name) for name in _CALLS]


KEPT = 50
"""Texts that stay in the cache folder; the oldest go."""


class Ahead:
    """Begins at once to compile what the last start of a job left, if it left anything.

    Args:
      config: of the job.
    """

    def __init__(self, config: Config) -> None:
        # a text is to say what is computed, and not from which lines of which files
        jax.config.update("jax_traceback_in_locations_limit", 0)
        self._file = backend.use_compilation_cache() / f"{_key(config)}.step"
        self._guess: Future[tuple[bytes, Any]] | None = None
        if self._file.is_file():
            pool = ThreadPoolExecutor(1)
            self._guess = pool.submit(self._read)
            pool.shutdown(wait=False)

    def _read(self) -> tuple[bytes, Any]:
        text = self._file.read_bytes()
        return text, _compile(text)

    def jit_here(self, function: Callable[..., Any], *, donate_argnums: int) -> Callable[..., Any]:
        """:class:`jaxcnn.engine.backend.JitHere` of a function, which takes what was compiled ahead."""
        if not backend.calls_onednn():
            return backend.JitHere(function, donate_argnums=donate_argnums)
        return _Jit(function, donate_argnums, self._compiled)

    def _compiled(self, text: bytes) -> Any:
        try:
            guessed, program = self._guess.result() if self._guess else (b"", None)
        except Exception:  # whatever a damaged file makes of itself: it was a guess
            guessed, program = b"", None
        self._guess = None
        if guessed == text:
            return program
        with suppress(OSError):  # without a place to leave it the next start begins no sooner
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, text)
            files = sorted(self._file.parent.glob("*.step"), key=lambda file: file.stat().st_mtime)
            for old in files[:-KEPT]:
                old.unlink(missing_ok=True)
        return _compile(text)


class _Jit:
    """A function of trees as a program of lists of arrays: its text knows no classes."""

    def __init__(self, function: Callable[..., Any], donated: int, compiled: Callable[[bytes], Any]) -> None:
        self._function, self._donated, self._compiled = function, donated, compiled
        self._program: Any = None
        self._result: Any = None

    def __call__(self, *args: Any) -> Any:
        if self._program is None:
            self.compile(*args)
        return jax.tree.unflatten(self._result, self._program(*self._lists(args)))

    def compile(self, *args: Any) -> Any:
        """The compiled program for arguments like these, see ``jax.stages.Compiled``."""
        at, lists = self._donated, self._lists(args)
        one, rest = jax.tree.structure(args[at]), jax.tree.structure((*args[:at], *args[at + 1 :]))

        def listed(donated: list[Any], others: list[Any]) -> list[Any]:
            inner = jax.tree.unflatten(rest, others)
            result = self._function(*inner[:at], jax.tree.unflatten(one, donated), *inner[at:])
            leaves, self._result = jax.tree.flatten(result)
            return leaves

        jitted, abstract = jax.jit(listed), _abstract(lists)
        with backend.lowered_here():
            jitted.trace(*abstract)  # a mistake in the step is raised here; what is exported finds the trace
            try:
                text = bytes(jax.export.export(jitted, disabled_checks=_ALLOWED)(*abstract).serialize())
            except (NotImplementedError, ValueError):
                # JAX writes no text of what calls Python (the first), or a kernel that is not always there
                text = b""
        if not text:
            self._program = backend.JitHere(listed, donate_argnums=0)
            return self._program.compile(*lists)
        self._program = self._compiled(text)
        return self._program

    def _lists(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        at = self._donated
        return jax.tree.leaves(args[at]), jax.tree.leaves((*args[:at], *args[at + 1 :]))


def _compile(text: bytes) -> Any:
    exported = jax.export.deserialize(bytearray(text))
    placed = backend.replicated(backend.data_mesh())
    args, _ = jax.tree.unflatten(exported.in_tree, _abstract(exported.in_avals, placed))
    lowered = jax.jit(exported.call, donate_argnums=0, out_shardings=placed).lower(*args)
    with backend.unkept():
        return lowered.compile()


def _abstract(arrays: Any, placed: Any = None) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed), arrays)


def _key(config: Config) -> str:
    """What decides the text, as far as it is known at once: flags, platform, version, sources."""
    flags = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata["course"] and field.metadata["lane"] != "value"
    }
    sources = sorted(Path(jaxcnn.__file__).parent.rglob("*.py"))
    platform = [os.environ.get(name) for name in ("JAX_PLATFORMS", "JAXCNN_ONEDNN")]
    parts = (flags, platform, jax.__version__, *((str(file), file.stat().st_mtime_ns) for file in sources))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
