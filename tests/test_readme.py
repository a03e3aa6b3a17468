"""What README.md says can be run, runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_examples_run(code, tmp_path):
    """Each by itself, in a process of its own, warnings as errors."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_commands_name_flags_that_exist():
    from jaxcnn.config import Config

    known = set(Config.__dataclass_fields__) | {"flagfile", "help"}
    for line in "\n".join(blocks("bash")).splitlines():
        if "jaxcnn.train" in line or "launch.sh train" in line:
            assert set(re.findall(r"--(\w+)", line)) <= known, line
