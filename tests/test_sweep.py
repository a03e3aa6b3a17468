"""The sweep command, as a person uses it: real training, real folders, a page at the end."""

import csv
import html
import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn import sweeps
from jaxcnn.config import Config

ROOT = Path(__file__).parent.parent
JOB = ["--model=mlp(hidden=[8])", "--batch_size=100", "--steps=12", "--eval_every=0.5", "--save_every=0.5"]
SWEEP = [
    *JOB,
    "--search=learning_rate=log(0.01,1)",
    "--search=model=choice('mlp(hidden=[8])','mlp(hidden=[4])')",
    "--seeds=2",
    "--trials=4",
    "--lanes=4",
    "--sampler=qmc",
    "--objective=val_accuracy,parameters",
]


def run(module, *words, check=True):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], capture_output=True, text=True, cwd=ROOT
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep that ran to its end, and what it said."""
    folder = tmp_path_factory.mktemp("sweeps") / "a sweep"
    data = f"--data_dir={tmp_path_factory.mktemp('data')}"
    return folder, data, run("jaxcnn.sweep", *SWEEP, data, f"--workdir={folder}")


def test_it_says_what_it_found(finished):
    folder, _, done = finished
    assert "4 candidates, 1 worker\n" in done.stdout
    assert len(re.findall(r"^\d/4 · candidate \d val_accuracy", done.stdout, re.MULTILINE)) == 4
    assert re.search(r"is finished: \d best of 4, candidate \d with val_accuracy", done.stdout)
    assert str(folder / "report.html") in done.stdout


def test_its_tables_agree_with_its_run_folders(finished):
    folder, _, _ = finished
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["complete"] * 4
    for row in rows:
        found = [
            json.loads((folder / f"trials/{int(row['candidate']):04}/seed{seed}/result.json").read_text())
            for seed in (0, 1)
        ]
        mean = statistics.mean(result["validation_accuracy"] for result in found)
        assert float(row["val_accuracy"]) == pytest.approx(mean)
        assert float(row["test_accuracy_seed1"]) == found[1]["test_accuracy"]
        width = int(re.search(r"\[(\d)\]", row["model"])[1])
        assert float(row["parameters"]) == 64 * width + width + 10 * width + 10
    from pyarrow import parquet

    table = parquet.read_table(folder / "trials.parquet")
    assert table.column("val_accuracy").to_pylist() == [float(row["val_accuracy"]) for row in rows]


@pytest.mark.slow
def test_its_page_says_so_and_its_commands_run(finished, tmp_path):
    folder, data, _ = finished
    text = (folder / "report.html").read_text()
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles[0] == "Pareto front"
    assert {"How the search went", "All candidates", "Slices", "Learning curves", "Go on"} <= set(titles)
    assert "http" not in text
    assert "<script" not in text
    found = re.findall(r"<code>([^<]*-m jaxcnn\.train[^<]*)</code>", text)
    again, final = (shlex.split(html.unescape(command)) for command in found)
    done = run(again[2], *again[3:-1], f"--workdir={tmp_path / 'again'}", data)
    first = Path(again[3].partition("=")[2]).parent
    assert "is finished" in done.stdout
    ours, theirs = (json.loads((run / "result.json").read_text()) for run in (tmp_path / "again", first))
    assert ours["test_count"] == theirs["test_count"]
    assert ours["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=0.03)
    done = run(final[2], *final[3:-1], f"--workdir={tmp_path / 'final'}", data)
    assert "--full" in final
    assert "the validation split is trained on too" in done.stdout
    assert json.loads((tmp_path / "final" / "result.json").read_text())["best_step"] == 12


@pytest.mark.slow
def test_a_finished_sweep_does_nothing_and_more_candidates_go_on(finished):
    folder, data, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/seed*/*.json")}
    done = run("jaxcnn.sweep", *SWEEP, data, f"--workdir={folder}")
    assert "going on after 4 of 4 candidates" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/seed*/*.json")} == before
    done = run("jaxcnn.sweep", f"--flagfile={folder / 'sweep.flags'}", "--launcher=none", "--trials=5")
    assert "candidate 4 complete" in done.stdout
    assert len(list(folder.glob("trials/*"))) == 5


def test_changed_flags_are_refused_naming_old_and_new(finished):
    folder, data, _ = finished
    done = run("jaxcnn.sweep", *SWEEP, data, f"--workdir={folder}", "--batch_size=50", check=False)
    assert done.returncode == 2
    assert "--batch_size: 100 -> 50" in done.stderr
    wider = [word.replace("(0.01,1)", "(0.001,1)") for word in SWEEP]
    done = run("jaxcnn.sweep", *wider, data, f"--workdir={folder}", check=False)
    assert done.returncode == 2
    assert "go on with the new space by --append" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model=mlp"], "--search is missing"),
        (["--search=learning_rate=log(1,0.1)"], "upside down: expected log(0.1,1)"),
        (["--search=lr=log(0.1,1)"], "--lr is no training flag"),
        (["--search=momentum=choice(0,0.9)", "--objective=acc"], "no objective"),
        (["--search=momentum=choice(0,0.9)", "--sampelr=tpe"], "sampelr"),
        (["--search=momentum=choice(0,0.9)", "sweep"], "unexpected 'sweep'"),
        (["--search=momentum=choice(0,0.9)", "--workdir=README.md"], "README.md is in the way"),
        (["--search=momentum=choice(0,0.9)", "--workdir=tests"], "no sweep folder and not empty"),
        (["--search=momentum=choice(0,0.9)", "--workdir=/proc/sweep"], "cannot be written"),
        (["--search=model=choice('mlp','resnet2O')"], "error: --search=model=choice('mlp','resnet2O'): "),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_mistakes_are_answered_in_one_line(words, expected, tmp_path):
    if not any(word.startswith("--workdir") for word in words):
        words = [*words, f"--workdir={tmp_path / 'sweep'}"]
    done = run("jaxcnn.sweep", *words, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert expected in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_search_from_python_is_the_same_search(finished, tmp_path):
    """The example of the documentation: a job, searched by this process."""
    _, data, _ = finished
    config = Config(
        model="mlp(hidden=[8])",
        batch_size=100,
        steps=12,
        data_dir=data.partition("=")[2],
        workdir=str(tmp_path / "sweep"),
    )
    found = sweeps.run(["learning_rate=log(0.01,1)"], config, trials=3, seeds=2, sampler="random", lanes=4)
    assert len(found) == 3
    scores = [candidate.values[0] for candidate in found]
    assert scores == sorted(scores, reverse=True)
    assert all(len(candidate.runs["val_accuracy"]) == 2 for candidate in found)
    again = sweeps.run(["learning_rate=log(0.01,1)"], config, trials=3, seeds=2, sampler="random", lanes=4)
    assert [candidate.params for candidate in again] == [candidate.params for candidate in found]
