"""Convolution against plain ``lax.conv_general_dilated`` and, where it is installed, torch.

    python -m experiments.benchmarks.conv --json=experiments/results/conv_cpu.json
    python -m experiments.benchmarks.conv --random=60 --json=experiments/results/conv_random_cpu.json

On a GPU, with batches that fill it::

    python -m experiments.benchmarks.conv --times=16 --calls=10 --figures=times --json=conv_h100.json

The sides run in turns; a ratio is the median over rounds of jaxcnn / other, so below 1 is faster. Torch runs
in the faster of its two layouts, with as many threads as there are cores; on a GPU with cudnn.benchmark, and
TF32 where each framework has it by default. Compiling is measured on programs compiled for the first time.
"""

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax import lax

from experiments.benchmarks.conv_shapes import MORE, SHAPES, draw
from experiments.benchmarks.conv_torch import torch_sides
from experiments.benchmarks.timing import call, in_turns, ratio
from jaxcnn.ops import lowering
from jaxcnn.ops.lowering import Problem

ROUNDS = flags.DEFINE_integer("rounds", 15, "turns", lower_bound=1)
ONLY = flags.DEFINE_string("shapes", "", "run the shapes whose name holds this")
MORES = flags.DEFINE_boolean("more", False, "with shapes that plain JAX is slow at on GPUs")
RANDOM = flags.DEFINE_integer("random", 0, "instead of the table, so many shapes drawn at random")
SEED = flags.DEFINE_integer("seed", 0, "of the shapes drawn at random")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16", "float16"], "of all arrays")
TIMES = flags.DEFINE_integer("times", 1, "so many batches in one: 16 fill a GPU", lower_bound=1)
CALLS = flags.DEFINE_integer("calls", 1, "in a turn, of which only the last is waited for", lower_bound=1)
FIGURES = flags.DEFINE_multi_enum(
    "figures", ["times", "loops", "compile"], ["times", "loops", "compile"], "what to measure of each shape"
)
LOWERING = flags.DEFINE_enum("lowering", "auto", lowering.NAMES, "what jaxcnn computes by")
STEPS = flags.DEFINE_integer("steps", 10, "of the scan", lower_bound=1)
LANES = flags.DEFINE_integer("lanes", 8, "models under vmap", lower_bound=1)
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")

PAUSE = 0.005
Convolve = Callable[[jax.Array, jax.Array], jax.Array]
COLUMNS = (
    "output/lax",
    "output/torch",
    "both/lax",
    "both/torch",
    "scan/calls",
    "lanes/calls",
    "compile output/lax",
    "compile both/lax",
    "memory/lax",
)


