"""Files that readers find whole, or are told what is wrong with."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcnn.errors import UserError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers find the old one or the new one, never half of it.

    Several writers, threads of one process among them, may write at once: the last one's content stays.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


def read_bytes(path: Path, advice: str) -> bytes:
    """What a file holds.

    Raises:
      UserError: it cannot be read; the advice is what to do then.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {advice}") from error


def read_json(path: Path, fields: Mapping[str, type], advice: str) -> dict[str, Any]:
    """The object in a JSON file, see :func:`parse_json`."""
    return parse_json(read_bytes(path, advice), str(path), fields, advice)


def parse_json(content: bytes, at: str, fields: Mapping[str, type], advice: str) -> dict[str, Any]:
    """The JSON object that some bytes spell; ``float`` stands for any number.

    Args:
      content: the bytes.
      at: where they are from.
      fields: what the object must have, and of which type; there may be more.
      advice: what to do where it is damaged.

    Raises:
      UserError: these are other bytes.

    Example:
      >>> parse_json(b'{"step": 3, "loss": 1}', "log:1", {"step": int, "loss": float}, "delete it")
      {'step': 3, 'loss': 1}
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        raise UserError(f"{at} cannot be read (no JSON: {error}); {advice}") from error
    if not isinstance(found, dict):
        raise UserError(f"{at} cannot be read (expected an object with {', '.join(fields)}); {advice}")
    for name, kind in fields.items():
        if not isinstance(found.get(name), (int, float) if kind is float else kind):
            said = json.dumps(found[name])[:40] if name in found else "missing"
            raise UserError(f"{at} cannot be read ({name} is {said}); {advice}")
    return found
