"""The house: which room may import which, what is light, what the wheel holds."""

import ast
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jaxcnn"

# Each room with the rooms it may import. Standard-library-only helpers are open to all.
HELPERS = {"errors", "callstring", "files", "paths"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "callstring": {"errors"},
    "paths": set(),
    "config": {"errors"},
    "ops": HELPERS,
    "nn": {"ops"} | HELPERS,
    "models": {"nn", "ops"} | HELPERS,
    "data": HELPERS,
    "engine": {"models", "nn", "ops", "data", "config"} | HELPERS,
    "sweeps": {"engine", "models", "nn", "ops", "data", "config", "analysis", "cli"} | HELPERS,
    "analysis": {"models", "nn", "ops"} | HELPERS,
    "cli": HELPERS,
}
ENTRY_POINTS = {"train", "sweep", "describe", "export", "report"}

HEAVY = (
    "tensorflow_datasets",
    "tensorflow",
    "orbax",
    "grain",
    "optuna",
    "matplotlib",
    "sklearn",
    "tensorboardX",
)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """The project's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "jaxcnn"}


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here in ENTRY_POINTS or here == "__init__":
        return
    assert here in MAY_IMPORT, f"{here} is a new room: say in MAY_IMPORT what it may import"
    wrong = {name for name in imports(path) if room(name) not in MAY_IMPORT[here] | {here, ""}}
    assert not wrong


def test_the_order_has_no_cycle():
    done: set[str] = set()
    while remaining := {name for name in MAY_IMPORT if name not in done}:
        ready = {name for name in remaining if MAY_IMPORT[name] <= done}
        assert ready, f"these rooms import one another: {sorted(remaining)}"
        done |= ready


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_one_idea_long(path):
    assert len(path.read_text().splitlines()) <= 400


def heavy_after(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


@pytest.mark.parametrize("module", ["ops", "nn", "models", "engine.step", "engine.optim", "data"])
def test_light_rooms_import_nothing_heavy(module):
    assert heavy_after(f"import jaxcnn.{module}") == []


def brought_by(*projects: str) -> set[str]:
    """These projects and what they depend on, as far as it is installed."""
    found, left = set(), [*projects]
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            with suppress(metadata.PackageNotFoundError):
                needs = [need for need in metadata.requires(name) or [] if "extra ==" not in need]
                left += [spelt(re.match(r"[\w.-]+", need)[0]) for need in needs]
    return found


def spelt(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


@pytest.mark.parametrize(
    ("modules", "projects"),
    [
        ("jaxcnn.ops, jaxcnn.nn, jaxcnn.models", ["jax", "flax", "jaxtyping"]),
        ("jaxcnn.engine.step", ["jax", "flax", "jaxtyping", "optax"]),
    ],
)
def test_light_rooms_need_only_what_contributors_are_told(modules, projects):
    allowed = {"jaxcnn"} | brought_by(*projects)
    blocked = [
        module
        for module, owners in metadata.packages_distributions().items()
        if allowed.isdisjoint(map(spelt, owners))
    ]
    assert {"optuna", "sklearn"} <= set(blocked)
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("entry", sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem in ENTRY_POINTS))
def test_entry_points_parse_flags_before_they_import_jax(entry):
    code = f"import sys, jaxcnn.{entry}; print(*[m for m in {(*HEAVY, 'jax', 'flax')} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == []


def test_the_parent_of_a_sweep_never_imports_jax():
    code = "import sys; from jaxcnn.sweeps import start, supervisor, worker; print('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "False\n"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.flags")), ids=lambda p: p.name)
def test_every_flagfile_builds_its_job(path, tmp_path_factory):
    """Parses, and its model takes its data, without a step being taken."""
    from jaxcnn.config import Config
    from jaxcnn.engine.job import Job
    from jaxcnn.sweeps import programs, settings

    if "--search=" in path.read_text():
        programs.check(*settings.parse(path))
        return
    job = Job(Config.from_flagfile(path))
    assert job.steps > 0
    assert job.state.step.shape == ()


@pytest.mark.slow
def test_the_wheel_installs_into_an_empty_environment(tmp_path):
    """Only what the wheel holds is there; its dependencies are borrowed from this environment."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("jaxcnn/", "jaxcnn-")) for name in names)
    assert {f"jaxcnn/{path.relative_to(PACKAGE)}" for path in source_files()} <= set(names)

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    site = next(environment.glob("lib/python3.*/site-packages"))
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    # a plain path line adds packages without running the editable install that may be among them
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    run = subprocess.run(
        [str(python), "-m", "jaxcnn.train", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "--learning_rate" in run.stdout
    where = subprocess.run(
        [str(python), "-c", "import jaxcnn.ops; print(jaxcnn.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert where.stdout.startswith(str(environment))
