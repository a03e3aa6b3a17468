"""What modules ask of their sizes, before an initialiser meets them."""

from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int = 1) -> int:
    """The value, which has to be a whole number of ``least`` or more.

    Raises:
      TypeError: it is no whole number.
      ValueError: it is below ``least``.

    Example:
      >>> whole("features", -3)
      Traceback (most recent call last):
      ValueError: features=-3: expected 1 or more
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r}: expected a whole number")
    if value < least:
        raise ValueError(f"{name}={value}: expected {least} or more")
    return int(value)
