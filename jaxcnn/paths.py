"""Paths that people write."""

import re
from pathlib import Path


def absolute(text: str) -> str:
    """A path from the root on, whatever folder it is read in; nothing stays nothing.

    >>> absolute("/sets/../digits"), absolute("")
    ('/sets/../digits', '')
    """
    return str(Path(text).expanduser().absolute()) if text else ""


def is_prepared_set(text: str) -> bool:
    """Whether ``--dataset=text`` is a path, of a folder that TFDS has prepared, and no name.

    >>> is_prepared_set("mnist/three:3.0.1"), is_prepared_set("./mnist")
    (False, True)
    """
    spelt = re.match(r"[/~]|\.\.?/", text) is not None
    return spelt or (Path(text).expanduser() / "dataset_info.json").is_file()
