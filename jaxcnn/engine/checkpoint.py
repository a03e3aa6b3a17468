"""Checkpoints that are committed whole and verified when read.

Orbax writes a step atomically but does not notice changed bytes, and casts a wrong dtype in silence.
So the digest of every array is kept inside the step it belongs to, and compared on restore; and the score is
kept beside the digests too, for Orbax cannot open a folder in which one score is damaged.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from jaxcnn.errors import UserError

Tree = TypeVar("Tree")
STATE, DIGESTS, SCORE = "state", "digests", "score"
UNSCORED = float("-inf")  # never the best while any other has a score


class Damaged(Exception):
    """A checkpoint that cannot be read, or does not hold what was saved."""


def digests(tree: Any) -> dict[str, str]:
    """SHA-256 of each array's dtype, shape and bytes, by its path in the tree.

    Example:
      >>> {path: digest[:8] for path, digest in digests({"w": np.zeros(2, np.float32)}).items()}
      {"['w']": '24e76cee'}
    """

    def digest(leaf: np.ndarray) -> str:
        content = hashlib.sha256(f"{leaf.dtype}{leaf.shape}".encode())
        content.update(leaf.tobytes())
        return content.hexdigest()

    return {
        jax.tree_util.keystr(path): digest(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


class Checkpoints:
    """The checkpoints of one run: the newest few, and the best by score.

    Args:
      folder: where they are kept; made when missing.
      keep: how many of the newest stay.
      read_only: change nothing, so that a run may be looked at while it goes on.
      say: told, in a line, about damage that was found.

    Saving is asynchronous; :meth:`close` before leaving. Orbax is imported when there is something to save or
    to read, for a new run has its first step to take before.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        read_only: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self.folder = folder.absolute()
        self._keep, self._read_only, self._say = keep, read_only, say

    @cached_property
    def _manager(self) -> Any:
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import preservation_policy

        newest = preservation_policy.LatestN(self._keep)
        best = preservation_policy.BestN(get_metric_fn=_score, n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=_score,  # it decides nothing beside a policy, but without it scores are not written
            preservation_policy=preservation_policy.AnyPreservationPolicy([newest, best]),
            cleanup_tmp_directories=not self._read_only,
            read_only=self._read_only,
            create=not self._read_only,
        )
        return ocp.CheckpointManager(self.folder, options=options)

    @property
    def _opened(self) -> bool:
        return "_manager" in self.__dict__

    def steps(self) -> list[int]:
        """The committed steps, oldest first; one that is being written is waited for."""
        self.wait()
        return sorted(int(entry.name) for entry in self.folder.glob("[0-9]*") if entry.name.isdecimal())

    def score(self, step: int) -> float:
        """The score a step was saved with.

        Raises:
          Damaged: it cannot be read, or is not what it was.
        """
        try:
            written, known = (
                json.loads((self.folder / str(step) / item).read_text())
                for item in ("metrics/metrics", f"{DIGESTS}/metadata")
            )
            score, kept = float(written[SCORE]), float(known[SCORE])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise Damaged(f"its score cannot be read: {_first_line(error)}") from error
        if score != kept:
            raise Damaged(f"its score changed: {score} is not {kept}")
        return score

    def save(self, step: int, state: Any, score: float = UNSCORED) -> None:
        """Save in the background; ``state`` may be donated as soon as this returns."""
        import orbax.checkpoint as ocp

        # own copies: on CPU a view of the device's buffer would keep the next step from reusing it
        held = jax.tree.map(lambda leaf: np.array(leaf), state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{
                    STATE: ocp.args.StandardSave(held),
                    DIGESTS: ocp.args.JsonSave(digests(held) | {SCORE: score}),
                }
            ),
            metrics={SCORE: score},
        )

    def restore_newest(self, like: Tree) -> tuple[int, Tree] | None:
        """The newest checkpoint that verifies, as ``(step, state)``; None when there is none at all.

        Damaged ones are moved aside into ``damaged/``, unless ``read_only``: they will be written anew.

        Args:
          like: a state, or its ``jax.eval_shape``, of the structure, shapes and dtypes expected.

        Raises:
          UserError: there are checkpoints, and not one verifies.
        """
        return self._restore_first(lambda step, score: step, like, set_aside=not self._read_only)

    def restore_best(self, like: Tree) -> tuple[int, Tree] | None:
        """The best-scored checkpoint that verifies (the newest, where none has a score)."""
        return self._restore_first(lambda step, score: (score, step), like, set_aside=False)

    def _restore_first(
        self, rank: Callable[[int, float], Any], like: Tree, *, set_aside: bool
    ) -> tuple[int, Tree] | None:
        """The checkpoint of the highest rank that verifies."""
        steps, scores, damaged = self.steps(), dict[int, float](), list[int]()

        def note(step: int, error: Damaged) -> None:
            self._say(f"checkpoint {step} is damaged ({error}); trying another one")
            damaged.append(step)

        for step in steps:
            try:
                scores[step] = self.score(step)
            except Damaged as error:
                note(step, error)
        for step in sorted(scores, key=lambda step: rank(step, scores[step]), reverse=True):
            try:
                state = self._read(step, like)
            except Damaged as error:
                note(step, error)
                continue
            if damaged and set_aside:
                self._set_aside(damaged)
            return step, state
        if damaged:
            raise UserError(
                f"{self.folder}: none of the checkpoints {steps} can be read; delete the folder to start over"
            )
        return None

    def _read(self, step: int, like: Tree) -> Tree:
        import orbax.checkpoint as ocp

        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        try:
            found = ocp.Checkpointer(ocp.CompositeCheckpointHandler()).restore(
                self.folder / str(step),
                args=ocp.args.Composite(
                    **{STATE: ocp.args.StandardRestore(target), DIGESTS: ocp.args.JsonRestore()}
                ),
            )
        except (
            Exception
        ) as error:  # whatever a flipped byte makes a reader say: it is reported, and never used
            raise Damaged(_first_line(error)) from error
        state, expected = found[STATE], {path: text for path, text in found[DIGESTS].items() if path != SCORE}
        actual = digests(state)
        if actual != expected:
            wrong = sorted(
                path for path in actual.keys() | expected.keys() if actual.get(path) != expected.get(path)
            )
            raise Damaged(f"the bytes of {wrong[0]} changed, {len(wrong)} of {len(actual)} arrays in all")
        return state

    def _set_aside(self, steps: list[int]) -> None:
        self.close()
        aside = self.folder.parent / "damaged"
        aside.mkdir(exist_ok=True)
        for step in steps:
            shutil.rmtree(aside / str(step), ignore_errors=True)
            shutil.move(self.folder / str(step), aside / str(step))
        self._say(f"moved {', '.join(map(str, steps))} to {aside}")

    def wait(self) -> None:
        """Return when every save is committed."""
        if self._opened:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Commit what is under way and release the folder."""
        if self._opened:
            self._manager.close()
            del self._manager  # what it knows of the folder grows old


def _score(metrics: Any) -> float:
    return UNSCORED if metrics is None else metrics[SCORE]


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__
