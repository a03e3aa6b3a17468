"""The parent of a sweep: starts workers, replaces those that die, and tells what happens.

It never imports JAX, and so never touches a device that a worker needs.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxcnn.errors import RunFailed, UserError
from jaxcnn.sweeps.board import Board
from jaxcnn.sweeps.folder import SweepFolder, worker_name
from jaxcnn.sweeps.launchers import ENDED, Handle, Launcher
from jaxcnn.sweeps.storage import Unreachable
from jaxcnn.sweeps.study import Study

LOOK = 0.5  # seconds between looks at the workers and at the study
SAVE = 120.0  # seconds that workers have for saving when they are asked to stop
STILLBORN = 3  # workers that may die, one after the other, without any candidate ending meanwhile


class _Interrupted(Exception):
    """Somebody asked us to stop."""


class Supervisor:
    """Keeps ``launcher.size`` workers at a sweep until it is over."""

    def __init__(self, folder: SweepFolder, study: Study, launcher: Launcher, board: Board) -> None:
        self._folder, self._study, self._launcher, self._board = folder, study, launcher, board
        self._workers: dict[int, tuple[str, Handle]] = {}
        self._died = 0  # workers since a candidate last ended
        self._ended = -1

    def run(self) -> bool:
        """Supervise; False when the sweep was interrupted.

        Raises:
          RunFailed: workers die before they can end any candidate.
        """
        with _interrupts() as interrupts:
            self._study.stop = lambda: bool(interrupts)
            try:
                while not self._study.over():
                    if interrupts:
                        raise _Interrupted
                    self._replace()
                    self._look()
                    time.sleep(LOOK)
                return True
            except (_Interrupted, Unreachable):  # the database is waited for, unless we are interrupted
                self._board.say("stopping: workers save what they train (Ctrl-C again: do not wait)")
                return False
            finally:
                self._leave(interrupts)
                with suppress(Unreachable):
                    self._look()

    def _replace(self) -> None:
        """Start workers where there is none or one has ended."""
        for slot in range(self._launcher.size):
            if slot in self._workers:
                name, handle = self._workers[slot]
                code = handle.poll()
                if code is None:
                    continue
                del self._workers[slot]
                self._study.take_back([name])
                log = self._folder.workers / f"{name}.log"
                if code == UserError.exit_code:
                    raise UserError(_last_line(log))  # what is wrong with one is wrong with all
                if code != ENDED:
                    self._died += 1
                    self._board.say(f"worker {name} died ({_cause(code)}); its log is {log}")
                    if self._died > STILLBORN * self._launcher.size:
                        raise RunFailed(f"{self._died} workers died and no candidate ended; see {log}")
            name = worker_name(slot)
            self._workers[slot] = (name, self._launcher.start(slot, name))

    def _look(self) -> None:
        trials = self._study.trials()
        ended = sum(trial.state.is_finished() for trial in trials)
        if ended != self._ended:
            self._ended, self._died = ended, 0
        self._board.update(trials, len(self._workers))

    def _leave(self, interrupts: list[int]) -> None:
        """Let the workers save and leave; those that do not are ended."""
        for _, handle in self._workers.values():
            handle.stop()
        deadline, known = time.monotonic() + SAVE, len(interrupts)
        while (left := [handle for _, handle in self._workers.values() if handle.poll() is None]) and (
            time.monotonic() < deadline and len(interrupts) <= max(known, 1)
        ):
            time.sleep(0.1)
        for handle in left:
            handle.kill()
        with suppress(Unreachable):
            self._study.take_back([name for name, _ in self._workers.values()])


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of being ended by them."""
    found: list[int] = []
    old = {
        number: signal.signal(number, lambda number, frame: found.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield found
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _last_line(log: Path) -> str:
    lines = log.read_text().strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"a worker left without a word; see {log}"


def _cause(code: int) -> str:
    if code < -1:
        return signal.Signals(-code).name
    return "its node is gone" if code == -1 else f"exit code {code}"
