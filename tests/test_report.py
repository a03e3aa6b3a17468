"""The report command on a real run folder: finished, on the way, and in every state that is none."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from jaxcnn import report
from jaxcnn.errors import UserError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a run"
    job = [
        "--model=resnet8(num_filters=4)",
        "--batch_size=100",
        "--steps=30",
        "--log_every=5",
        "--eval_every=1",
    ]
    places = [f"--workdir={folder}", f"--data_dir={tmp_path_factory.mktemp('data')}"]
    done = subprocess.run(
        [sys.executable, "-m", "jaxcnn.train", *job, *places],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def words(page):
    texts = []
    parser = HTMLParser()
    parser.handle_data = texts.append
    parser.feed(page.read_text())
    return texts


def test_a_finished_run_is_judged_on_its_test_split(run):
    result = json.loads((run / "result.json").read_text())
    page = report.write(run)
    assert page == run / "report.html"
    texts = words(page)
    line = next(text for text in texts if "accuracy ·" in text)
    assert line.startswith(f"test accuracy · {result['test_correct']:,} of {result['test_count']:,} right")
    assert not any("Not finished" in text for text in texts)
    assert f"step {result['best_step']}" in texts
    titles = re.findall("<h2>(.*?)</h2>", page.read_text())
    assert titles == [
        "Learning curves",
        "Confusion matrix",
        "Worst errors",
        "First-layer filters",
        "Feature maps",
        "Layers",
        "Run it again",
    ]
    cells = [int(n) for n in re.findall(r'<td class="(?:hit|miss|zero)"[^>]*>(\d+)</td>', page.read_text())]
    matrix = np.reshape(cells, (10, 10))
    assert matrix.sum() == result["test_count"]
    assert np.trace(matrix) == result["test_correct"]
    assert page.stat().st_size < 400_000


def test_the_commands_on_the_page_are_those_of_this_folder(run):
    folder = Path(shutil.copytree(run, run.parent / "it's mine"))
    texts = words(report.write(folder))
    (train,) = [shlex.split(text) for text in texts if " -m jaxcnn.train " in text and "\n" not in text]
    assert shutil.which(train[0])
    assert train[1:] == [
        "-m",
        "jaxcnn.train",
        f"--flagfile={folder}/config.flags",
        f"--workdir={folder}-again",
    ]
    (curves,) = [shlex.split(text) for text in texts if " -m tensorboard.main " in text]
    assert curves[-3:] == ["-m", "tensorboard.main", f"--logdir={folder}/tensorboard"]


def test_a_run_on_its_way_is_judged_on_validation(run):
    (run / "result.json").unlink()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "epo')  # cut off by a kill
    texts = words(report.write(run))
    assert "Not finished: 30 of 30 steps are done." in texts
    assert any(text.startswith("validation accuracy") for text in texts)
    assert not any("test accuracy" in text for text in texts)
    assert "Go on with it" in texts


def test_a_run_without_metrics_has_a_page_without_curves(run):
    (run / "metrics.jsonl").write_text("")
    assert "Learning curves" not in words(report.write(run))


def test_a_run_without_a_checkpoint_says_so(run):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="is finished, but its checkpoints are gone; delete its result"):
        report.write(run)
    (run / "result.json").unlink()
    with pytest.raises(UserError, match="has no checkpoint yet"):
        report.write(run)


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_folder_with_a_damaged_file_says_which(run, text):
    (run / "environment.json").write_text(text)
    with pytest.raises(UserError, match=r"environment\.json cannot be read"):
        report.write(run)


def test_other_folders_are_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="missing is no run folder"):
        report.write(tmp_path / "missing")
    with pytest.raises(UserError, match="is no run folder"):
        report.write(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one run folder and got 0"),
        (["a", "b"], "expected one run folder and got 2"),
        (["missing"], "missing is no folder"),
        (["--nosuch=1"], "nosuch"),
    ],
)
def test_mistakes_on_the_command_line_end_with_2(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "jaxcnn.report", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
