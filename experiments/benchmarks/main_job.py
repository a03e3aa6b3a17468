"""How long the main job takes to start, how fast it goes, and what it needs.

    python -m experiments.benchmarks.main_job --json=experiments/results/main_job_cpu.json

Every number comes from real processes: the command is started anew for each repeat, cold (an empty
compilation cache) and warm, and the step alone is timed in turns with the whole loop, so that a busy
machine slows both sides alike.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from absl import app, flags, logging

REPEATS = flags.DEFINE_integer("repeats", 5, "processes for each start-up figure", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "turns between the step alone and the whole loop", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 0, "steps in a turn; 0: as many as the job has", lower_bound=0)
FLAGFILE = flags.DEFINE_string("job", "experiments/digits.flags", "the training flagfile")
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    with tempfile.TemporaryDirectory() as scratch:
        figures = {**startup(Path(scratch)), **throughput(Path(scratch))}
    for name, value in figures.items():
        print(f"{name:32} {value:,.2f}" if isinstance(value, float) else f"{name:32} {value}")
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        Path(JSON.value).write_text(json.dumps({**figures, "environment": environment(0)}, indent=2) + "\n")


def startup(scratch: Path) -> dict[str, float]:
    """Seconds from the command to ``--help``, and to the first step's end, cold and warm."""
    help_seconds: list[float] = []
    first_step: dict[str, list[float]] = {"cold": [], "warm": []}
    peak = []
    for repeat in range(REPEATS.value):
        cache = scratch / f"cache-{repeat}"
        help_seconds.append(timed(["--help"], cache))
        for kind, seconds in first_step.items():
            run = scratch / f"{kind}-{repeat}"
            seconds.append(timed([f"--flagfile={FLAGFILE.value}", f"--workdir={run}"], cache, until=run))
        peak.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return {
        "help_seconds": statistics.median(help_seconds),
        "cold_first_step_seconds": statistics.median(first_step["cold"]),
        "warm_first_step_seconds": statistics.median(first_step["warm"]),
        "peak_memory_mib": max(peak),
    }


def timed(words: list[str], cache: Path, until: Path | None = None) -> float:
    """Seconds until the process ends or, with ``until``, until its first step is logged."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "jaxcnn.train", *words]
    if until:
        command += ["--log_every=1", "--steps=2"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        if until is None:
            process.wait()
            return time.perf_counter() - begun
        while not (until / "metrics.jsonl").exists() or not (until / "metrics.jsonl").stat().st_size:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}")
            time.sleep(0.005)
        seconds = time.perf_counter() - begun
        process.wait()
    return seconds


def throughput(scratch: Path) -> dict[str, float]:
    """Images a second of the compiled step alone and of the whole loop, in turns in one process.

    The loop's are those that it logs last, over its last five seconds of training.
    """
    import jax

    from jaxcnn.config import Config
    from jaxcnn.engine import loop
    from jaxcnn.engine.job import Job

    base = Config.from_flagfile(FLAGFILE.value)
    alone, whole, ratios = [], [], []
    for turn in range(ROUNDS.value):
        config = replace(base, workdir=str(scratch / f"loop-{turn}"))
        job = Job(replace(config, steps=STEPS.value) if STEPS.value else config)
        feed = job.feed()
        data, state, totals = job.replicate(feed.data), job.init_state(), job.zero()
        values = job.replicate(job.values)
        payload = job.split(jax.tree.map(lambda leaf: leaf[None], feed.payload(0)))
        call = job.compiled_steps(feed)
        state, totals = call(values, state, totals, data, payload)
        jax.block_until_ready(totals)
        begun = time.perf_counter()
        for _ in range(job.steps):
            state, totals = call(values, state, totals, data, payload)
        jax.block_until_ready(totals)
        alone.append(job.steps * config.batch_size / (time.perf_counter() - begun))

        loop.run(job.config)
        rows = [
            json.loads(line) for line in (Path(config.workdir) / "metrics.jsonl").read_text().splitlines()
        ]
        whole.append([row["images_per_second"] for row in rows if "images_per_second" in row][-1])
        ratios.append(whole[-1] / alone[-1])
    return {
        "step_images_per_second": statistics.median(alone),
        "loop_images_per_second": statistics.median(whole),
        "loop_over_step": statistics.median(ratios),
    }


if __name__ == "__main__":
    app.run(main)
