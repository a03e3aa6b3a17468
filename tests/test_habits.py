"""Style and types are part of the suite."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tool(*command):
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    "command", [("ruff", "check", "."), ("ruff", "format", "--check", ".")], ids=" ".join
)
def test_style(command):
    run = tool(*command)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_types():
    run = tool("mypy")
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_never_unpickles_or_evaluates():
    banned = re.compile(r"\bpickle\b|allow_pickle|\beval\(|\bexec\(")
    for path in sorted((ROOT / "jaxcnn").rglob("*.py")):
        assert not banned.search(path.read_text()), path


def test_every_version_is_the_same():
    import tomllib

    import jaxcnn

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert jaxcnn.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
