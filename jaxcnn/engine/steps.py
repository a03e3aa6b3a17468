"""Training steps, one or several, as a compiled call."""

from collections.abc import Callable
from typing import Any

import jax

from jaxcnn.engine import backend

Read = Callable[[Any, Any, Any, Any], Any]
Advance = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
Mapped = Callable[[Callable[..., Any], tuple[int | None, ...]], Callable[..., Any]]
JitHere = Callable[..., Any]  # makes of a function what backend.JitHere does


class Steps:
    """As many steps as there are payloads, ``(values, state, totals, data, payloads) -> (state, totals)``.

    Payloads have a leading axis of steps; the state is donated.

    Args:
      read: ``(values, step, data, payload) -> batch``.
      advance: ``(values, state, totals, batch) -> (state, totals)``.
      apart: compile for single steps, as two programs: one makes the batch, and JAX's cache keeps it; the
        other trains on it to the same bits wherever it is from, see
        :func:`jaxcnn.engine.backend.compiled_here`. Otherwise a call is one program.
      mapped: makes of a function and the axes of its arguments one for several runs at once.
      jit_here: compiles the program that trains, where it is one apart.
    """

    def __init__(
        self,
        read: Read,
        advance: Advance,
        *,
        apart: bool,
        mapped: Mapped = lambda function, axes: function,
        jit_here: JitHere = backend.JitHere,
    ) -> None:
        def scan(values: Any, state: Any, totals: Any, data: Any, payloads: Any) -> tuple[Any, Any]:
            def one(carry: tuple[Any, Any], payload: Any) -> tuple[tuple[Any, Any], None]:
                batch = read(values, carry[0].step, data, payload)
                return advance(values, *carry, batch), None

            return jax.lax.scan(one, (state, totals), payloads)[0]

        def read_one(values: Any, step: Any, data: Any, payloads: Any) -> Any:
            return read(values, step, data, jax.tree.map(lambda leaf: leaf[0], payloads))

        self._apart = apart
        self._whole = jax.jit(mapped(scan, (0, 0, 0, None, 0)), donate_argnums=1)
        self._read = jax.jit(mapped(read_one, (0, 0, None, 0)))
        self._advance = jit_here(mapped(advance, (0, 0, 0, 0)), donate_argnums=1)

    def __call__(self, values: Any, state: Any, totals: Any, data: Any, payloads: Any) -> tuple[Any, Any]:
        if not self._apart:
            return self._whole(values, state, totals, data, payloads)
        return self._advance(values, state, totals, self._read(values, state.step, data, payloads))

    def compile(self, values: Any, state: Any, totals: Any, data: Any, payloads: Any) -> Any:
        """The program that trains, compiled for arguments like these: a ``jax.stages.Compiled``.

        Where they lie as those of a call will, that call compiles nothing anew.
        """
        if not self._apart:
            return self._whole.lower(values, state, totals, data, payloads).compile()
        read = self._read.lower(values, state.step, data, payloads)
        batch = jax.tree.map(
            lambda leaf, placed: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed),
            read.out_info,
            read.compile().output_shardings,
        )
        return self._advance.compile(values, state, totals, batch)
