"""The command, from the outside."""

import subprocess
import sys

import pytest


def describe(*words):
    return subprocess.run(
        [sys.executable, "-m", "jaxcnn.describe", *words], capture_output=True, text=True, check=False
    )


def test_it_prints_a_table_for_the_usual_input():
    run = describe("--model=lenet5")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("layer ")
    assert "61,706" in run.stdout
    assert run.stderr == ""


def test_it_lists_networks_with_their_parameters():
    run = describe("--models=mobilenet_v3_*")
    assert run.returncode == 0, run.stderr
    assert [line.split() for line in run.stdout.splitlines()] == [
        ["network", "parameters", "classes", "input"],
        ["mobilenet_v3_large", "5,483,032", "1,000", "224×224×3"],
        ["mobilenet_v3_small", "2,542,856", "1,000", "224×224×3"],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (),
            "write one of --models=PATTERN, --model=NAME, --compare=NAME,NAME and --op=conv; see --help",
        ),
        (
            ("--models=vit*",),
            "--models='vit*': no network has such a name; "
            "python -m jaxcnn.describe --models='*' lists all names",
        ),
        (
            ("--models=rsnet*",),
            "--models='rsnet*': no network has such a name; did you mean resnet or resnet8 or resnet14?",
        ),
        (
            ("--model=lenet5", "--op=conv"),
            "write one of --models=PATTERN, --model=NAME, --compare=NAME,NAME and --op=conv; see --help",
        ),
        (
            ("--op=conv", "--input=1,8,8,2", "--html=page.html"),
            "--html writes the page of one network: name it with --model",
        ),
        (("--model=lenet5", "--groups=2"), "--groups says nothing of --model; leave it out, see --help"),
        (("--models=lenet*", "--input=8,8,1"), "--input says nothing of --models; leave it out, see --help"),
        (
            ("--op=conv", "--input=1,8,8,2", "--num_classes=3"),
            "--num_classes says nothing of --op; leave it out, see --help",
        ),
        (
            ("--op=conv",),
            "--input='': expected whole numbers above 0, below 2**31, with commas between, e.g. 32,32,3",
        ),
        (
            ("--model=lenet5", "--input=2147483648,3,3"),
            "--input='2147483648,3,3': expected whole numbers above 0, below 2**31, with commas between, "
            "e.g. 32,32,3",
        ),
        (
            ("--op=conv", "--input=1,8,8,3", "--features=-2"),
            "flag --features=-2: -2 is not an integer in the range [0, 2147483647]; see --help",
        ),
        (("--model=lenet5", "--html=tests"), "--html=tests is a folder; name a file, e.g. tests/page.html"),
        (("--model=lenet5", "--html=no/x.html"), "--html=no/x.html: there is no folder no; make it first"),
    ],
)
def test_mistakes_take_one_line(words, message):
    run = describe(*words)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"error: {message}\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m jaxcnn.describe --compare=resnet18,mobilenet_v2 | head -1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["resnet18", "mobilenet_v2", "ratio"]
    assert run.stderr == ""


def test_help_names_every_flag():
    run = describe("--help")
    assert run.returncode == 0
    for flag in (
        "models",
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
