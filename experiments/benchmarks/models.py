"""A training step of whole networks: jaxcnn, plain Flax, and timm on torch, in turns.

    python -m experiments.benchmarks.models --json=experiments/results/models_cpu.json

A step is forward, backward and SGD with momentum in float32, on one fixed batch; the three sides hold the
same network with the same number of parameters. The table gives medians over rounds of each side's time over
torch's, and what compiling took.
"""

import gc
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags, logging

from experiments.benchmarks import flax_models
from experiments.benchmarks.timing import in_turns, ratio
from experiments.benchmarks.torch_models import import_timm
from jaxcnn import models
from jaxcnn.models.mobilenet import SETTING

NETWORKS = flags.DEFINE_list("networks", [], "names from the table; empty: all")
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each network", lower_bound=1)
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


class Network(NamedTuple):
    """One network, three times over."""

    batch: int
    size: int
    classes: int
    ours: str
    flax: linen.Module
    timm: str


CASES = {
    "ResNet-18 (CIFAR)": Network(
        32, 32, 10, "resnet18(stem='cifar')", flax_models.ResNet(10, cifar=True), "resnet18"
    ),
    "MobileNetV2": Network(
        8, 96, 1000, "mobilenet_v2", flax_models.MobileNetV2(1000, SETTING), "mobilenetv2_100"
    ),
    "ConvNeXt-T": Network(
        8, 96, 1000, "convnext_tiny(drop_path=0.0)", flax_models.ConvNeXt(1000), "convnext_tiny"
    ),
    "ResNeXt-50": Network(
        4,
        96,
        1000,
        "resnext50_32x4d",
        flax_models.ResNet(1000, (3, 4, 6, 3), expansion=4, groups=32, width=2),
        "resnext50_32x4d",
    ),
}


def jax_step(
    model: linen.Module, images: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], Any], float, int]:
    """A function that takes one step, the seconds that compiling it took, and the number of parameters."""
    x, y = jnp.asarray(images), jnp.asarray(labels)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    params, stats = variables["params"], variables.get("batch_stats", {})
    optimizer = optax.sgd(0.01, 0.9)

    def step(params: Any, stats: Any, opt_state: Any) -> tuple[Any, Any, Any, Any]:
        def loss_fn(params: Any) -> Any:
            logits, updated = model.apply(
                {"params": params, "batch_stats": stats},
                x,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1)},
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return losses.mean(), updated.get("batch_stats", {})

        (loss, new_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), new_stats, opt_state, loss

    state: list[Any] = [params, stats, optimizer.init(params)]
    begun = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=(0, 1, 2)).lower(*state).compile()
    seconds = time.perf_counter() - begun

    def run() -> None:
        *state[:], loss = compiled(*state)
        loss.block_until_ready()

    return run, seconds, sum(leaf.size for leaf in jax.tree.leaves(params))


def torch_step(
    timm: Any, network: Network, images: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], Any], int]:
    """A function that takes one step of timm's network, channels last, and the number of parameters."""
    import torch

    model = timm.create_model(network.timm, num_classes=network.classes)
    if "cifar" in network.ours:
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device, memory_format=torch.channels_last).train()
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device, memory_format=torch.channels_last)
    y = torch.from_numpy(labels).long().to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device

    return run, sum(p.numel() for p in model.parameters())


def measure(name: str, network: Network, timm: Any, rounds: int) -> dict[str, float]:
    """The figures of one row."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(network.batch, network.size, network.size, 3)).astype(np.float32)
    labels = rng.integers(0, network.classes, network.batch).astype(np.int32)
    ours = models.create(network.ours, num_classes=network.classes)
    sides: dict[str, Callable[[], Any]] = {}
    sides["jaxcnn"], ours_compile, size = jax_step(ours, images, labels)
    sides["flax"], flax_compile, flax_size = jax_step(network.flax, images, labels)
    assert flax_size == size, f"{name}: {size} parameters, {flax_size} in Flax"
    if timm is not None:
        sides["torch"], torch_size = torch_step(timm, network, images, labels)
        assert torch_size == size, f"{name}: {size} parameters, {torch_size} in timm"
    seconds = in_turns(sides, rounds)
    row = {f"{side}_ms": 1e3 * statistics.median(values) for side, values in seconds.items()}
    row |= {"jaxcnn_over_flax": ratio(seconds, "jaxcnn", "flax")}
    if timm is not None:
        row |= {f"{side}_over_torch": ratio(seconds, side, "torch") for side in ("jaxcnn", "flax")}
    return row | {"jaxcnn_compile_s": ours_compile, "flax_compile_s": flax_compile}


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    unknown = set(NETWORKS.value) - set(CASES)
    if unknown:
        raise app.UsageError(f"--networks: no {sorted(unknown)[0]!r}; known: {', '.join(CASES)}")
    timm = import_timm()
    rows = {}
    for name in NETWORKS.value or CASES:
        rows[name] = measure(name, CASES[name], timm, ROUNDS.value)
        print(f"{name:18}" + "  ".join(f"{key} {value:.2f}" for key, value in rows[name].items()), flush=True)
        gc.collect()
    means = {
        key: math.exp(statistics.fmean(math.log(row[key]) for row in rows.values()))
        for key in next(iter(rows.values()))
        if "_over_" in key
    }
    print("geometric mean    " + "  ".join(f"{key} {value:.2f}" for key, value in means.items()))
    if JSON.value:
        from jaxcnn.engine.run_folder import environment

        figures = {"rows": rows, "geometric_mean": means, "environment": environment(0)}
        Path(JSON.value).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
