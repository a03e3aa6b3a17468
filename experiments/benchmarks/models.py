"""Training steps and inference of whole networks, in turns: jaxcnn, timm or torchvision, and plain Flax.

    python -m experiments.benchmarks.models --json=experiments/results/models_cpu.json
    python -m experiments.benchmarks.models --networks=ResNet-50,ConvNeXt-T,EfficientNet-B0,MobileNetV3-L \
        --batch=128 --size=224 --dtype=bfloat16 --torch_compile --peak_tflops=989 --json=…

A step is forward, backward and SGD with momentum, inference the logits in evaluation, both on one fixed batch
that all sides share; they hold the same network with the same number of parameters. The table gives medians
over rounds of each side's time over torch's, what compiling took and, where the peak of the processor is
told, the share of it that multiply-accumulates make (MFU; a training step counts three forward passes).
"""

import gc
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from experiments.benchmarks import flax_models
from experiments.benchmarks.model_sides import Side, jax_side, torch_side
from experiments.benchmarks.timing import in_turns, ratio
from experiments.benchmarks.torch_models import import_timm, import_torchvision
from jaxcnn import models
from jaxcnn.analysis import trace
from jaxcnn.models.mobilenet import SETTING

KINDS = ("train", "inference")
PAUSE = 0.02  # seconds, in which the threads of the side before stop spinning

NETWORKS = flags.DEFINE_list("networks", [], "names from the table; empty: all")
KIND = flags.DEFINE_list("kinds", list(KINDS), "what to measure of each")
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each network", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 0, "images in a batch; 0: as in the table", lower_bound=0)
SIZE = flags.DEFINE_integer("size", 0, "pixels of an image on each axis; 0: as in the table", lower_bound=0)
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "what to compute in")
COMPILE = flags.DEFINE_boolean("torch_compile", False, "compile torch's side by torch.compile")
PEAK = flags.DEFINE_float("peak_tflops", 0.0, "the processor's, for the MFU; 0: not told", lower_bound=0.0)
JSON = flags.DEFINE_string("json", "", "where to write the figures; empty: nowhere")


class Network(NamedTuple):
    """One network, in several libraries.

    Attributes:
      batch, size: of the images.
      classes: logits.
      ours: call string.
      theirs: ``timm`` or ``torchvision``, and the name there; empty: in neither.
      options: for that name.
      flax: the same in plain Flax, where it is written.
    """

    batch: int
    size: int
    classes: int
    ours: str
    theirs: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    flax: linen.Module | None = None


CASES = {
    "ResNet-18 (CIFAR)": Network(
        32,
        32,
        10,
        "resnet18(stem='cifar')",
        ("timm", "resnet18"),
        flax=flax_models.ResNet(10, cifar=True),
    ),
    "ResNet-50": Network(8, 96, 1000, "resnet50", ("timm", "resnet50")),
    "ResNeXt-50": Network(
        4,
        96,
        1000,
        "resnext50_32x4d",
        ("timm", "resnext50_32x4d"),
        flax=flax_models.ResNet(1000, (3, 4, 6, 3), expansion=4, groups=32, width=2),
    ),
    "DenseNet-121": Network(8, 96, 1000, "densenet121", ("torchvision", "densenet121")),
    "VGG-11-BN": Network(4, 96, 1000, "vgg11_bn", ("torchvision", "vgg11_bn")),
    "MobileNetV2": Network(
        8,
        96,
        1000,
        "mobilenet_v2",
        ("timm", "mobilenetv2_100"),
        {"drop_rate": 0.2},
        flax_models.MobileNetV2(1000, SETTING),
    ),
    "MobileNetV3-L": Network(
        8, 96, 1000, "mobilenet_v3_large", ("timm", "mobilenetv3_large_100"), {"drop_rate": 0.2}
    ),
    "ShuffleNetV2": Network(8, 96, 1000, "shufflenet_v2_x1_0", ("torchvision", "shufflenet_v2_x1_0")),
    "EfficientNet-B0": Network(
        8, 96, 1000, "efficientnet_b0(drop_path=0.0)", ("timm", "efficientnet_b0"), {"drop_rate": 0.2}
    ),
    "ConvNeXt-T": Network(
        8,
        96,
        1000,
        "convnext_tiny(drop_path=0.0)",
        ("timm", "convnext_tiny"),
        flax=flax_models.ConvNeXt(1000),
    ),
}

TABLE = (
    f"{'network':20} {'':9}  {'jaxcnn':>9}  {'torch':>9}  {'ratio':>6}  {'flax':>6}  {'compiling':>9}  MFU"
)


