"""One run among those that train side by side."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

from jaxcnn import data
from jaxcnn.config import Config
from jaxcnn.engine.checkpoint import UNSCORED
from jaxcnn.engine.diary import Diary
from jaxcnn.engine.job import Job
from jaxcnn.engine.run_folder import RunFolder
from jaxcnn.engine.values import values
from jaxcnn.sweeps.lane_program import Program


class Lane:
    """A run that trains: its folder, its batches, and how far it is."""

    def __init__(self, number: int, config: Config, job: Job, feed: Any) -> None:
        self.number, self.config = number, config
        self.values = values(config)
        self.reason = ""  # why it cannot go on
        self.ended = False
        with ExitStack() as held:
            folder = RunFolder(config.folder())
            held.enter_context(folder.claim(config))
            self.diary = held.enter_context(closing(Diary(job, config, folder)))
            self.step = self.diary.start
            self.saved = self.step  # the step of the newest checkpoint
            self.best = self.diary.best_score()
            self.better: tuple[int, Any, float] | None = None  # the best so far, where it is not saved yet
            self.payloads = held.enter_context(closing(data.reseeded(feed, config.seed).stream(self.step)))
            self._held = held.pop_all()

    def close(self) -> None:
        """Commit what is being saved, and let go of the folder."""
        self.ended = True
        self._held.close()

    def chunk(self, program: Program, total: int) -> Any:
        """What the program is sent for this lane's next call."""
        first = self.step - self.step % program.steps  # chunks begin at multiples wherever a run resumes
        active = [self.step <= t < total for t in range(first, first + program.steps)]
        payloads = list(islice(self.payloads, sum(active)))
        skipped = active.index(True)
        filled = [payloads[0]] * skipped + payloads
        return program.chunk(filled + [payloads[0]] * (program.steps - len(filled)), active)

    def validated(self, score: float, state: Callable[[], Any]) -> None:
        """Hold on to the state if none before was better."""
        if score >= self.best:
            self.best, self.better = score, (self.step, state(), score)

    def save(self, state: Callable[[], Any]) -> None:
        """Save the newest state, and the best where it is not saved yet."""
        if self.better:
            self.diary.save(*self.better)
            self.saved = self.better[0]
            self.better = None
        if self.saved < self.step:
            self.diary.save(self.step, state(), UNSCORED)
            self.saved = self.step
