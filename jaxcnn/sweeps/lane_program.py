"""One compiled training step for several runs side by side, and how many of them to take."""

import math
import os
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.config import Config
from jaxcnn.engine import backend, metrics
from jaxcnn.engine.job import Job
from jaxcnn.engine.step import TrainState
from jaxcnn.engine.steps import Steps
from jaxcnn.engine.values import Values, static_key
from jaxcnn.errors import UserError

KEPT, KEPT_BYTES = 8, 2**30  # jobs whose programs are kept, and what their examples may take on the device
WIDTHS = 4  # programs kept of each
MEASURED_SECONDS, MEASURED_CALLS = 0.3, 5  # that each count of lanes is measured for, at least
GAIN = 1.25  # in steps a second that is worth twice the lanes: a trial is not steps alone


class Program:
    """The step of a job for ``width`` runs at once, compiled; its arrays have a leading axis of lanes.

    ``vmap`` maps everything but the data set, which lies on the device once. A single lane is not mapped: it
    is the program that it would be alone.

    Args:
      job: any of the runs that it is for; they differ in numbers alone.
      feed: where the batches come from.
      width: lanes.

    Attributes:
      steps: how many steps one call takes.
      bytes: what it needs on the device.
    """

    def __init__(self, job: Job, feed: Any, width: int) -> None:
        self.width, self.steps = width, job.steps_per_call(feed)
        self._job, self._data = job, job.replicate(feed.data)

        read = job.reading(feed)

        def advance(values: Values, state: TrainState, totals: Any, sent: Any) -> Any:
            active, batch = sent
            before = state, totals
            return jax.tree.map(partial(jnp.where, active), job.advance(values, *before, batch), before)

        self._call = Steps(
            lambda values, at, data, sent: (sent[0], read(values, at, data, sent[1])),
            advance,
            apart=job.apart(feed),
            mapped=partial(_mapped, width=width),
        )
        payloads = self.chunk([feed.payload(0)] * self.steps, [True] * self.steps)
        arguments = self.stack([job.values] * width), self._like(job), self.zero(), self._data
        self.bytes = _bytes(self._call.compile(*arguments, self.stack([payloads] * width)))
        if job.apart(feed):  # else the data are among the arguments
            self.bytes += sum(leaf.nbytes for leaf in jax.tree.leaves(self._data))
        self._eval = jax.jit(_mapped(lambda *args: job.eval_step(*args)[0], (0, None), width))
        self._put = jax.jit(_put, donate_argnums=0)
        self._get = jax.jit(_get)

    def _like(self, job: Job) -> Any:
        """The states without their numbers, placed as they will be: else the first call compiles anew."""
        placed = backend.replicated(job.mesh)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.width, *leaf.shape), leaf.dtype, sharding=placed),
            job.state,
        )

    def chunk(self, payloads: Sequence[Any], active: Sequence[bool]) -> Any:
        """What one lane is sent for a call: a payload for each step, and whether the step counts."""
        return np.array(active), jax.tree.map(lambda *leaves: np.stack(leaves), *payloads)

    def stack(self, trees: Sequence[Any]) -> Any:
        """The lanes' arrays of the host, side by side on the device."""
        return self._job.replicate(jax.tree.map(lambda *leaves: np.stack(leaves), *trees))

    def zero(self) -> Any:
        """The metrics of no examples, of each lane."""
        return self._job.replicate(
            jax.tree.map(lambda leaf: np.zeros((self.width,), leaf.dtype), metrics.zero())
        )

    def fill(self, state: TrainState) -> TrainState:
        """The same state in every lane."""
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * self.width), state)

    def put(self, states: TrainState, slot: int, state: TrainState) -> TrainState:
        """The states with one of them exchanged; they are donated."""
        return self._put(states, slot, state)

    def get(self, states: TrainState, slot: int) -> TrainState:
        """One lane's state."""
        return self._get(states, slot)

    def advance(self, values: Values, states: TrainState, totals: Any, chunks: Sequence[Any]) -> Any:
        """Take a call's steps in every lane: ``(states, totals)``. The states are donated."""
        return self._call(values, states, totals, self._data, self.stack(chunks))

    def evaluate(self, states: TrainState, split: str) -> Any:
        """Exact metrics of every lane over a split."""
        return self._job.evaluate(states.variables(), split, lambda *args: (self._eval(*args), None))


def _mapped(function: Any, axes: tuple[int | None, ...], width: int) -> Any:
    if width > 1:
        return jax.vmap(function, in_axes=axes)

    def alone(*args: Any) -> Any:
        lane = [
            jax.tree.map(lambda x: x[0], a) if axis == 0 else a for a, axis in zip(args, axes, strict=True)
        ]
        return jax.tree.map(lambda leaf: leaf[None], function(*lane))

    return alone


def _put(stack: Any, slot: Any, one: Any) -> Any:
    return jax.tree.map(lambda leaf, new: leaf.at[slot].set(new), stack, one)


def _get(stack: Any, slot: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[slot], stack)


def _bytes(compiled: Any) -> int:
    found = compiled.memory_analysis()
    held = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return held + found.temp_size_in_bytes


