"""The command, from the outside."""

import subprocess
import sys

import pytest


def describe(*words):
    return subprocess.run(
        [sys.executable, "-m", "jaxcnn.describe", *words], capture_output=True, text=True, check=False
    )


def test_it_prints_a_table():
    run = describe("--model=lenet5", "--input=28,28,1")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("layer ")
    assert "61,706" in run.stdout
    assert run.stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "write one of --model=NAME, --compare=NAME,NAME and --op=conv; see --help"),
        (
            ("--model=lenet5", "--op=conv"),
            "write one of --model=NAME, --compare=NAME,NAME and --op=conv; see --help",
        ),
        (
            ("--op=conv", "--input=1,8,8,2", "--html=page.html"),
            "--html writes the page of one network: name it with --model",
        ),
        (("--op=conv",), "--input='': expected whole numbers above 0 with commas between, e.g. 32,32,3"),
    ],
)
def test_mistakes_take_one_line(words, message):
    run = describe(*words)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"error: {message}\n")


def test_help_names_every_flag():
    run = describe("--help")
    assert run.returncode == 0
    for flag in (
        "model",
        "compare",
        "input",
        "num_classes",
        "op",
        "kernel",
        "features",
        "strides",
        "padding",
        "groups",
    ):
        assert f"--{flag}" in run.stdout
