"""launch.sh: one door, and one clear line when it cannot open."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def copy(tmp_path):
    """The script alone, in a folder with a space in its name and nothing set up."""
    folder = tmp_path / "a b"
    folder.mkdir()
    for name in ("launch.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def launch(folder, *words, **environment):
    return subprocess.run(
        [str(folder / "launch.sh"), *words],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "JAXCNN_ACCELERATOR": "cpu", "JAXCNN_EXTRAS": "", **environment},
    )


def fake(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def error_line(run):
    assert run.returncode == 2
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error:")]
    return line


def test_help_names_every_command():
    run = launch(ROOT, "help")
    assert run.returncode == 0
    for word in (
        "train",
        "sweep",
        "describe",
        "export",
        "report",
        "test",
        "setup",
        "PYTHON=",
        "JAXCNN_ACCELERATOR",
    ):
        assert word in run.stdout


def test_an_unknown_command(copy):
    assert error_line(launch(copy, "trian")).startswith("error: no such command: trian; did you mean train?")
    assert "./launch.sh help lists them" in error_line(launch(copy, "zzz", PYTHON="no-such-python"))


def test_a_flag_without_a_command(copy):
    assert error_line(launch(copy, "--steps=3")).endswith(" ./launch.sh train --steps=3")


def test_a_missing_python(copy):
    assert "no-such-python was not found" in error_line(launch(copy, "setup", PYTHON="no-such-python"))


def test_a_python_that_is_none(copy):
    run = launch(copy, "setup", PYTHON="/bin/ls")
    assert run.stderr == "error: /bin/ls does not run: set PYTHON= to a Python 3.11 or newer\n"


def test_a_python_that_is_too_old(copy, tmp_path):
    old = fake(tmp_path / "old", 'case "$2" in *print*) echo 3.9.1;; *exit*) exit 1;; esac')
    line = error_line(launch(copy, "setup", PYTHON=str(old)))
    assert "is Python 3.9.1: 3.11 or newer is needed" in line


def test_no_venv_module(copy, tmp_path):
    bare = fake(tmp_path / "bare", 'case "$2" in *print*) echo 3.12.0;; *ensurepip*) exit 1;; esac')
    assert "has no venv module" in error_line(launch(copy, "setup", PYTHON=str(bare)))


def test_a_wrong_accelerator(copy):
    run = launch(copy, "setup", JAXCNN_ACCELERATOR="cuda")
    assert "JAXCNN_ACCELERATOR=cuda: expected cpu, cuda13 or tpu" in error_line(run)


@pytest.fixture
def recorded(copy, tmp_path):
    """A python whose venvs hold a fake python that writes down what pip and the module were asked."""
    log = tmp_path / "log"
    inner = tmp_path / "inner"
    fake(inner, f'echo "$@" >> {log}; case "$3" in install) exit "${{PIP_FAILS:-0}}";; esac')
    outer = fake(
        tmp_path / "python",
        'case "$2" in *print*) echo 3.12.0;; esac\n'
        f'if [ "$2" = venv ]; then rm -rf "$4" && mkdir -p "$4/bin" && cp {inner} "$4/bin/python"; fi',
    )
    return copy, outer, lambda: log.read_text().splitlines() if log.exists() else []


def test_it_sets_up_once_and_passes_the_words_on(recorded):
    folder, python, log = recorded
    for _ in range(2):
        assert launch(folder, "train", "--seed=1", "--workdir=x y", PYTHON=str(python)).returncode == 0
    lines = log()
    assert len(lines) == 3
    assert "pip install" in lines[0]
    assert "-c constraints.txt -e .[report]" in lines[0]
    assert lines[1] == lines[2] == "-m jaxcnn.train --seed=1 --workdir=x y"


@pytest.mark.parametrize(
    ("environment", "extras"),
    [
        ({"JAXCNN_ACCELERATOR": "cuda13"}, "report,cuda13"),
        ({"JAXCNN_ACCELERATOR": "tpu"}, "report,tpu"),
        ({"JAXCNN_EXTRAS": "parity"}, "report,parity"),
    ],
)
def test_extras(recorded, environment, extras):
    folder, python, log = recorded
    launch(folder, "setup", PYTHON=str(python), **environment)
    assert f"-e .[{extras}]" in log()[0]


def test_an_nvidia_gpu_is_found(recorded, tmp_path):
    folder, python, log = recorded
    fake(tmp_path / "bin" / "nvidia-smi", 'echo "GPU 0: NVIDIA H200"')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    launch(folder, "setup", PYTHON=str(python), JAXCNN_ACCELERATOR="", PATH=path)
    assert "-e .[report,cuda13]" in log()[0]


def test_a_failed_installation_is_tried_again(recorded):
    folder, python, log = recorded
    run = launch(folder, "train", PYTHON=str(python), PIP_FAILS="1")
    assert "the packages could not be installed" in error_line(run)
    assert launch(folder, "train", PYTHON=str(python)).returncode == 0
    assert [("install" in line) for line in log()] == [True, True, False]


def test_new_requirements_are_installed(recorded):
    folder, python, log = recorded
    launch(folder, "setup", PYTHON=str(python))
    with (folder / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    launch(folder, "setup", PYTHON=str(python))
    assert len(log()) == 2


def test_it_is_set_up_anew_only_for_another_python(recorded, tmp_path):
    folder, python, log = recorded
    other = shutil.copy(python, tmp_path / "other")
    installed = []
    for asked in (python, "", python, other, ""):
        assert launch(folder, "setup", PYTHON=str(asked)).returncode == 0
        installed.append(len(log()))
    assert installed == [1, 1, 1, 2, 2]


def test_sweep_brings_its_extra_and_has_a_job_of_its_own(recorded):
    folder, python, log = recorded
    for words in ((), ("--trials=3",)):
        assert launch(folder, "sweep", *words, PYTHON=str(python)).returncode == 0
    lines = log()
    assert "-e .[report,sweep]" in lines[0]
    assert lines[1] == "-m jaxcnn.sweep --flagfile=experiments/digits_sweep.flags"
    assert lines[2:] == ["-m jaxcnn.sweep --trials=3"]
