"""Pooling against plain ``lax.reduce_window`` and, where it is installed, torch.

    python -m experiments.benchmarks.pool --json=experiments/results/pool_cpu.json

The three run in turns; the figures are medians over rounds of the ratio jaxcnn / other, so below 1 is faster.
Torch reads channels-last memory, the faster of its two layouts here.
"""

import functools
import importlib.util
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax import lax

from experiments.benchmarks.timing import in_turns, ratio
from jaxcnn import ops
from jaxcnn.ops.shifted import shifted_max, shifted_sum
from jaxcnn.ops.window import slide

ROUNDS = flags.DEFINE_integer("rounds", 15, "turns", lower_bound=1)
TIMES = flags.DEFINE_integer("times", 1, "so many batches in one: 16 fill a GPU", lower_bound=1)
ONLY = flags.DEFINE_string("only", "", "run the cases whose name holds this")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")

# name: (batch, *spatial, channels), what is pooled, arguments
CASES: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "max 2×2 stride 2": ((32, 56, 56, 64), "max", {"window": 2}),
    "max 3×3 stride 2": ((32, 56, 56, 64), "max", {"window": 3, "strides": 2, "padding": 1}),
    "max 3×3 stride 1": ((32, 56, 56, 64), "max", {"window": 3, "strides": 1, "padding": 1}),
    "max 3×3 stride 2, 112²": ((8, 112, 112, 64), "max", {"window": 3, "strides": 2, "padding": 1}),
    "max 5×5 stride 1": ((8, 28, 28, 64), "max", {"window": 5, "strides": 1, "padding": 2}),
    "max 13×13 stride 1": ((8, 28, 28, 64), "max", {"window": 13, "strides": 1, "padding": 6}),
    "max 3 stride 2, 1-D": ((32, 4096, 32), "max", {"window": 3, "strides": 2, "padding": 1}),
    "max 2³ stride 2": ((4, 32, 32, 32, 16), "max", {"window": 2}),
    "max 3³ stride 2": ((4, 32, 32, 32, 16), "max", {"window": 3, "strides": 2, "padding": 1}),
    "max 2×2 on 8²": ((256, 8, 8, 32), "max", {"window": 2}),
    "avg 2×2 stride 2": ((32, 56, 56, 64), "avg", {"window": 2}),
    "avg 3×3 stride 2": ((32, 56, 56, 64), "avg", {"window": 3, "strides": 2, "padding": 1}),
    "avg 3×3 stride 1": ((32, 56, 56, 64), "avg", {"window": 3, "strides": 1, "padding": 1}),
    "avg 7×7 stride 7": ((32, 56, 56, 64), "avg", {"window": 7}),
    "avg 8×8 stride 1": ((8, 28, 28, 64), "avg", {"window": 8, "strides": 1}),
}


COLUMNS = ("forward/lax", "forward/torch", "both/lax", "both/torch", "scan/calls")
PAUSE = 0.005


def main(words: list[str]) -> None:
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    with_torch = importlib.util.find_spec("torch") is not None
    # Where XLA's own form is the rule, the other one is measured beside it.
    columns = (*COLUMNS, "forward/shifted", "both/shifted") if jax.default_backend() != "cpu" else COLUMNS
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; jaxcnn / other")
    print(f"{'':26}" + "".join(f"{column:>15}" for column in columns))
    figures: dict[str, Any] = {}
    for name, (shape, kind, numbers) in CASES.items():
        if ONLY.value not in name:
            continue
        shape = (TIMES.value * shape[0], *shape[1:])
        sides = {"jaxcnn": ours(kind, numbers), "lax": plain(kind, len(shape) - 2, numbers)}
        if jax.default_backend() != "cpu":
            sides["shifted"] = shifted(kind, numbers)
        figures[name] = row = measure(shape, sides, (kind, numbers) if with_torch else None)
        print(f"{name:26}" + "".join(f"{row.get(column, math.nan):15.2f}" for column in columns), flush=True)
    for column in columns:
        ratios = [row[column] for row in figures.values() if column in row]
        if ratios:
            figures.setdefault("geometric mean", {})[column] = statistics.geometric_mean(ratios)
    mean = figures["geometric mean"]
    print(f"{'geometric mean':26}" + "".join(f"{mean.get(column, math.nan):15.2f}" for column in columns))
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        Path(JSON.value).write_text(
            json.dumps({**figures, "times": TIMES.value, "environment": environment(0)}, indent=2) + "\n"
        )