def main(words: list[str]) -> None:
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    shapes = draw(RANDOM.value, SEED.value) if RANDOM.value else SHAPES | (MORE if MORES.value else {})
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}, {DTYPE.value}")
    print(f"{'':44}" + "".join(f"{name:>20}" for name in COLUMNS))
    shapes = {name: larger(problem) for name, problem in shapes.items() if ONLY.value in name}
    rows: dict[str, dict[str, float]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        programs = dict(zip(shapes, pool.map(compile_sides, shapes.values()), strict=True))
    for name, problem in shapes.items():
        rows[name] = measure(problem, programs[name], with_torch=not RANDOM.value)
        show(name, rows[name])
    means = {
        column: geometric_mean([row[column] for row in rows.values() if column in row]) for column in COLUMNS
    }
    show("geometric mean", means)
    show(
        "worst",
        {column: max((row.get(column, 0.0) for row in rows.values()), default=0.0) for column in COLUMNS},
    )
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        figures = {
            "date": time.strftime("%Y-%m-%d"),
            "settings": {
                flag.name: flag.value for flag in (DTYPE, ROUNDS, TIMES, CALLS, LOWERING, RANDOM, SEED)
            },
            "environment": environment(SEED.value),
            "shapes": rows,
            "geometric mean": means,
        }
        Path(JSON.value).write_text(json.dumps(figures, indent=2) + "\n")


def show(name: str, row: Mapping[str, float]) -> None:
    cells = (f"{row[column]:.2f}" if row.get(column) else "" for column in COLUMNS)
    print(f"{name:44}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def ours(problem: Problem) -> Convolve:
    return lambda x, kernel: lowering.compute(x, kernel, problem.spec, LOWERING.value)


def plain(problem: Problem) -> Convolve:
    """What one would write without jaxcnn."""
    spec = problem.spec
    numbers = lowering.dimension_numbers(spec.ndim)
    return lambda x, kernel: lax.conv_general_dilated(
        x, kernel, spec.strides, spec.padding, None, spec.dilation, numbers, spec.groups
    )


def both(convolve: Convolve) -> Callable[..., Any]:
    """The output, and the gradients by input and kernel."""

    def compute(x: jax.Array, kernel: jax.Array, y: jax.Array) -> Any:
        output, pull = jax.vjp(convolve, x, kernel)
        return output, *pull(y)

    return compute


def larger(problem: Problem) -> Problem:
    return problem._replace(input=(TIMES.value * problem.input[0], *problem.input[1:]))


PARTS = {"output": lambda convolve: convolve, "both": both}
"""What is computed of a convolution: of an input and a kernel, and for gradients of a cotangent too."""


def compile_sides(problem: Problem) -> dict[tuple[str, str], Any]:
    """The program of each part and side."""
    shapes = (problem.input, problem.kernel, problem.output)
    args = [jax.ShapeDtypeStruct(shape, DTYPE.value) for shape in shapes]
    return {
        (part, name): compiled(wrap(convolve), args[: 2 + (part == "both")])
        for part, wrap in PARTS.items()
        for name, convolve in (("jaxcnn", ours(problem)), ("lax", plain(problem)))
    }


def measure(
    problem: Problem, programs: Mapping[tuple[str, str], Any], *, with_torch: bool
) -> dict[str, float]:
    """The figures of one shape: times in milliseconds, compiling in seconds, memory in bytes, ratios."""
    rng = np.random.default_rng(0)
    scale = 1 / math.sqrt(math.prod(problem.kernel[:-1]))
    x, kernel, y = (
        jnp.asarray(size * rng.standard_normal(shape, np.float32), DTYPE.value)
        for shape, size in ((problem.input, 1.0), (problem.kernel, scale), (problem.output, 1.0))
    )
    row: dict[str, float] = {}
    theirs = torch_sides(problem, x, kernel, y, CALLS.value) if with_torch else {}
    for part, wrap in PARTS.items():
        args = (x, kernel, y)[: 2 + (part == "both")]
        sides = {name: call(programs[part, name], args, CALLS.value) for name in ("jaxcnn", "lax")}
        sides |= {name: pair[part == "both"] for name, pair in theirs.items()}
        seconds = in_turns(sides, ROUNDS.value, pause=PAUSE)
        each = {name: [1e3 * time / CALLS.value for time in times] for name, times in seconds.items()}
        row |= {f"{part} {name} ms": statistics.median(times) for name, times in each.items()}
        row |= {f"{part} {name} best ms": min(times) for name, times in each.items()}
        row[f"{part}/lax"] = ratio(seconds, "jaxcnn", "lax")
        if theirs:
            best = min(theirs, key=lambda name: min(seconds[name]))
            row[f"{part}/torch"] = ratio(seconds, "jaxcnn", best)
        if "compile" in FIGURES.value:
            row[f"compile {part}/lax"] = compile_ratio(problem, wrap, args)
    row["memory/lax"] = memory(programs["both", "jaxcnn"]) / memory(programs["both", "lax"])
    if "loops" in FIGURES.value and with_torch:
        row["scan/calls"] = scan_over_calls(problem, x, kernel, y)
        row["lanes/calls"] = lanes_over_calls(problem, x, kernel, y)
    return row


def compiled(function: Callable[..., Any], args: Sequence[Any]) -> Any:
    return jax.jit(function).lower(*args).compile()


def compile_ratio(
    problem: Problem, wrap: Callable[..., Any], args: Sequence[jax.Array], rounds: int = 3
) -> float:
    """Time to trace, lower and compile, as a ratio; each round makes functions that JAX has not seen."""
    sides = {
        "jaxcnn": lambda: compiled(wrap(ours(problem)), args),
        "lax": lambda: compiled(wrap(plain(problem)), args),
    }
    return ratio(in_turns(sides, rounds), "jaxcnn", "lax")


def memory(program: Any) -> int:
    """Bytes of arguments, results and what lies between."""
    analysis = program.memory_analysis()
    return analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes


def scan_over_calls(problem: Problem, x: jax.Array, kernel: jax.Array, y: jax.Array) -> float:
    """Steps of gradient descent on the kernel: in one ``lax.scan`` against one call for each."""
    compute = both(ours(problem))

    def step(kernel: jax.Array) -> jax.Array:
        output, by_x, by_kernel = compute(x, kernel, y)
        rest = 1e-6 * (output.mean() + by_x.mean())  # so that nothing is left out
        return kernel - (1e-3 * by_kernel + rest).astype(kernel.dtype)

    def scan(kernel: jax.Array) -> jax.Array:
        return lax.scan(lambda kernel, _: (step(kernel), None), kernel, None, length=STEPS.value)[0]

    once, looped = compiled(step, (kernel,)), compiled(scan, (kernel,))

    def calls() -> None:
        state = kernel
        for _ in range(STEPS.value):
            state = once(state)
        state.block_until_ready()

    return ratio(in_turns({"scan": call(looped, (kernel,)), "calls": calls}, 3, pause=PAUSE), "scan", "calls")


def lanes_over_calls(problem: Problem, x: jax.Array, kernel: jax.Array, y: jax.Array) -> float:
    """Several kernels under ``vmap``, each with images of its own, against one call for each."""
    compute = both(ours(problem))
    single = [tuple(jnp.array(value) for value in (x, kernel, y)) for _ in range(LANES.value)]
    lanes = [jnp.stack(values) for values in zip(*single, strict=True)]
    once, mapped = compiled(compute, (x, kernel, y)), compiled(jax.vmap(compute), lanes)

    def calls() -> None:
        jax.block_until_ready([once(*lane) for lane in single])

    return ratio(in_turns({"vmap": call(mapped, lanes), "calls": calls}, 3, pause=PAUSE), "vmap", "calls")


if __name__ == "__main__":
    app.run(main)