def theirs_of(network: Network) -> Any:
    """The network in torch, or None where it, or the library, is not there."""
    if not network.theirs:
        return None
    library, name = network.theirs
    if library == "timm":
        timm = import_timm()
        model = timm and timm.create_model(name, num_classes=network.classes, **network.options)
    else:
        torchvision = import_torchvision()
        model = torchvision and getattr(torchvision.models, name)(
            num_classes=network.classes, **network.options
        )
    if model is not None and "cifar" in network.ours:
        import torch

        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def measure(name: str, network: Network, kind: str, rounds: int) -> dict[str, float]:
    """The figures of one row: milliseconds, ratios, seconds of compiling, multiply-accumulates (10⁹)."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(network.batch, network.size, network.size, 3)).astype(np.float32)
    labels = rng.integers(0, network.classes, network.batch).astype(np.int32)
    half = DTYPE.value == "bfloat16"
    ours = models.create(
        network.ours, num_classes=network.classes, **({"dtype": jnp.bfloat16} if half else {})
    )
    sides: dict[str, Side] = {"jaxcnn": jax_side(ours, kind, images, labels)}
    if network.flax is not None and not half:
        sides["flax"] = jax_side(network.flax, kind, images, labels)
    if (model := theirs_of(network)) is not None:
        sides["torch"] = torch_side(model, kind, images, labels, half=half, compiled=COMPILE.value)
    sizes = {side: each.parameters for side, each in sides.items()}
    assert len(set(sizes.values())) == 1, f"{name}: parameters differ: {sizes}"
    seconds = in_turns({side: each.run for side, each in sides.items()}, rounds, pause=PAUSE)
    row = {f"{side}_ms": 1e3 * statistics.median(values) for side, values in seconds.items()}
    if "torch" in sides:
        row |= {f"{side}_over_torch": ratio(seconds, side, "torch") for side in sides if side != "torch"}
    if "flax" in sides:
        row["jaxcnn_over_flax"] = ratio(seconds, "jaxcnn", "flax")
    row |= {f"{side}_compile_s": each.compile_s for side, each in sides.items()}
    return row | {"parameters": sizes["jaxcnn"], "gmacs": forward_macs(ours, images.shape) / 1e9}


def forward_macs(model: linen.Module, shape: tuple[int, ...]) -> float:
    """Multiply-accumulates of logits for a batch; NaN where some are not known."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    macs = trace(model.apply, jax.eval_shape(model.init, jax.random.key(0), x), x).macs
    return math.nan if macs is None else macs


def mfu(row: Mapping[str, float], kind: str, peak_tflops: float) -> float:
    """The share of a processor's peak that the multiply-accumulates of a row make."""
    passes = 3 if kind == "train" else 1
    return 2 * passes * row["gmacs"] / row["jaxcnn_ms"] / peak_tflops


def line(name: str, kind: str, row: Mapping[str, float]) -> str:
    """A row of the table, blank where nothing was measured."""

    def cell(key: str, form: str, width: int) -> str:
        return f"{row[key]:{form}}".rjust(width) if key in row else " " * width

    cells = [
        cell("jaxcnn_ms", ".1f", 6) + " ms",
        cell("torch_ms", ".1f", 6) + (" ms" if "torch_ms" in row else "   "),
        cell("jaxcnn_over_torch", ".2f", 6),
        cell("flax_over_torch", ".2f", 6),
        cell("jaxcnn_compile_s", ".1f", 7) + " s",
        f"{row['mfu']:.0%}" if "mfu" in row else "",
    ]
    return f"{name:20} {kind:9}  " + "  ".join(cells)


def main(words: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if len(words) > 1:
        raise app.UsageError(f"unexpected {words[1]!r}")
    for flag, given, known in (("networks", NETWORKS.value, CASES), ("kinds", KIND.value, KINDS)):
        if unknown := [word for word in given if word not in known]:
            raise app.UsageError(f"--{flag}: no {unknown[0]!r}; known: {', '.join(known)}")
    rows: Rows = {}
    print(TABLE)
    for name in NETWORKS.value or CASES:
        case = CASES[name]
        case = case._replace(batch=BATCH.value or case.batch, size=SIZE.value or case.size)
        for kind in KIND.value:
            row = measure(name, case, kind, ROUNDS.value)
            if PEAK.value:
                row["mfu"] = mfu(row, kind, PEAK.value)
            rows.setdefault(name, {"batch": case.batch, "size": case.size})[kind] = row  # type: ignore[dict-item]
            print(line(name, kind, row), flush=True)
            write(rows)
            gc.collect()
    for kind, mean in geometric_means(rows).items():
        print(f"geometric mean of jaxcnn / torch, {kind}: {mean:.2f}")


Rows = dict[str, dict[str, dict[str, float]]]


def geometric_means(rows: Rows) -> dict[str, float]:
    """Of jaxcnn / torch, for each kind."""
    means = {}
    for kind in KIND.value:
        ratios = [row[kind]["jaxcnn_over_torch"] for row in rows.values() if "torch_ms" in row.get(kind, {})]
        if ratios:
            means[kind] = statistics.geometric_mean(ratios)
    return means


def write(rows: Rows) -> None:
    """What was measured so far, where ``--json`` says."""
    if not JSON.value:
        return
    from jaxcnn.engine.run_folder import environment

    settings = {"dtype": DTYPE.value, "torch_compile": COMPILE.value, "rounds": ROUNDS.value}
    figures = {
        "rows": rows,
        "geometric_mean": geometric_means(rows),
        **settings,
        "environment": environment(0),
    }
    Path(JSON.value).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
