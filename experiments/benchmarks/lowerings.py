"""Each form of a convolution by every lowering that can, in turns, and by torch: what the rules come from.

    python -m experiments.benchmarks.lowerings --json=lowerings.json
    python -m experiments.benchmarks.lowerings --times=16 --calls=10 --dtypes=float32,bfloat16 --compile=240 …

All programs are compiled before the first is timed, by as many threads as there are cores, for what compiles
on a GPU times kernels of its own. What is not compiled in time is left out and said.
"""

import json
import os
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from experiments.benchmarks.conv_shapes import MORE, SHAPES
from experiments.benchmarks.forms import FORMS, in_torch, names, program, tensors
from experiments.benchmarks.timing import call, in_turns
from jaxcnn.ops import lowering
from jaxcnn.ops.lowering import Problem

ROUNDS = flags.DEFINE_integer("rounds", 7, "turns", lower_bound=1)
TIMES = flags.DEFINE_integer("times", 1, "so many batches in one: 16 fill a GPU", lower_bound=1)
CALLS = flags.DEFINE_integer("calls", 1, "in a turn, of which only the last is waited for", lower_bound=1)
DTYPES = flags.DEFINE_list("dtypes", ["float32"], "of all arrays")
ONLY = flags.DEFINE_string("shapes", "", "run the shapes whose name holds this")
LOWERINGS = flags.DEFINE_multi_enum("lowering", [], lowering.NAMES[1:], "run this alone; empty: all")
COMPILE = flags.DEFINE_float("compile", 3600, "seconds after which what is not compiled is left out")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


def main(words: list[str]) -> None:
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    shapes = {
        name: p._replace(input=(TIMES.value * p.input[0], *p.input[1:]))
        for name, p in (SHAPES | MORE).items()
        if ONLY.value in name
    }
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; milliseconds, the fastest first")
    programs = compile_all(shapes)
    rows = []
    for name, problem in shapes.items():
        for dtype in DTYPES.value:
            theirs = in_torch(problem, dtype, CALLS.value)
            for form in FORMS:
                sides = {
                    way: call(programs[key], tensors(problem, form, dtype), CALLS.value)
                    for way in names(problem, form, dtype)
                    if (key := (name, dtype, form, way)) in programs
                }
                seconds = in_turns(sides | theirs.get(form, {}), ROUNDS.value, pause=0.005)
                ms = {side: 1e3 * statistics.median(times) / CALLS.value for side, times in seconds.items()}
                ms = dict(sorted(ms.items(), key=lambda item: item[1]))
                rows.append({"shape": name, "dtype": dtype, "form": form, "ms": ms, **numbers(problem)})
                print(
                    f"{name}, {dtype}, {form}: " + ", ".join(f"{s} {t:.3f}" for s, t in ms.items()),
                    flush=True,
                )
            write(rows)


def numbers(problem: Problem) -> dict[str, Any]:
    """All that a convolution depends on."""
    return {"input": problem.input, "kernel": problem.kernel, **problem.spec._asdict()}


def compile_all(shapes: dict[str, Problem]) -> dict[tuple[str, str, str, str], Any]:
    """Programs by shape, dtype, form and lowering."""
    pool = ThreadPoolExecutor(os.cpu_count())
    jobs: dict[tuple[str, str, str, str], Future[Any]] = {
        (name, dtype, form, way): pool.submit(program, problem, form, dtype, way)
        for name, problem in shapes.items()
        for dtype in DTYPES.value
        for form in FORMS
        for way in names(problem, form, dtype)
        if not LOWERINGS.value or way in LOWERINGS.value
    }
    wait(jobs.values(), timeout=COMPILE.value)
    left_out = [key for key, job in jobs.items() if job.cancel()]
    for key in left_out:
        print("left out:", *key)
    pool.shutdown()
    return {key: job.result() for key, job in jobs.items() if not job.cancelled()}


def write(rows: list[dict[str, Any]]) -> None:
    """What was measured so far, where ``--json`` says."""
    if not JSON.value:
        return
    from jaxcnn.engine.run_folder import environment

    settings = {"date": time.strftime("%Y-%m-%d"), "times": TIMES.value, "calls": CALLS.value}
    figures = {**settings, "environment": environment(0), "rows": rows}
    Path(JSON.value).write_text(json.dumps(figures, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    app.run(main)
