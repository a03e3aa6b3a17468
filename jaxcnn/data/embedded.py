"""Keeps the embedded data sets on disk: prepared at first use, verified at each, rebuilt when damaged."""

import contextlib
import fcntl
import hashlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxcnn.errors import UserError

NAMES = ("digits", "shapes")
VERSION = "1.0.0"  # of both; other content would be another version
DEFAULT_SIZE = "32"  # of shapes

SUMS = "SHA256SUMS"  # in sha256sum's format, so that `sha256sum -c SHA256SUMS` checks a set too


def ensure(name: str, config: str, folder: Path) -> None:
    """Make sure that an embedded set lies intact in a folder; what has to be done is said on stderr.

    Of several processes one does it while the others wait, and a set appears whole, by one rename.

    Args:
      name: one of :data:`NAMES`.
      config: the size, for ``shapes``; else empty.
      folder: where it belongs, DATA_DIR/name[/config]/version.

    Raises:
      UserError: the folder cannot be written, or holds something else.
    """
    try:
        if damage(folder) is None:
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.parent / ".lock"):
            trouble = damage(folder)  # another process may just have done it
            if trouble is None:
                return
            if trouble and not _is_ours(folder):
                raise UserError(
                    f"{folder} is not {name} as jaxcnn prepares it ({trouble}); "
                    "move it away or use another --data_dir"
                )
            news = (
                f"{folder} is damaged ({trouble}); rebuilding it" if trouble else f"preparing {folder}, once"
            )
            print(news, file=sys.stderr, flush=True)
            _build(name, config, folder)
    except OSError as error:
        raise UserError(
            f"cannot keep {name} in {folder} ({error.strerror}); give another folder by --data_dir"
        ) from error


def damage(folder: Path) -> str | None:
    """What is wrong with a prepared folder.

    Returns:
      None when every file is as it was written; ``""`` when there is nothing yet; else what is wrong.
    """
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return "it is a file"
    if not any(folder.iterdir()):
        return ""
    try:
        lines = (folder / SUMS).read_text("ascii").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return f"no {SUMS}"
    sums = {file: digest for digest, _, file in (line.partition("  ") for line in lines)}
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {SUMS}
    if not there <= sums.keys() or "" in sums:
        return f"{SUMS} is cut short"
    for file, expected in sums.items():
        if not (folder / file).is_file():
            return f"{file} is missing"
        if hashlib.sha256((folder / file).read_bytes()).hexdigest() != expected:
            return f"{file} has changed"
    return None


def _is_ours(folder: Path) -> bool:
    """Whether a damaged folder is a set of ours, which may be overwritten."""
    info = folder / "dataset_info.json"
    return (folder / SUMS).is_file() or (info.is_file() and b"jaxcnn.data.builders" in info.read_bytes())


def _build(name: str, config: str, folder: Path) -> None:
    import tensorflow_datasets as tfds

    from jaxcnn.data import builders

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incomplete.", dir=folder.parent) as scratch:
        with _quiet():
            builder_class = builders.Digits if name == "digits" else builders.Shapes
            builder = builder_class(
                data_dir=scratch,
                config=tfds.core.BuilderConfig(name=config, version=VERSION) if config else None,
            )
            builder.download_and_prepare(file_format="array_record")
        made = Path(builder.data_dir)
        sums = [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in sorted(made.iterdir())
        ]
        (made / SUMS).write_text("\n".join(sums) + "\n", "ascii")
        if folder.exists():
            folder.rename(Path(scratch) / "damaged")
        made.rename(folder)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait for, and hold, the lock of a file; the system frees it when its holder ends, however it ends."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """While TFDS prepares it speaks of downloads and draws bars; for an embedded set none of it is news."""
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
