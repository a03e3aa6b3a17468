"""Training that begins with trained weights."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import models
from jaxcnn.config import Config
from jaxcnn.engine import finetune
from jaxcnn.engine.job import Job
from jaxcnn.errors import UserError

ROOT = Path(__file__).parent.parent.parent
KEY = jax.random.key(0)
MODEL = "resnet8(num_filters=4)"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a network for other classes than those of the digits."""
    model = models.create(MODEL, num_classes=7)
    shapes = jax.eval_shape(model.init, KEY, jnp.ones((1, 8, 8, 1)))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32), shapes)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    models.save_torch(variables, path, model, layout="jaxcnn")
    return path, variables


def leaves(tree):
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in found}


def config(data_dir, **options):
    return Config(model=MODEL, data_dir=str(data_dir), batch_size=32, learning_rate=0.1, **options)


def test_a_run_starts_from_the_file_and_steps_on_what_is_not_frozen(data_dir, weights):
    path, variables = weights
    job = Job(config(data_dir, init_from=str(path), freeze="stem,stage1", ema_decay=0.5, weight_decay=0.1))
    start = job.init_state()
    assert finetune.said("w", job.trained) == "starts from w, with a new head/dense for other classes"
    given, begun = leaves(variables["params"]), leaves(start.params)
    assert {name for name in begun if not np.array_equal(begun[name], given[name])} == {
        "head/dense/kernel",
        "head/dense/bias",
    }
    assert jax.tree.all(jax.tree.map(np.array_equal, start.ema["params"], start.params))

    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 255, (32, 8, 8, 1), np.uint8), "label": np.arange(32) % 10}
    step = jax.jit(job.train_step)
    after, _ = step(job.values, start, batch)
    for tree in ("params", "batch_stats"):
        old, new = leaves(getattr(start, tree)), leaves(getattr(after, tree))
        for name in old:
            frozen = name.startswith(("stem", "stage1"))
            assert np.array_equal(old[name], new[name]) == frozen, name


def test_weights_for_colours_serve_images_of_one_channel(data_dir, tmp_path):
    """A grey image is answered as its copy in red, green and blue was, up to the new head."""
    model = models.create(MODEL, num_classes=7)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8, 8, 1)).astype(np.float32)
    coloured = np.repeat(x, 3, -1)
    shapes = jax.eval_shape(model.init, KEY, coloured)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32), shapes)
    models.save_torch(variables, path := tmp_path / "rgb.safetensors", model, layout="jaxcnn")
    job = Job(config(data_dir, init_from=str(path)))
    assert finetune.said("w", job.trained, job.summed) == (
        "starts from w, with stem/conv/kernel summed over red, green and blue, with a new head/dense for "
        "other classes"
    )
    grey = jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, jax.Array) else np.zeros(leaf.shape, leaf.dtype), job.trained
    )
    _, found = job.model.apply(grey, x, intermediates="stage3_block1")
    _, expected = model.apply(variables, coloured, intermediates="stage3_block1")
    np.testing.assert_allclose(found["stage3_block1"], expected["stage3_block1"], rtol=1e-4)


def test_frozen_modules_compute_as_in_evaluation():
    model = models.create("resnet8(num_filters=4)", num_classes=3)
    x = jax.random.normal(KEY, (2, 8, 8, 1))
    variables = jax.eval_shape(model.init, KEY, x)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32), variables)

    def train(freeze):
        with finetune.evaluating(freeze):
            return model.apply(variables, x, train=True, mutable=["batch_stats"], rngs={"dropout": KEY})

    logits, state = train(["stem", "stage*", "head"])
    np.testing.assert_array_equal(logits, model.apply(variables, x))
    assert jax.tree.all(jax.tree.map(np.array_equal, state["batch_stats"], variables["batch_stats"]))
    assert not np.allclose(train([])[0], logits)


