"""Files that readers find whole."""

import uuid
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers find the old one or the new one, never half of it.

    Several writers, threads of one process among them, may write at once: the last one's content stays.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)
