"""What the experiments share, and what they claim to compare."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import paired, receptive_field
from jaxcnn import models
from jaxcnn.config import Config
from jaxcnn.engine import loop
from jaxcnn.errors import RunFailed

A, B = [0.91, 0.94, 0.92, 0.95, 0.9], [0.9, 0.92, 0.92, 0.93, 0.89]


def test_the_difference_is_that_of_the_paired_t_test():
    found = paired.compare("a", A, "b", B).difference
    expected = stats.ttest_rel(A, B).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], rtol=1e-9)
    assert found.mean == pytest.approx(np.mean(A) - np.mean(B))


def test_verdicts_follow_the_numbers():
    assert paired.compare("a", A, "b", B).verdict().startswith("a beats b by 1.20 points")
    assert paired.compare("b", B, "a", A).verdict().startswith("a beats b by 1.20 points")
    assert paired.compare("a", A, "b", A[::-1]).verdict().startswith("No difference between a and b is shown")


def test_pairing_shows_what_separate_intervals_hide():
    """Every seed gains a point, though seeds differ by ten."""
    base = np.array([0.5, 0.6, 0.7, 0.8])
    one = paired.compare("a", list(base + 0.01 + [0, 1e-3, 0, 1e-3]), "b", list(base))
    assert one.means[0].low < one.means[1].high
    assert one.verdict().startswith("a beats b")


CONDITIONS = {
    "small": Config(model="mlp(hidden=[4])", steps=3, batch_size=50),
    "fast": Config(model="mlp(hidden=[4])", steps=3, batch_size=50, learning_rate=0.3),
    "large": Config(model="mlp(hidden=[8])", steps=3, batch_size=50),
}


def test_conditions_are_run_with_the_same_seeds(tmp_path):
    found = paired.run(CONDITIONS, seeds=2, workdir=tmp_path / "lanes", lanes=4)
    for name in CONDITIONS:
        folders = sorted((tmp_path / "lanes" / name).iterdir())
        assert [folder.name for folder in folders] == ["seed0", "seed1"]
        for seed, folder in enumerate(folders):
            assert json.loads((folder / "result.json").read_text())["test_accuracy"] == found[name][seed]
            assert f"--seed={seed}\n" in (folder / "config.flags").read_text()
    alone = loop.run(replace(CONDITIONS["fast"], seed=1, workdir=str(tmp_path / "alone")))
    assert found["fast"][1] == pytest.approx(alone.test_accuracy, abs=2 / 359)
    assert paired.run(CONDITIONS, seeds=2, workdir=tmp_path / "lanes", lanes=1) == found  # nothing anew


def test_a_run_that_fails_is_named(tmp_path):
    wild = {"calm": CONDITIONS["small"], "wild": replace(CONDITIONS["small"], learning_rate=1e30)}
    with pytest.raises(RunFailed, match="wild, seed 0: the training loss is"):
        paired.run(wild, seeds=2, workdir=tmp_path, lanes=4)


def test_results_are_written_as_they_are(tmp_path):
    one = paired.compare("a", A, "b", B)
    path = tmp_path / "results" / "x"
    page = paired.write(path, "Title", "About.", {"d": {"a": A, "b": B}}, {"d": one}, {"epochs": 1})
    written = json.loads(path.with_suffix(".json").read_text())
    assert written["accuracies"] == {"d": {"a": A, "b": B}}
    assert written["comparisons"]["d"]["verdict"] == one.verdict()
    assert written["environment"]["packages"]["jax"] == jax.__version__
    assert f"**d**: {one.verdict()}" in page == path.with_suffix(".md").read_text()
    assert "| d | a | 92.40 ± 2.57% |" in page
    first = path.with_suffix(".svg").read_bytes()
    paired.figure(path.with_suffix(".svg"), {"d": {"a": A, "b": B}}, {"d": one})
    assert path.with_suffix(".svg").read_bytes() == first


def test_the_committed_verdicts_follow_from_the_committed_numbers():
    path = Path(receptive_field.__file__).parent / "results" / "receptive_field.json"
    written = json.loads(path.read_text())
    for dataset, found in written["comparisons"].items():
        ours, theirs = (written["accuracies"][dataset][found[name]] for name in ("first", "second"))
        assert len(ours) >= 5
        one = paired.compare(found["first"], ours, found["second"], theirs)
        assert found["verdict"] == one.verdict()
        assert one.verdict() in path.with_suffix(".md").read_text()


@pytest.mark.parametrize("dataset", sorted(receptive_field.DATASETS))
def test_the_two_networks_have_one_field_and_27_to_49_weights(dataset):
    jobs = receptive_field.conditions(dataset, epochs=1, channels=4)
    weights, fields, rest = {}, {}, {}
    for name, job in jobs.items():
        model = models.create(job.model, num_classes=3)
        x = jnp.zeros((1, 40, 40, 3))
        shapes = jax.eval_shape(model.init, jax.random.key(0), x)
        sizes = {
            module: sum(
                leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if "kernel" in str(path)
            )
            for module, tree in shapes["params"].items()
        }
        weights[name] = sum(size for module, size in sizes.items() if module.startswith("conv"))
        rest[name] = {module: size for module, size in sizes.items() if not module.startswith("conv")}
        variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
        last = f"conv{len(receptive_field.KERNELS[name])}"
        fields[name] = field(model, variables, x, last)
        assert replace(job, model="x") == replace(jobs[receptive_field.STACK], model="x")
    assert weights == {receptive_field.STACK: 27 * 16, receptive_field.SINGLE: 49 * 16}
    assert rest[receptive_field.STACK] == rest[receptive_field.SINGLE]
    assert fields[receptive_field.STACK] == fields[receptive_field.SINGLE] > 6


def field(model, variables, x, layer):
    """Rows of the input that the gradient of a centre output of a layer reaches."""

    def centre(x):
        _, found = model.apply(variables, x, capture_intermediates=lambda m, _: m.name == layer)
        y = jax.tree.leaves(found["intermediates"])[0]
        return y[0, y.shape[1] // 2, y.shape[2] // 2].sum()

    reached = np.abs(jax.grad(centre)(x + 1.0)).sum(axis=(0, 2, 3)) > 0
    return int(reached.sum())


@pytest.mark.slow
def test_the_benchmark_of_networks_times_training_and_inference(tmp_path):
    """In a process of its own, as benchmarks share the names of flags."""
    words = ["--networks=ShuffleNetV2", "--rounds=1", "--batch=2", "--size=32", "--peak_tflops=1"]
    path = tmp_path / "models.json"
    command = [sys.executable, "-m", "experiments.benchmarks.models", *words, f"--json={path}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    row = json.loads(path.read_text())["rows"]["ShuffleNetV2"]
    assert [line.split()[:2] for line in said.splitlines()[1:3]] == [
        ["ShuffleNetV2", "train"],
        ["ShuffleNetV2", "inference"],
    ]
    for kind, passes in (("train", 3), ("inference", 1)):
        found = row[kind]
        assert found["parameters"] == 2_278_604  # as published
        assert found["jaxcnn_compile_s"] > 0
        operations, seconds = 2 * passes * found["gmacs"] * 1e9, found["jaxcnn_ms"] / 1e3
        assert found["mfu"] == pytest.approx(operations / seconds / 1e12)
