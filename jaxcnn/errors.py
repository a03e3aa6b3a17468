"""Mistakes a person can make, said in one line."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input from a person: a flag, a file, a folder.

    The message is one line that names the thing, its value, what was expected and what to do.
    Commands print it and exit with 2; everything else that escapes is a defect and keeps its traceback.
    """

    exit_code = 2


class RunFailed(UserError):
    """Work that cannot go on though nothing was typed wrongly, such as a loss that is no longer finite."""

    exit_code = 1


def nearest(name: str, names: Iterable[str], most: int = 3) -> str:
    """A hint naming what is closest to ``name``, or all ``names`` when nothing is close.

    >>> nearest("resnet2O", ["mlp", "resnet32", "resnet20"])
    'did you mean resnet20 or resnet32?'
    >>> nearest("acc", ["macs", "val_accuracy"])
    'did you mean val_accuracy or macs?'
    >>> nearest("zzz", ["sgd", "adamw"])
    'known: adamw, sgd'
    """

    def likeness(each: str) -> tuple[float, int]:
        matcher = difflib.SequenceMatcher(None, each, name)
        return matcher.ratio(), matcher.find_longest_match().size

    names = sorted(names)
    held = sorted((each for each in names if len(name) > 2 and name in each), key=len)
    alike = [each for each in sorted(names, key=likeness, reverse=True) if likeness(each)[0] >= 0.5][:most]
    close = list(dict.fromkeys(held + alike if len(held) <= most else alike))[:most]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}"