def free_memory() -> int:
    """Bytes that are free on the device (on CPU: in the machine)."""
    found = jax.local_devices()[0].memory_stats()
    if found and "bytes_limit" in found:
        return found["bytes_limit"] - found.get("bytes_in_use", 0)
    memory = Path("/proc/meminfo")
    if memory.exists():  # pages that hold files count as free: the system gives them up when asked
        (line,) = (line for line in memory.read_text().splitlines() if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # macOS does not tell what is free


def check_memory(program: Program) -> None:
    """Refuse a program that does not fit.

    Raises:
      UserError: it needs more than is free.
    """
    free = free_memory()
    if program.width > 1 and program.bytes > free:
        fit = max(1, program.width * free // program.bytes)
        raise UserError(
            f"--lanes={program.width}: the program needs {program.bytes / 2**20:,.1f} MiB and "
            f"{free / 2**20:,.1f} MiB are free; give about {fit}"
        )


class Compiled:
    """A job, its examples on the device, and its programs: for all runs of one :func:`static_key`."""

    def __init__(self, config: Config) -> None:
        self.job = Job(config)
        self._programs: OrderedDict[int, Program] = OrderedDict()
        self._took = 0.0

    @cached_property
    def feed(self) -> Any:
        """Where the batches come from; put on the device when it is first asked for."""
        return self.job.feed()

    def program(self, width: int) -> Program:
        """The program for so many lanes, compiled unless it is among the newest."""
        if width not in self._programs:
            begun = time.monotonic()
            self._programs[width] = Program(self.job, self.feed, width)
            self._took = time.monotonic() - begun
        return _newest(self._programs, width, WIDTHS)

    def wait(self, width: int) -> float:
        """Seconds that :meth:`program` will take: as many as for the last, or none for one that is kept."""
        return 0.0 if width in self._programs else self._took

    def bytes(self) -> int:
        """What the examples take on the device."""
        data = self.feed.data if "feed" in self.__dict__ else None
        return sum(leaf.nbytes for leaf in jax.tree.leaves(data))


class Shelf:
    """What was compiled, for those to come: the newest few jobs, and of each the newest few programs.

    JAX's own cache does not keep a step that is compiled where it runs, see
    :func:`jaxcnn.engine.backend.compiled_here`.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Compiled] = OrderedDict()

    def get(self, config: Config) -> Compiled:
        """What is compiled for a configuration, or for another that differs from it in numbers alone.

        Raises:
          UserError: see :class:`~jaxcnn.engine.job.Job`.
        """
        key = static_key(config), config.data_dir, config.feed, config.readers
        if key not in self._kept:
            self._kept[key] = Compiled(config)
        found = _newest(self._kept, key, KEPT)
        while len(self._kept) > 1 and sum(one.bytes() for one in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return found


def _newest(kept: OrderedDict[Any, Any], key: Hashable, most: int) -> Any:
    """Make an entry the newest, and return it; the oldest beyond ``most`` are dropped."""
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return kept[key]


def choose_lanes(config: Config, most: int, memory: int | None = None, shelf: Shelf | None = None) -> int:
    """How many runs to train side by side: the fastest per trial of 1, 2, 4, … lanes, up to ``most``.

    Each count is measured on its own compiled step, in turns with the one before it; one that is not faster
    by :data:`GAIN` ends the search, so the choice is never slower than one lane after the other.

    Args:
      config: any of the group.
      most: lanes that are wanted at most.
      memory: bytes that the program may take; None: what the device has free.
      shelf: keeps what is compiled.

    Raises:
      UserError: the configuration does not do.
    """
    backend.use_compilation_cache()
    if most < 2:
        return 1
    compiled = (shelf or Shelf()).get(config)
    memory = free_memory() if memory is None else memory
    best = compiled.program(1)
    while 2 * best.width <= most:
        program = compiled.program(2 * best.width)
        if program.bytes > memory or times_faster(program, best, compiled) < GAIN:
            break
        best = program
    return best.width


def times_faster(one: Program, other: Program, compiled: Compiled) -> float:
    """Training steps a second of one program, all its lanes together, over those of another.

    They take turns, call by call, so that whatever else the machine does slows both of them, and each is
    judged by its fastest call.
    """
    sides = [_calls(program, compiled) for program in (one, other)]
    fastest, spent, turns = [math.inf, math.inf], 0.0, 0
    while spent < 2 * MEASURED_SECONDS or turns < MEASURED_CALLS:
        seconds = [next(side) for side in sides]
        fastest = [min(pair) for pair in zip(fastest, seconds, strict=True)]
        spent, turns = spent + sum(seconds), turns + 1
    rates = [
        program.width * program.steps / best for program, best in zip((one, other), fastest, strict=True)
    ]
    return rates[0] / rates[1]


def _calls(program: Program, compiled: Compiled) -> Iterator[float]:
    """Call a program again and again, and tell how many seconds each call took but the first, a warm-up."""
    job, payload = compiled.job, compiled.feed.payload(0)
    chunks = [program.chunk([payload] * program.steps, [True] * program.steps)] * program.width
    values, totals = program.stack([job.values] * program.width), program.zero()
    states, warm = program.fill(job.init_state()), False
    while True:
        begun = time.perf_counter()
        states, totals = program.advance(values, states, totals, chunks)
        jax.block_until_ready(totals)
        if warm:
            yield time.perf_counter() - begun
        warm = True
