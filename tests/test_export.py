"""The export command: what it writes is read where there is no jaxcnn."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxcnn import export as export_command
from jaxcnn.errors import UserError

ROOT = Path(__file__).parent.parent

# Runs in a folder and with a path that hold no jaxcnn.
CALL_PROGRAM = """
import importlib.abc, sys, jax, numpy as np
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("jaxcnn", "flax"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Without())
program, images, out = sys.argv[1:]
called = jax.export.deserialize(bytearray(open(program, "rb").read()))
images = np.load(images)
logits = np.concatenate([called.call(images[:1]), called.call(images[1:])])
assert not {"jaxcnn", "flax"} & set(sys.modules)
np.save(out, logits)
"""


def command(module, *words, **options):
    return subprocess.run(
        [sys.executable, *module, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ},
        **options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "trained"
    words = ["--model=resnet(stages=[1, 1], num_filters=4)", "--steps=4", "--ema_decay=0.5"]
    done = command(
        ["-m", "jaxcnn.train"], *words, f"--workdir={folder}", f"--data_dir={tmp_path_factory.mktemp('data')}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def export(run, *words):
    return command(["-m", "jaxcnn.export"], *([run] if run else []), *words, cwd=ROOT)


@pytest.mark.slow
def test_programs_and_weights_give_the_same_logits_elsewhere(run, tmp_path):
    from jaxcnn import models
    from jaxcnn.engine.job import TrainedRun

    trained = TrainedRun(run)
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1), np.uint8)
    inputs = np.asarray(trained.job.standardize(images))
    expected = np.asarray(trained.model.apply(trained.variables, inputs))

    program = tmp_path / "m.stablehlo"
    done = export(run, "--format=stablehlo", f"--out={program}")
    assert (done.returncode, done.stdout) == (0, f"{program}\n"), done.stderr
    np.save(tmp_path / "images.npy", images)
    done = command(["-c", CALL_PROGRAM], program, tmp_path / "images.npy", tmp_path / "out.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=1e-5)

    assert export(run, "--format=safetensors").returncode == 0
    text = trained.config.model
    again = models.load_torch(trained.variables, run / "model.safetensors", text)
    np.testing.assert_array_equal(models.create(text, num_classes=10).apply(again, inputs), expected)


@pytest.mark.slow
def test_torch_computes_with_the_weights(run, tmp_path):
    from jaxcnn.engine.job import TrainedRun
    from tests.models.torch_parity import library

    tv = library("torchvision")
    import torch
    from safetensors.torch import load_file

    done = export(run, "--format=safetensors", "--layout=torchvision", f"--out={tmp_path / 'w.safetensors'}")
    assert done.returncode == 0, done.stderr
    state = load_file(tmp_path / "w.safetensors")
    assert state["fc.weight"].shape == (10, 8)
    trained = TrainedRun(run)
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1), np.uint8)
    inputs = np.asarray(trained.job.standardize(images))
    x = torch.tensor(inputs).movedim(-1, 1)
    y = torch.nn.functional.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    norm = [state[f"bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    y = torch.nn.functional.max_pool2d(torch.relu(torch.nn.functional.batch_norm(y, *norm)), 3, 2, 1)
    for stage, (channels, features, stride) in enumerate([(4, 4, 1), (4, 8, 2)], start=1):
        down = torch.nn.Sequential(
            torch.nn.Conv2d(channels, features, 1, stride, bias=False), torch.nn.BatchNorm2d(features)
        )
        block = tv.resnet.BasicBlock(channels, features, stride, down if stride > 1 else None).eval()
        start = f"layer{stage}.0."
        block.load_state_dict({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
        y = block(y)
    logits = y.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    expected = trained.model.apply(trained.variables, inputs)
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("format", export_command.FORMATS)
def test_a_place_that_cannot_be_written(monkeypatch, format):
    """With the chosen flags parsed, and any network for a trained one."""
    from jaxcnn import models
    from jaxcnn.engine import job

    model = models.create("mlp", num_classes=10)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32), train=False)
    monkeypatch.setattr(job, "TrainedRun", lambda path: SimpleNamespace(variables=variables, model=model))
    monkeypatch.setattr(export_command, "program", lambda run: b"program")
    chosen = SimpleNamespace(format=format, layout="jaxcnn", out="/proc/x.safetensors")
    monkeypatch.setattr(export_command, "flags", SimpleNamespace(FLAGS=chosen))
    with pytest.raises(
        UserError, match=r"^--out=/proc/x\.safetensors cannot be written \(.*\); name another"
    ):
        export_command.main(["."])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected one run folder and got 0"),
        (["runs/none", "--format=stablehlo"], "runs/none is no folder"),
        ([".", "--format=onnx"], "--format=onnx: no such format; known: safetensors, stablehlo"),
        ([".", "--format=safetensors", "--layout=tim"], "--layout=tim: no such layout; did you mean timm?"),
        ([".", "--format=stablehlo", "--layout=timm"], "only --format=safetensors has a layout"),
        ([".", "--format=stablehlo", "--out=nowhere/x"], "there is no folder nowhere"),
        (
            [".", "--format=stablehlo", "--out=tests"],
            "--out=tests is a folder; name a file, e.g. tests/model.st",
        ),
        (
            [".", "--format=safetensors", "--out=w.bin"],
            "--out=w.bin: expected a name that ends in .safetensors",
        ),
        ([".", "--format=stablehlo"], ". is no run folder"),
    ],
)
def test_mistakes_are_one_line(words, said):
    done = export(None, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
