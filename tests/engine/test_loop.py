"""The loop around the step."""

import json
import os
import signal
from dataclasses import replace

from jaxcnn.config import Config
from jaxcnn.engine import loop


def test_a_run_compiles_its_step_once(compiled, tmp_path):
    with compiled() as names:
        loop.run(Config(model="mlp(hidden=[8])", batch_size=100, steps=4, workdir=str(tmp_path / "run")))
    assert names.count("advance") + names.count("scan") == 1


def trained(folder, **options):
    """A run whose validation accuracy rises, falls and stays, and the steps that it saved."""
    config = Config(model="mlp(hidden=[8])", batch_size=100, steps=30, eval_every=0.2, keep=100)
    loop.run(replace(config, learning_rate=0.3, workdir=str(folder), **options))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = {row["step"]: row["accuracy"] for row in rows if row["split"] == "validation"}
    saved = {int(entry.name) for entry in (folder / "checkpoints").iterdir() if entry.name.isdigit()}
    return scores, saved, json.loads((folder / "result.json").read_text())


def test_what_validates_best_is_saved_whatever_else_is(tmp_path):
    scores, saved, result = trained(tmp_path / "seldom", save_every=1_000)
    best = [step for step, score in scores.items() if score == max(scores[at] for at in scores if at <= step)]
    assert saved == {*best, 30} < scores.keys()
    assert trained(tmp_path / "often", save_every=0.1)[2] == result
    assert result["best_step"] == best[-1]


def test_the_third_signal_ends_what_the_first_two_let_save(monkeypatch, capfd):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.getsignal(signal.SIGINT)
    with loop._stop_requests() as stop:
        for count in range(1, 4):
            os.kill(os.getpid(), signal.SIGINT)
            assert stop == [signal.SIGINT] * count
            assert ended == ([130] if count == 3 else [])
    assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err == "saving, one moment; once more ends it without\n"
