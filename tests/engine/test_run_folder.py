"""A run folder belongs to one job and one process."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import jax
import pytest

from jaxcnn.config import Config
from jaxcnn.engine.diary import Result
from jaxcnn.engine.run_folder import MetricsLog, RunFolder, environment
from jaxcnn.errors import UserError


def claim(path, **choices):
    with RunFolder(path).claim(Config(workdir=str(path), **choices)):
        pass


def begun(path):
    """A folder with a checkpoint."""
    claim(path)
    (path / "checkpoints" / "1").mkdir(parents=True)


def refusal(path, **choices):
    with pytest.raises(UserError) as caught:
        claim(path, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_folder_keeps_the_config(tmp_path):
    claim(tmp_path / "a" / "b", seed=3)
    assert RunFolder(tmp_path / "a" / "b").read_config().seed == 3


def test_the_same_job_may_come_back_with_other_bookkeeping(tmp_path):
    claim(tmp_path / "run", seed=3)
    claim(tmp_path / "run", seed=3, log_every=7)


def test_another_job_is_refused_naming_every_change(tmp_path):
    begun(tmp_path / "run")
    said = refusal(tmp_path / "run", seed=1, learning_rate=0.5)
    assert "--seed: 0 -> 1; --learning_rate: 0.1 -> 0.5" in said


def test_a_job_of_which_nothing_was_trained_gives_way_to_another(tmp_path):
    claim(tmp_path / "run", seed=1)
    claim(tmp_path / "run", seed=2)
    assert RunFolder(tmp_path / "run").read_config().seed == 2


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is in the way" in refusal(tmp_path / "file")
    assert "is in the way" in refusal(tmp_path / "file" / "below")


def test_other_peoples_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    assert "no run folder and not empty (it holds thesis.tex)" in refusal(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be made (Permission denied)" in refusal(tmp_path / "run")


def test_a_place_where_no_folder_can_be():
    assert "cannot be made" in refusal(Path("/proc/jaxcnn-run"))


def test_a_garbled_config(tmp_path):
    begun(tmp_path / "run")
    RunFolder(tmp_path / "run").config.write_text("--no_such_flag=3\n")
    assert "cannot be read" in refusal(tmp_path / "run")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: b"", "it was cut off"),
        (lambda text: text[: text.index(b"--model")], "it was cut off"),
        (lambda text: b"\x89PNG\r\n" + text, "is no text"),
    ],
)
def test_a_damaged_config_is_never_taken_for_the_defaults(tmp_path, damage, said):
    begun(tmp_path / "run")
    file = RunFolder(tmp_path / "run").config
    file.write_bytes(damage(file.read_bytes()))
    found = refusal(tmp_path / "run")
    assert found.startswith(f"{file} cannot be read (")
    assert said in found
    assert "use another --workdir" in found


def test_a_name_that_is_too_long(tmp_path):
    assert "cannot be a folder (File name too long); use another" in refusal(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_a_file_where_a_folder_is_needed(tmp_path, name):
    claim(tmp_path / "run")
    (tmp_path / "run" / name).write_text("")
    assert f"the file {tmp_path / 'run' / name} is in the way" in refusal(tmp_path / "run")


@pytest.mark.parametrize("line", [b"abc", b"\xff\x00", b'{"a":1}', b"[]", b'{"step": null}'])
def test_a_damaged_row_is_named(tmp_path, line):
    folder = RunFolder(tmp_path)
    with closing(MetricsLog(folder, 0)) as log:
        log.write("train", 1, 0.5, loss=1.0, accuracy=0.5)
    with folder.metrics.open("ab") as file:
        file.write(line + b'\n{"step": 4, "lo')
    for read in (folder.rows, lambda: MetricsLog(folder, 1)):
        with pytest.raises(UserError, match=r"metrics\.jsonl:2 cannot be read \(.*\); delete the line"):
            read()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\x00", None])
def test_a_damaged_result(tmp_path, content):
    folder = RunFolder(tmp_path)
    fields = asdict(Result(4, 2, 0.5, 0.5, 1.0, 50, 100))
    folder.result.write_text(json.dumps(fields | {"more": 1}))
    assert asdict(Result.read(folder)) == fields
    folder.result.write_bytes(json.dumps(dict.fromkeys(fields)).encode() if content is None else content)
    with pytest.raises(UserError, match=r"result\.json cannot be read \(.*\); delete it, and training again"):
        Result.read(folder)


def test_one_process_at_a_time(tmp_path):
    hold = (
        "import sys; from jaxcnn.config import Config; from jaxcnn.engine.run_folder import RunFolder\n"
        "from pathlib import Path\n"
        "with RunFolder(Path(sys.argv[1])).claim(Config(workdir=sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert "in use by another process" in refusal(path)
        other.kill()
    claim(path)  # the lock died with its holder


def test_rows_after_the_resumed_step_and_half_lines_are_dropped(tmp_path):
    folder = RunFolder(tmp_path)
    log = MetricsLog(folder, 0)
    for step in (1, 2, 3):
        log.write("train", step, step / 2, loss=1.0 / step, accuracy=0.5)
    log.close()
    with folder.metrics.open("a") as file:
        file.write('{"step": 4, "lo')
    log = MetricsLog(folder, 2)
    log.write("train", 3, 1.5, loss=0.25, accuracy=0.5)
    log.close()
    assert [(row["step"], row["loss"]) for row in folder.rows()] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert list(folder.tensorboard.glob("events.*"))


def test_logging_does_not_import_torch(tmp_path):
    code = """
import sys
from pathlib import Path
from jaxcnn.engine.run_folder import MetricsLog, RunFolder
MetricsLog(RunFolder(Path(sys.argv[1])), 0).write("train", 1, 0.5, loss=1.0)
assert "tensorboardX" in sys.modules
assert "torch" not in sys.modules
"""
    code += "import torch" if find_spec("torch") else ""  # it is not hidden from others
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_the_environment_is_told():
    found = environment(seed=5)
    assert found["seed"] == 5
    assert found["backend"] == "cpu"
    assert found["packages"]["jax"] == jax.__version__
    json.dumps(found)
