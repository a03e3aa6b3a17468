"""Training steps of several networks under ``vmap``, against one call for each.

    python -m experiments.benchmarks.vmapped --json=experiments/results/vmapped_cpu.json

Each network has weights and state of its own, and all see the same images. Both sides run in turns; a ratio
is the median over rounds of vmap / calls, so below 1 the lanes are faster.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from experiments.benchmarks.model_sides import OPTIMIZER, training_step, variables_of
from experiments.benchmarks.timing import in_turns, ratio
from jaxcnn import models

NETWORKS = {  # call string: images in a batch, pixels on each axis, channels
    "mlp": (64, 8, 1),
    "lenet5": (64, 28, 1),
    "resnet20(num_filters=4)": (64, 8, 1),
    "resnet20": (32, 32, 3),
    "mobilenet_v2(width=0.5)": (8, 64, 3),
    "resnext50_32x4d(width=0.25)": (8, 64, 3),
    "convnext_tiny(drop_path=0.0, width=0.25)": (8, 64, 3),
}

LANES = flags.DEFINE_integer("lanes", 8, "networks side by side", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns", lower_bound=1)
ONLY = flags.DEFINE_string("networks", "", "run those whose call string holds this")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; {LANES.value} lanes over as many calls")
    rows = {}
    for text, shape in NETWORKS.items():
        if ONLY.value in text:
            rows[text] = measure(text, *shape)
            print(
                f"{text:45}" + "  ".join(f"{key} {value:.2f}" for key, value in rows[text].items()),
                flush=True,
            )
    mean = statistics.geometric_mean([row["vmap/calls"] for row in rows.values()])
    print(f"geometric mean {mean:.2f}")
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        figures = {
            "date": time.strftime("%Y-%m-%d"),
            "lanes": LANES.value,
            "networks": rows,
            "geometric mean": mean,
            "environment": environment(0),
        }
        Path(JSON.value).write_text(json.dumps(figures, indent=2) + "\n")


def measure(text: str, batch: int, size: int, channels: int) -> dict[str, float]:
    """The ratio, milliseconds of both sides and seconds to compile each."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, size, size, channels), np.float32)
    x, y = jnp.asarray(images), jnp.asarray(rng.integers(0, 10, batch).astype(np.int32))
    model = models.create(text, num_classes=10)
    variables = variables_of(model, images)
    params = variables["params"]
    one = [params, variables.get("batch_stats", {}), OPTIMIZER.init(params)]
    step = training_step(model, x, y)

    def compiled(function: Any, state: Any) -> tuple[Any, float]:
        begun = time.perf_counter()
        program = jax.jit(function, donate_argnums=(0, 1, 2)).lower(*state).compile()
        return program, time.perf_counter() - begun

    lanes = jax.tree.map(lambda leaf: jnp.stack([leaf] * LANES.value), one)
    apart = [jax.tree.map(jnp.copy, one) for _ in range(LANES.value)]
    once, once_s = compiled(step, one)
    mapped, mapped_s = compiled(jax.vmap(step), lanes)

    def vmapped() -> None:
        lanes[:], loss = _split(mapped(*lanes))
        loss.block_until_ready()

    def calls() -> None:
        for state in apart:
            state[:], loss = _split(once(*state))
        loss.block_until_ready()

    seconds = in_turns({"vmap": vmapped, "calls": calls}, ROUNDS.value, pause=0.02)
    medians = {f"{side} ms": 1e3 * statistics.median(times) for side, times in seconds.items()}
    compiling = {"vmap compiles in s": mapped_s, "step compiles in s": once_s}
    return {"vmap/calls": ratio(seconds, "vmap", "calls"), **medians, **compiling}


def _split(result: Any) -> tuple[list[Any], jax.Array]:
    *state, loss = result
    return state, loss


if __name__ == "__main__":
    app.run(main)
