"""docs/: what it names exists, what it shows is what the code draws, what it says can be run runs."""

import functools
import inspect
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import flax.linen as linen
import numpy as np
import pytest

from experiments.layer_pictures import gallery
from jaxcnn import nn, ops

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LAYERS = (DOCS / "layers.md").read_text("utf-8")
DRAWN = sorted((DOCS / "layers").iterdir())

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
every_picture = pytest.mark.parametrize("name", gallery.PICTURES)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def prose(page):
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """What GitHub calls the headings."""
    titles = re.findall(r"^#+ (.*)", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def run(*command, cwd):
    process = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=cwd)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("code", [code for page in PAGES for code in blocks(page, "python")])
def test_examples_run(code, tmp_path):
    """Each by itself, in a process of its own, warnings as errors."""
    run("-W", "error", "-c", code, cwd=tmp_path)


@pytest.mark.parametrize(
    "command", [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()]
)
def test_commands_run(command, tmp_path):
    python, *words = shlex.split(command)
    assert python == "python"
    run(*words, cwd=tmp_path)


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if not path.startswith("http"):
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


def test_every_layer_is_on_the_page():
    functions = {f"ops.{name}" for name in ops.__all__ if inspect.isroutine(getattr(ops, name))}
    modules = {f"nn.{name}" for name in nn.__all__ if issubclass(getattr(nn, name), linen.Module)}
    assert functions | modules <= set(re.findall(r"`((?:ops|nn)\.\w+)`", LAYERS))


@every_page
def test_what_a_page_names_exists(page):
    for name in re.findall(r"`((?:ops|nn)\.[\w.]+)", prose(page)):
        functools.reduce(getattr, name.split(".")[1:], {"ops": ops, "nn": nn}[name.split(".")[0]])


def test_the_page_shows_what_the_script_draws():
    names = {f"{name}.svg" for name in gallery.PICTURES}
    assert {path.name for path in DRAWN} == names
    assert set(re.findall(r"!\[[^\]]+\]\(layers/([^)]+)\)", LAYERS)) == names


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_pictures_are_small_and_speak(path):
    assert path.stat().st_size < 60_000
    picture = ElementTree.parse(path).getroot()
    title = picture.find("{http://www.w3.org/2000/svg}title")
    assert title.text == inspect.getdoc(gallery.PICTURES[path.stem])
    styles = [element.get("style", "") for element in picture.iter()]
    assert not re.search(r"#[0-9a-f]{3}", "".join(styles)), "a colour that does not follow the scheme"


def test_drawing_again_gives_the_same_bytes():
    assert gallery.svg("strides") == gallery.svg("strides")


@pytest.mark.slow
@every_picture
def test_pictures_are_those_of_today(name):
    """Up to what rounding moves; otherwise run ``python -m experiments.layer_pictures``."""
    number = r"-?\d+\.?\d*(?:e-\d+)?"
    kept, drawn = (DOCS / "layers" / f"{name}.svg").read_text("utf-8"), gallery.svg(name)
    assert re.sub(number, "0", drawn) == re.sub(number, "0", kept)
    ours, theirs = (np.array(re.findall(number, text), np.float64) for text in (drawn, kept))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.02)