def ours(kind: str, numbers: dict[str, Any]) -> Callable[[jax.Array], jax.Array]:
    return functools.partial({"max": ops.max_pool, "avg": ops.avg_pool}[kind], **numbers)


def shifted(kind: str, numbers: dict[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """The form that runs on CPUs, wherever this runs."""

    def pool(x: jax.Array) -> jax.Array:
        x, windows = slide(x, **numbers)
        if kind == "max":
            return shifted_max(x, windows)
        return shifted_sum(x, windows) / math.prod(window.kernel for window in windows.values())

    return pool


def plain(kind: str, ndim: int, numbers: dict[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """What one would write without jaxcnn."""
    window = (1, *(numbers["window"],) * ndim, 1)
    strides = (1, *(numbers.get("strides") or numbers["window"],) * ndim, 1)
    padding = ((0, 0), *((numbers.get("padding", 0),) * 2,) * ndim, (0, 0))

    def pool(x: jax.Array) -> jax.Array:
        if kind == "max":
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)
        return lax.reduce_window(x, 0.0, lax.add, window, strides, padding) / math.prod(window)

    return pool


def measure(
    shape: tuple[int, ...],
    sides: dict[str, Callable[[jax.Array], jax.Array]],
    torch_case: tuple[str, dict[str, Any]] | None,
) -> dict[str, float]:
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    forward: dict[str, Callable[[], object]] = {}
    both: dict[str, Callable[[], object]] = {}
    for name, pool in sides.items():
        g = jnp.ones_like(pool(x))
        forward[name] = blocking(jax.jit(pool), x)
        both[name] = blocking(jax.jit(functools.partial(value_and_pullback, pool)), x, g)
    if torch_case:
        forward["torch"], both["torch"] = torch_sides(np.asarray(x), *torch_case)
    pool = sides["jaxcnn"]
    loops = {
        "scan": blocking(jax.jit(functools.partial(ten_in_a_scan, pool)), x),
        "calls": ten_calls(pool, x),
    }
    figures: dict[str, Any] = {}
    for what, timed in (("forward", forward), ("both", both), ("scan", loops)):
        seconds = in_turns(timed, ROUNDS.value, pause=PAUSE)
        first, *others = timed
        figures |= {f"{what}/{other}": ratio(seconds, first, other) for other in others}
    return figures


def value_and_pullback(pool: Callable[[jax.Array], jax.Array], x: jax.Array, g: jax.Array) -> Any:
    y, pullback = jax.vjp(pool, x)
    return y, pullback(g)


def ten_in_a_scan(pool: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Ten gradients, each of an input that depends on the last."""

    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jax.grad(lambda x: pool(x).sum())(x) + x, None

    return lax.scan(step, x, None, length=10)[0]


def ten_calls(pool: Callable[[jax.Array], jax.Array], x: jax.Array) -> Callable[[], object]:
    step = jax.jit(lambda x: jax.grad(lambda x: pool(x).sum())(x) + x)

    def run() -> None:
        y = x
        for _ in range(10):
            y = step(y)
        y.block_until_ready()

    return run


def blocking(function: Callable[..., Any], *arguments: jax.Array) -> Callable[[], object]:
    return lambda: jax.block_until_ready(function(*arguments))


def torch_sides(
    x: np.ndarray, kind: str, numbers: dict[str, Any]
) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    ndim = x.ndim - 2
    function = getattr(torch.nn.functional, f"{kind}_pool{ndim}d")
    pool = functools.partial(
        function,
        kernel_size=numbers["window"],
        stride=numbers.get("strides"),
        padding=numbers.get("padding", 0),
    )
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    images = torch.tensor(x, device="cuda" if on_gpu else "cpu").movedim(
        -1, 1
    )  # channels stay last in memory
    if ndim == 1:
        images = images.contiguous()  # its 1-D pooling has no channels-last form
    g = torch.ones_like(pool(images))

    def forward() -> None:
        with torch.no_grad():
            pool(images)
        if on_gpu:
            torch.cuda.synchronize()

    def both() -> None:
        leaf = images.detach().requires_grad_()
        pool(leaf).backward(g)
        if on_gpu:
            torch.cuda.synchronize()

    return forward, both


if __name__ == "__main__":
    app.run(main)
