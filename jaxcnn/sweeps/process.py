"""A worker's process: ``python -m jaxcnn.sweeps.process FOLDER NAME``, started by a launcher.

It leaves when the sweep is over, on SIGTERM or SIGINT, and when the process that started it is gone: its
standard input ends then. Candidates are saved and given back first.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from absl import logging

from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import Settings

CHECK = "--check"
OPENING = 60.0  # seconds in which a worker must have reached the database that its parent has reached


def main(words: list[str]) -> int:
    """Work; the exit code. What is wrong with the sweep itself is the last line, and the code 2."""
    logging.set_verbosity(logging.ERROR)
    try:
        return _main(words)
    except UserError as error:
        from jaxcnn.sweeps.storage import Unreachable

        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, Unreachable) else error.exit_code


def _main(words: list[str]) -> int:
    if words[:1] == [CHECK]:
        return check(Path(words[1]))
    from jaxcnn.sweeps.worker import stop_requests

    stop = stop_requests()

    def parent_gone() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held when this process leaves
            pass
        stop.set()

    threading.Thread(target=parent_gone, daemon=True).start()
    folder, name = SweepFolder(Path(words[0])), words[1]
    with folder.presence(name):
        work(folder, name, *folder.read(), stop.is_set, lambda line: print(line, flush=True))
    return 0


def work(
    folder: SweepFolder,
    name: str,
    settings: Settings,
    base: Config,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> None:
    """Work on the sweep of a folder until it is over, as one whose presence there shows."""
    from jaxcnn.sweeps.storage import Storage, patiently, shown
    from jaxcnn.sweeps.study import Study
    from jaxcnn.sweeps.worker import Worker

    url, deadline = folder.storage(settings), time.monotonic() + OPENING

    def open_study() -> Study:
        storage, called = Storage(url), folder.study(settings)
        return Study(storage, called, settings, base, worker=name, lives=folder.lives, say=say)

    study = patiently(open_study, shown(url), say, lambda: stop() or time.monotonic() > deadline)
    Worker(folder, study, stop=stop, say=say).run()


def check(flagfile: Path) -> int:
    """Whether the job of a sweep can be built, with every word that it may choose."""
    from jaxcnn.sweeps import programs, settings

    programs.check(*settings.parse(flagfile))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
