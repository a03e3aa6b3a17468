"""An engine that looks like :mod:`jaxcnn.sweeps.group` and trains nothing, so that what is around it can be
tested quickly: deterministic curves, real run folders, checkpoints that count how often a step was taken.

``python -m tests.sweeps.fake FOLDER NAME`` is a worker's process with it.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.errors import UserError
from jaxcnn.files import write_atomically
from jaxcnn.sweeps.events import Failed, Finished, Reported, Stopped

STEPS = 4  # validations of a run


@dataclass
class Result:
    """As :class:`jaxcnn.engine.diary.Result`, whose module brings JAX: these processes start quickly."""

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    test_loss: float
    test_correct: int
    test_count: int


class Program:
    steps = 8
    parameters = 1000

    def __init__(self, config):
        if config.model == "wrong":
            raise UserError("--model=wrong: no such model")
        self.macs = {"mlp": 100, "lenet5": 200}.get(config.model, 300)


def static_key(config):
    return config.model, config.batch_size


def choose_lanes(config, most):
    return min(4, most)


def accuracy(config, step):
    """Best at a learning rate of 0.1, better with every step, a little different for each seed."""
    distance = abs(config.learning_rate - 0.1)
    return (1 - distance) * (1 - 0.5**step) * 0.9 + 0.01 * (config.seed % 3)


class LaneGroup:
    """Steps of every lane in turns; each taken step is a line in ``steps.txt`` of the run folder."""

    def __init__(self, configs, *, lanes):
        assert len({static_key(config) for config in configs}) == 1
        assert 1 <= lanes <= len(configs)
        if lanes > int(os.environ.get("FAKE_MEMORY", "64")):
            raise UserError(f"--lanes={lanes}: the program needs more than is free")
        self._configs, self._lanes = dict(enumerate(configs)), lanes
        self._steps = {lane: self._resume(config) for lane, config in self._configs.items()}

    def _resume(self, config):
        folder = config.folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "config.flags", config.to_flagfile())
        saved = folder / "checkpoint"
        return int(saved.read_text()) if saved.exists() else 0

    def prune(self, lane):
        assert lane in self._steps, "only a lane that trains is pruned"
        del self._steps[lane]

    drop = prune

    def refill(self, lane, config):
        assert lane not in self._steps, "only a lane that ended is refilled"
        self._configs[lane], self._steps[lane] = config, self._resume(config)

    def run(self, stop=lambda: False):
        pace = float(os.environ.get("FAKE_SECONDS", "0"))
        while self._steps:
            for lane in sorted(self._steps)[: self._lanes]:
                if lane not in self._steps:
                    continue
                config, step = self._configs[lane], self._steps[lane] + 1
                if stop():
                    yield from (Stopped(lane, step) for lane, step in self._steps.items())
                    return
                if step > STEPS:
                    yield self._finish(lane)
                    continue
                time.sleep(pace)
                if config.learning_rate > 0.9:
                    del self._steps[lane]
                    yield Failed(lane, "the training loss is nan by step 2")
                    continue
                if config.momentum == 0.666:
                    os.kill(os.getpid(), 9)
                yield self._take(lane, step)

    def _take(self, lane, step):
        config, folder = self._configs[lane], self._configs[lane].folder()
        found = {"loss": 1 - accuracy(config, step), "accuracy": accuracy(config, step)}
        row = {"step": 2 * step, "epoch": step / STEPS, "split": "validation", **found, "time": time.time()}
        with (folder / "steps.txt").open("a") as file:
            file.write(f"{step}\n")
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        write_atomically(folder / "checkpoint", str(step))
        self._steps[lane] = step
        return Reported(lane, 2 * step, found)

    def _finish(self, lane):
        config, folder = self._configs[lane], RunFolder(self._configs[lane].folder())
        best = accuracy(config, STEPS)
        result = Result(2 * STEPS, 2 * STEPS, best, best - 0.01, 1 - best, round(100 * best), 100)
        write_atomically(folder.result, json.dumps(asdict(result)))
        del self._steps[lane]
        return Finished(lane, result)


def main():
    """A worker's process that trains nothing, and waits for nothing long."""
    from jaxcnn.sweeps import process, storage, worker

    worker.IDLE, storage.GRACE = 0.1, 0.5
    worker.Worker.__init__.__kwdefaults__.update(engine=sys.modules["tests.sweeps.fake"], program=Program)
    return process.main(sys.argv[1:])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.sweeps import fake

    sys.exit(fake.main())
