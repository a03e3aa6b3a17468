"""The training command, as a person uses it: real processes, real data, real folders."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import AS_FOR_ANYONE
from tests.ops import needs_onednn

ROOT = Path(__file__).parent.parent
JOB = [
    "--model=resnet8(num_filters=4, drop_path=0.1)",
    "--batch_size=50",
    "--augment=shift(1)",
    "--ema_decay=0.9",
    "--label_smoothing=0.1",
    "--steps=24",
    "--eval_every=0.25",
    "--save_every=0.2",
    "--log_every=3",
]

# A training process that meets a signal right after it has dispatched a given step.
INTERRUPTED_AT = """
import os, sys
from jaxcnn.engine import progress
update = progress.TrainingProgress.update
def update_then_signal(self, step):
    update(self, step)
    if step == {step}:
        os.kill(os.getpid(), {signal})
progress.TrainingProgress.update = update_then_signal
sys.argv = ["train", *sys.argv[1:]]
from jaxcnn import cli, config, train
config.define_flags()
cli.run(train.main, lambda: train.USAGE)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def train(data_dir):
    """Runs the command, without oneDNN unless told: what it compiles is then compiled once for all tests."""

    def run(*words, code=None, check=True, **environment):
        start = ["-c", code] if code else ["-m", "jaxcnn.train"]
        done = subprocess.run(
            [sys.executable, *start, f"--data_dir={data_dir}", *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "JAXCNN_ONEDNN": "0", **environment},
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train(*JOB, f"--workdir={folder}")


def final_state(folder):
    """Every array of the last checkpoint, read without the package."""
    import orbax.checkpoint as ocp

    last = max((p for p in (folder / "checkpoints").iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    with ocp.StandardCheckpointer() as reader:
        return reader.restore(last / "state")


def assert_same_bytes(a, b):
    found, expected = jax.tree_util.tree_leaves_with_path(a), jax.tree_util.tree_leaves_with_path(b)
    assert [path for path, _ in found] == [path for path, _ in expected]
    names = {jax.tree_util.keystr(path).split("'")[1] for path, _ in found}
    assert names == {"step", "params", "batch_stats", "opt_state", "ema"}
    for (path, x), (_, y) in zip(found, expected, strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), jax.tree_util.keystr(path)


def test_a_run_leaves_everything_it_promises(whole):
    folder, done = whole
    promised = "config.flags metrics.jsonl tensorboard checkpoints environment.json result.json report.html"
    assert {p.name for p in folder.iterdir()} >= set(promised.split())
    result = json.loads((folder / "result.json").read_text())
    assert result["test_count"] > 100
    assert result["test_accuracy"] == pytest.approx(result["test_correct"] / result["test_count"])
    assert f"{result['test_accuracy']:.2%}" in done.stdout
    assert str(folder / "report.html") in done.stdout
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [0, *(row["step"] for row in rows if row["split"] == "train")]
    assert max(np.diff(logged)) <= 3
    assert logged[-1] == 24
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert "images/s" in done.stdout
    assert "left" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, 12])
def test_ctrl_c_saves_and_the_resumed_run_ends_with_the_same_bytes(whole, train, tmp_path, step):
    assert_resumed_after_ctrl_c(whole, train, tmp_path / "run", step)


@needs_onednn
@pytest.mark.slow
def test_steps_of_onednn_are_resumed_to_the_same_bytes_too(train, tmp_path):
    def train_here(*words, **options):
        return train(*words, JAXCNN_ONEDNN="1", **AS_FOR_ANYONE, **options)

    folder = tmp_path / "whole"
    whole = folder, train_here(*JOB, f"--workdir={folder}")
    assert_resumed_after_ctrl_c(whole, train_here, tmp_path / "run", step=7)


def assert_resumed_after_ctrl_c(whole, train, folder, step):
    stopped = train(
        *JOB,
        f"--workdir={folder}",
        code=INTERRUPTED_AT.format(step=step, signal=int(signal.SIGINT)),
        check=False,
    )
    assert stopped.returncode == 130, stopped.stderr
    assert f"saved at step {step}; resume with: " in stopped.stdout
    assert "Traceback" not in stopped.stderr
    command = stopped.stdout.partition("resume with: ")[2].splitlines()[0]
    resumed = train(*shlex.split(command)[3:])
    assert f"resuming {folder} at step {step} of 24" in resumed.stdout
    assert_same_bytes(final_state(folder), final_state(whole[0]))
    assert (folder / "result.json").read_text() == (whole[0] / "result.json").read_text()


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_bytes(whole, train, tmp_path):
    folder = tmp_path / "run"
    code = INTERRUPTED_AT.format(step=17, signal=int(signal.SIGKILL))
    assert train(*JOB, f"--workdir={folder}", code=code, check=False).returncode == -signal.SIGKILL
    resumed = train(*JOB, f"--workdir={folder}")
    assert "resuming" in resumed.stdout
    assert_same_bytes(final_state(folder), final_state(whole[0]))
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_sigterm_saves_too(train, tmp_path):
    code = INTERRUPTED_AT.format(step=5, signal=int(signal.SIGTERM))
    assert train(*JOB, f"--workdir={tmp_path / 'run'}", code=code, check=False).returncode == 143


def test_a_finished_run_says_so_and_does_nothing(whole, train):
    folder, _ = whole
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    done = train(*JOB, f"--workdir={folder}")
    assert "was finished already" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_its_config_runs_the_same_job_again(whole, train, tmp_path):
    folder, _ = whole
    train(f"--flagfile={folder / 'config.flags'}", f"--workdir={tmp_path / 'again'}")
    assert_same_bytes(final_state(tmp_path / "again"), final_state(folder))


@pytest.mark.slow
def test_both_feeds_train_the_same_bytes(whole, train, tmp_path):
    train(*JOB, "--feed=streaming", f"--workdir={tmp_path / 'run'}")
    assert_same_bytes(final_state(tmp_path / "run"), final_state(whole[0]))


@pytest.mark.slow
def test_two_devices_train_as_one(train, tmp_path):
    """To rounding, which many steps would magnify."""
    job = [*JOB, "--steps=3"]
    for devices in (1, 2):
        flag = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
        train(*job, f"--workdir={tmp_path / str(devices)}", XLA_FLAGS=flag)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-4),
        final_state(tmp_path / "1")["params"],
        final_state(tmp_path / "2")["params"],
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--leraning_rate=0.1"], "leraning_rate"),
        (["--flagfile=no/such.flags"], "no/such.flags"),
        (["--flagfile=experiments/digits_sweep.flags"], "'search'; it is one of python -m jaxcnn.sweep; see"),
        (["--batch_size=0"], "--batch_size=0: expected above 0"),
        (["--batch_size=many"], "batch_size"),
        (["--epochs=-1"], "--epochs=-1.0: expected above 0"),
        (["--model=resnet2O"], "resnet20"),
        (["--model=resnet8(num_filter=3)"], "num_filters"),
        (["--model=resnet8("], "is not a call string"),
        (["--dataset=digts"], "digits"),
        (["--optimizer=sdg"], "did you mean sgd?"),
        (["--schedule=cosin"], "did you mean cosine?"),
        (["--augment=shfit(1)"], "shift"),
        (["digits"], "unexpected 'digits'"),
        (["--workdir=README.md"], "README.md is in the way"),
        (["--workdir=tests"], "no run folder and not empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_mistakes_are_answered_in_one_line(train, words, expected, tmp_path):
    if not any(word.startswith("--workdir") for word in words):
        words = [*words, f"--workdir={tmp_path / 'run'}"]
    done = train(*words, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert expected in done.stderr
    assert not (tmp_path / "run").exists()


def test_changed_flags_are_refused_naming_old_and_new(whole, train):
    done = train(*JOB, "--learning_rate=0.2", "--seed=4", f"--workdir={whole[0]}", check=False)
    assert done.returncode == 2
    assert "--seed: 0 -> 4" in done.stderr
    assert "--learning_rate: 0.1 -> 0.2" in done.stderr


def test_a_loss_that_is_not_finite_ends_the_run(train, tmp_path):
    done = train(*JOB, "--learning_rate=1e30", "--clip_norm=0", f"--workdir={tmp_path / 'run'}", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lower --learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
