"""Starting a sweep, or going on with it: checks, folder, study, workers, and the last words."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from jaxcnn import cli
from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import launchers, process
from jaxcnn.sweeps import settings as sweep_settings
from jaxcnn.sweeps.anchor import anchor
from jaxcnn.sweeps.board import Board, best, count_of, objectives, words
from jaxcnn.sweeps.folder import SweepFolder, flagfile, parent_name, worker_name
from jaxcnn.sweeps.settings import Settings, folder_of
from jaxcnn.sweeps.storage import Storage, Unreachable
from jaxcnn.sweeps.study import Study, failures
from jaxcnn.sweeps.supervisor import Supervisor


def start(settings: Settings, base: Config) -> int:
    """Run a sweep to its end; the exit code of the command.

    Raises:
      UserError: the settings, the job, the folder or the database do not do; nothing was begun.
    """
    folder = SweepFolder(folder_of(settings, base))
    settings = replace(settings, study=folder.study(settings))
    settings, base = anchor(settings, replace(base, workdir=str(folder.path)))
    text = flagfile(settings, base)
    if folder.is_new() or folder.flags.read_bytes() != text.encode():
        check(text)
    if settings.launcher == "none":
        return work(folder, settings, base)
    with folder.claim(), ExitStack() as present:
        launcher = launchers.make_launcher(settings, folder)  # first: where it cannot be, nothing is begun
        with folder.alone():
            study = begin(folder, settings, base)
            folder.write(settings, base)
            present.enter_context(folder.presence(parent_name()))
        sizes = count_of(study.size, "candidate"), count_of(launcher.size, "worker")
        print(f"{folder.path}: {', '.join(sizes)}", flush=True)
        with Board(folder, study) as board:
            whole = Supervisor(folder, study, launcher, board).run()
    return last_words(folder, study) if whole else interrupted(folder)


def check(text: str) -> None:
    """Build the job and its variants in a process of its own, since that needs JAX.

    Raises:
      UserError: what that process says.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".flags") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "jaxcnn.sweeps.process", process.CHECK, file.name],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        if done.returncode == UserError.exit_code and lines:
            raise UserError(lines[-1].removeprefix("error: "))
        raise RuntimeError(f"the job cannot be checked:\n{done.stderr}")


def begin(folder: SweepFolder, settings: Settings, base: Config) -> Study:
    """The study of a sweep that is begun or gone on with; to be called while nobody else begins.

    Raises:
      UserError: it is another sweep's, or others are at work here with other settings; nothing was written.
    """
    at = f"--workdir={folder.path}"
    if not folder.is_new():
        changes = sweep_settings.shared_changes(folder.read(), (settings, base))
        if changes and (others := folder.at_work()):
            raise UserError(
                f"{at}: {others[0]} is at work here with other settings ({'; '.join(changes)}): set these "
                "back, or wait until it has left"
            )
    storage = Storage(folder.storage(settings))
    study = Study(storage, folder.study(settings), settings, base, lives=folder.lives)
    if not study.trials() and any(folder.trials.glob("[0-9]*")):
        raise UserError(
            f"{at} has candidates that the study {folder.study(settings)!r} in {storage.name} does not know: "
            "set --storage and --study back, or use another --workdir"
        )
    return study


@contextmanager
def join(folder: SweepFolder, settings: Settings, base: Config) -> Iterator[tuple[str, Study]]:
    """Be one of the workers of a sweep, or its first: the worker's name, and the study."""
    name = worker_name(os.getpid())
    with ExitStack() as present:
        with folder.alone():
            study = begin(folder, settings, base)
            if folder.is_new() or sweep_settings.shared_changes(folder.read(), (settings, base)):
                folder.write(settings, base)
            present.enter_context(folder.presence(name))
        yield name, study


def work(folder: SweepFolder, settings: Settings, base: Config) -> int:
    """Be one of the workers, whoever else there is."""
    from jaxcnn.sweeps.worker import stop_requests

    with join(folder, settings, base) as (name, study):
        stop = stop_requests()
        try:
            process.work(folder, name, settings, base, stop.is_set, lambda line: print(line, flush=True))
        except Unreachable as error:
            if not stop.is_set():
                raise
            print(error)
    return interrupted(folder) if stop.is_set() else last_words(folder, study)


def interrupted(folder: SweepFolder) -> int:
    """Say how to go on."""
    command = cli.command("jaxcnn.sweep", f"--flagfile={folder.flags}")
    print(f"stopped and saved; go on with: {command}")
    return cli.INTERRUPTED


def last_words(folder: SweepFolder, study: Study) -> int:
    """Say what was found, and write the page."""
    trials = study.trials()
    failed, ranked = failures(trials), best(study.settings.objectives(), trials)
    many = failed > study.settings.max_failures
    if many:
        print(f"stopped: {failed} candidates failed, and --max_failures={study.settings.max_failures}")
    if not ranked:
        print(f"no candidate was completed; their logs are under {folder.trials}")
        return 1
    winner = ranked[0]
    runs = folder.runs(winner.number, study.base, study.settings.seeds)
    again = next(iter(runs.values()))
    print(
        f"{folder.path} is finished: {len(ranked) if len(study.settings.objectives()) > 1 else 1} best of "
        f"{len(trials)}, candidate {winner.number} with {objectives(study.settings, winner)}\n"
        f"  values       {words(winner.params)}\n"
        f"  report       {write_page(folder)}\n"
        f"  anew         {cli.train_command(again, f'{again}-again')}"
    )
    return int(many)


def write_page(folder: SweepFolder) -> Path | str:
    """The page, written by a process of its own, since that may need JAX; or why there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "jaxcnn.report", str(folder.path)], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1].removeprefix("error: ") if done.returncode else folder.report
