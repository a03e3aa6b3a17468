"""Identical blocks of a network written out against a scan over them: what compiling takes, and a step.

    python -m experiments.benchmarks.scan_blocks --json=experiments/results/scan_blocks_cpu.json

A stack of blocks that keep their input's shape is trained on one fixed batch: forward, backward and an SGD
update. ``written out``: the program holds every block, as the zoo's networks do. ``scan``: the program holds
one, and ``lax.scan`` runs it over the parameters of all, stacked. ``stacked in the step``: the same where the
parameters keep a name for each block, as weights in torch's layouts have them, so that each step stacks them
first. Ratios are medians over rounds, in turns.
"""

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from experiments.benchmarks.model_sides import variables_of
from experiments.benchmarks.timing import in_turns, ratio
from jaxcnn import nn
from jaxcnn.models.convnext import ConvNeXtBlock

STACKS = flags.DEFINE_list("stacks", [], "names from the table; empty: all")
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each stack", lower_bound=1)
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


class Stack(NamedTuple):
    """Blocks one after another."""

    block: linen.Module
    blocks: int
    shape: tuple[int, int, int, int]


CASES = {
    "ResNet-110 stage 1": Stack(nn.BasicBlock(16), 17, (32, 32, 32, 16)),
    "ResNet-110 stage 3": Stack(nn.BasicBlock(64), 17, (32, 8, 8, 64)),
    "ResNet-50 stage 3": Stack(nn.BottleneckBlock(256), 5, (8, 6, 6, 1024)),
    "ResNet-152 stage 3": Stack(nn.BottleneckBlock(256), 35, (8, 6, 6, 1024)),
    "ConvNeXt-T stage 3": Stack(ConvNeXtBlock(1.0), 8, (8, 6, 6, 384)),
    "ConvNeXt-S stage 3": Stack(ConvNeXtBlock(1.0), 26, (8, 6, 6, 384)),
}

Forward = Callable[[Any, jax.Array], jax.Array]


def written_out(block: linen.Module, variables: list[Any], x: jax.Array) -> jax.Array:
    """Blocks one by one."""
    for each in variables:
        x = _called(block, each, x)
    return x


def scanned(block: linen.Module, variables: Any, x: jax.Array) -> jax.Array:
    """One block over stacked variables."""
    return jax.lax.scan(lambda x, each: (_called(block, each, x), None), x, variables)[0]


def stacked(block: linen.Module, variables: list[Any], x: jax.Array) -> jax.Array:
    """The same of variables that are not stacked yet."""
    return scanned(block, jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables), x)


def _called(block: linen.Module, variables: Any, x: jax.Array) -> jax.Array:
    return block.apply(variables, x, train=True, mutable=["batch_stats"])[0]


def step_of(forward: Callable[..., jax.Array], block: linen.Module, variables: Any, x: jax.Array) -> Any:
    """A function that takes a step, and the seconds of tracing and of compiling it."""

    def step(variables: Any) -> Any:
        gradients = jax.grad(lambda variables: jnp.mean(jnp.square(forward(block, variables, x))))(variables)
        return jax.tree.map(lambda old, gradient: old - 1e-3 * gradient, variables, gradients)

    begun = time.perf_counter()
    lowered = jax.jit(step).lower(variables)
    middle = time.perf_counter()
    compiled = lowered.compile()
    seconds = middle - begun, time.perf_counter() - middle
    return lambda: jax.block_until_ready(compiled(variables)), seconds


def measure(stack: Stack, rounds: int) -> dict[str, float]:
    """The figures of one row."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal(stack.shape), jnp.float32)
    one = variables_of(stack.block, np.asarray(x))
    variables = [jax.tree.map(jnp.copy, one) for _ in range(stack.blocks)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)
    ways = {
        "written out": (written_out, variables),
        "scan": (scanned, together),
        "stacked in the step": (stacked, variables),
    }
    row: dict[str, float] = {"blocks": stack.blocks}
    sides = {}
    for name, (forward, given) in ways.items():
        sides[name], seconds = step_of(forward, stack.block, given, x)
        row[f"{name}: trace_s"], row[f"{name}: compile_s"] = seconds
    seconds = in_turns(sides, rounds, pause=0.02)
    row |= {f"{name}: ms": 1e3 * float(np.median(values)) for name, values in seconds.items()}
    return row | {f"{name}: ratio": ratio(seconds, name, "written out") for name in list(ways)[1:]}


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    if unknown := [name for name in STACKS.value if name not in CASES]:
        raise app.UsageError(f"--stacks: no {unknown[0]!r}; known: {', '.join(CASES)}")
    rows = {}
    print(f"{'blocks':22}  {'written out':>21}   {'scan':>22}   {'stacked in the step':>22}")
    for name in STACKS.value or CASES:
        row = rows[name] = measure(CASES[name], ROUNDS.value)
        cells = [
            f"{row[f'{way}: trace_s'] + row[f'{way}: compile_s']:5.1f} s {row[f'{way}: ms']:7.1f} ms"
            + (f" {row[f'{way}: ratio']:6.2f}" if f"{way}: ratio" in row else "   1.00")
            for way in ("written out", "scan", "stacked in the step")
        ]
        print(f"{name:18} ×{row['blocks']:2}  " + "   ".join(cells), flush=True)
        gc.collect()
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        Path(JSON.value).write_text(
            json.dumps({"rows": rows, "environment": environment(0)}, indent=2) + "\n"
        )


if __name__ == "__main__":
    app.run(main)
