"""What commands share: words to type back, and mistakes in one line."""

import sys
from pathlib import Path

import pytest

from jaxcnn import cli
from jaxcnn.errors import RunFailed, UserError


def test_commands_can_be_typed_back(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(cli.shutil, "which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert (
        cli.train_command(Path("runs/a b"), "runs/c")
        == ".venv/bin/python -m jaxcnn.train '--flagfile=runs/a b/config.flags' --workdir=runs/c"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.command("m").startswith(str(tmp_path))
    monkeypatch.setattr(cli.shutil, "which", lambda name: sys.executable)
    assert cli.command("m") == "python -m m"


def test_tensorboard_is_installed_before_it_shows_curves(monkeypatch):
    monkeypatch.setattr(cli.shutil, "which", lambda name: sys.executable)
    show = "python -m tensorboard.main '--logdir=a b/tensorboard'"
    for installed, said in ((True, show), (False, f"python -m pip install tensorboard && {show}")):
        monkeypatch.setattr(cli, "find_spec", lambda name, installed=installed: installed or None)
        assert cli.curves_command(Path("a b/tensorboard")) == said


@pytest.mark.parametrize("word", ["-h", "-?", "--help", "--helpshort", "--helpfull"])
def test_every_plea_for_help_is_answered_with_the_usage(word, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", word])
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda words: None, lambda: "usage: program")
    assert (ended.value.code, capsys.readouterr().out) == (0, "usage: program\n")


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("--x=1: no"), 2), (RunFailed("it failed"), 1), (KeyboardInterrupt(), 130)]
)
def test_expected_ends_print_one_line(error, code, capsys):
    def main(words):
        raise error

    with pytest.raises(SystemExit) as ended:
        cli._guarded(main, ["program"])
    assert ended.value.code == code
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("INTERNAL: Out of memory allocating 9 bytes.")]
)
def test_no_memory_is_no_defect(error, capsys):
    test_expected_ends_print_one_line(error, 1, capsys)


def test_defects_keep_their_traceback():
    def main(words):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli._guarded(main, ["program"])


@pytest.mark.parametrize("join", ["=", " "])
def test_a_flagfile_that_is_no_text_is_one_line(tmp_path, capsys, join):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(SystemExit) as ended:
        cli._parse_flags(lambda flag: "", ["program", *f"--flagfile{join}{tmp_path / 'x.png'}".split(" ")])
    assert ended.value.code == 2
    said = f"error: --flagfile{join}{tmp_path / 'x.png'}: this file is no text; name one with lines"
    assert capsys.readouterr().err == f"{said} --name=value\n"


def test_leftover_words_are_refused():
    cli.reject_leftovers([])
    with pytest.raises(UserError, match="unexpected 'digits'"):
        cli.reject_leftovers(["digits"])
