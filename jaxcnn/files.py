"""Files that readers find whole."""

import uuid
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers find the old one or the new one, never half of it.

    Several writers, threads of one process among them, may write at once: the last one's text stays.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
