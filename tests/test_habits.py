"""Style and types are part of the suite."""

import os
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


@pytest.mark.slow
def test_without_torch_its_tests_are_skipped(tmp_path):
    (tmp_path / "no_torch.py").write_text("import sys; sys.modules['torch'] = None\n")
    paths = [str(path) for path in sorted((ROOT / "tests/models").glob("test_torch_*.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no_torch", "-p", "no:cacheprovider", *paths]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout[-3000:]
    assert " skipped" in run.stdout


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