@pytest.mark.parametrize("call", ["sgd", "adamw"])
def test_updates_fall_from_layer_to_layer(call):
    from jaxcnn.engine import optim

    params = {"stem": jnp.ones(3), "stem_norm": jnp.ones(3), "body": jnp.ones((2, 2)), "head": jnp.ones(3)}
    plain = optim.make_optimizer(call, optax.constant_schedule(1.0), learning_rate=0.1, weight_decay=0.01)
    decayed = finetune.decaying(plain, ("stem", "body", "head"), 0.5)
    gradients = jax.tree.map(lambda leaf: 0.3 * leaf, params)
    expected, _ = plain.update(gradients, plain.init(params), params)
    found, _ = decayed.update(gradients, decayed.init(params), params)
    rates = {"stem": 0.25, "stem_norm": 0.25, "body": 0.5, "head": 1.0}
    for name, rate in rates.items():
        np.testing.assert_allclose(found[name], rate * expected[name], rtol=1e-6)
    with pytest.raises(UserError, match=r"--layer_decay=0.5: body is no layer"):
        finetune.decaying(plain, ("stem", "head"), 0.5).update(gradients, decayed.init(params), params)


def test_what_is_frozen_does_not_count_in_the_norm_of_the_gradient():
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    params = {"stem": jnp.zeros(1), "head": jnp.zeros(1)}
    frozen = finetune.freezing(optimizer, ["stem"])
    updates, _ = frozen.update(
        {"stem": jnp.array([1e3]), "head": jnp.array([1.0])}, frozen.init(params), params
    )
    np.testing.assert_array_equal(updates["stem"], 0.0)
    np.testing.assert_allclose(updates["head"], -1.0, rtol=1e-6)


def test_layers_are_in_the_order_of_their_calls():
    model = models.create("convnext(stages=[1, 2], num_filters=[4, 8])", num_classes=3)
    assert finetune.layers(model, (32, 32, 3)) == (
        "stem",
        "stage1_block1",
        "down1",
        "stage2_block1",
        "stage2_block2",
        "head",
    )


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("stem,stag1", "--freeze=stem,stag1: stag1 is no part of the network; did you mean stage"),
        (
            "nopart",
            "known: head, stage1_block1, stage2_block1, stage3_block1, stem",
        ),
        ("stem,stage?,head", "nothing is left to learn"),
    ],
)
def test_names_that_mean_nothing_or_everything_are_refused(data_dir, freeze, said):
    with pytest.raises(UserError) as error:
        Job(config(data_dir, freeze=freeze))
    assert said in str(error.value)


def train(data_dir, *words, check=True):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxcnn.train",
            f"--data_dir={data_dir}",
            f"--model={MODEL}",
            "--steps=6",
            *words,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ},
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_a_run_starts_from_a_run_and_resumes_without_it_to_the_last_bit(data_dir, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(data_dir, f"--workdir={first}")
    options = ["--freeze=stem", "--layer_decay=0.5", "--save_every=0.13", "--batch_size=64"]
    options += [f"--workdir={second}", f"--init_from={first}"]
    wider = train(data_dir, *options, "--model=resnet8(num_filters=8)", check=False).stderr
    assert wider.startswith(f"error: {first} does not fit CifarResNet: ")
    assert f"starts from {first}\n" in train(data_dir, *options).stdout
    result = (second / "result.json").read_text()
    shutil.rmtree(second / "checkpoints" / "6")
    (second / "result.json").unlink()
    first.rename(tmp_path / "gone")
    assert f"resuming {second} at step 3 of 6" in train(data_dir, *options).stdout
    assert (second / "result.json").read_text() == result


@pytest.mark.slow
def test_weights_that_do_not_fit_leave_no_folder(data_dir, weights, tmp_path):
    folder = tmp_path / "run"
    words = [f"--workdir={folder}", f"--init_from={weights[0]}", "--model=resnet8(num_filters=8)"]
    done = train(data_dir, *words, check=False)
    assert done.returncode == 2
    assert "misshapen params/stage1_block1/conv1/conv/kernel: (3, 3, 4, 4) there" in done.stderr
    assert not folder.exists()


def test_the_flags_are_part_of_the_course():
    from jaxcnn.config import course_changes

    old = Config()
    for name, value in (("init_from", "a"), ("freeze", "stem"), ("layer_decay", 0.5)):
        assert course_changes(old, dataclasses.replace(old, **{name: value}))
    with pytest.raises(UserError, match=r"--layer_decay=0: expected above 0 and at most 1"):
        Config(layer_decay=0)
