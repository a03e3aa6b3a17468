"""From which kernel size on the FFT lowering wins.

    python -m experiments.benchmarks.fft --json=experiments/results/fft_cpu.json

For growing kernels each form of one convolution, the output and the two gradients, is computed by every
lowering that can, in turns; a ratio is the FFT's median time over that of the fastest other. The crossing is
the least size from which on the ratio stays below 1.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from experiments.benchmarks.conv_shapes import shape
from experiments.benchmarks.forms import FORMS, names, program, tensors
from experiments.benchmarks.timing import call, in_turns
from jaxcnn.ops.lowering import Form, Problem

ROUNDS = flags.DEFINE_integer("rounds", 5, "turns", lower_bound=1)
ONLY = flags.DEFINE_string("kinds", "", "run the kinds whose name holds this")
SIZES = flags.DEFINE_list(
    "sizes", ["3", "5", "7", "9", "11", "13", "15", "19", "23", "31"], "taps on each axis"
)
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")

KINDS: dict[str, Callable[[int], Problem]] = {
    "4·64²·16→16": lambda taps: shape(4, (64, 64), 16, 16, taps),
    "4·64²·3→32": lambda taps: shape(4, (64, 64), 3, 32, taps),
    "4·32²·64→64": lambda taps: shape(4, (32, 32), 64, 64, taps),
    "4·64²·32 depthwise": lambda taps: shape(4, (64, 64), 32, 32, taps, groups=32),
    "4·64²·32→32 in 4 groups": lambda taps: shape(4, (64, 64), 32, 32, taps, groups=4),
    "4·4096·32→32": lambda taps: shape(4, (4096,), 32, 32, taps),
}


def main(words: list[str]) -> None:
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    sizes = [int(size) for size in SIZES.value]
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; fft / fastest other")
    print(f"{'':32}" + "".join(f"{size:>15}" for size in sizes) + "   from")
    figures: dict[str, Any] = {}
    for kind, problem in KINDS.items():
        if ONLY.value not in kind:
            continue
        for form in FORMS:
            cells = {size: measure(problem(size), form) for size in sizes}
            ratios = {size: cell["ratio"] for size, cell in cells.items()}
            figures[f"{kind}, {form}"] = {"sizes": cells, "wins from": crossing(ratios)}
            shown = (f"{cell['ratio']:.2f} {cell['other']}" for cell in cells.values())
            print(
                f"{kind + ', ' + form:32}" + "".join(f"{s:>15}" for s in shown) + f"   {crossing(ratios)}",
                flush=True,
            )
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        whole = {"date": time.strftime("%Y-%m-%d"), "environment": environment(0), "kinds": figures}
        Path(JSON.value).write_text(json.dumps(whole, indent=2) + "\n")


def measure(problem: Problem, form: Form) -> dict[str, Any]:
    """Median milliseconds of each lowering, the fastest other, and the FFT's ratio to it."""
    arguments = tensors(problem, form, "float32")
    sides: dict[str, Callable[[], Any]] = {
        name: call(program(problem, form, "float32", name), arguments)
        for name in names(problem, form, "float32")
    }
    medians = {
        name: 1e3 * statistics.median(times)
        for name, times in in_turns(sides, ROUNDS.value, pause=0.005).items()
    }
    other = min((name for name in medians if name != "fft"), key=medians.__getitem__)
    return {"ms": medians, "other": other, "ratio": medians["fft"] / medians[other]}


def crossing(ratios: Mapping[int, float]) -> int | None:
    """The least size from which on every ratio is below 1; None where the last is not.

    >>> crossing({3: 2.0, 5: 0.9, 7: 1.1, 9: 0.8, 11: 0.5})
    9
    """
    found = None
    for size, value in sorted(ratios.items(), reverse=True):
        if value >= 1:
            break
        found = size
    return found


if __name__ == "__main__":
    app.run(main)
