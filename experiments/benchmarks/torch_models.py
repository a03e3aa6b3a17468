"""torchvision and timm, beside any build of torch.

The wheels of torchvision hold operators compiled for one build of torch: beside a torch for processors only,
those do not load. No classifier needs them, but while torchvision is imported it says the shapes of two of
them, which torch refuses for operators that it has never heard of. So these two are declared, and stay
without a kernel.
"""

import importlib
import importlib.util
from typing import Any

UNLOADED = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # torch forgets a declaration with the object that made it


def import_torchvision() -> Any:
    """The torchvision package, or None where it or torch is not installed."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision")):
        return None
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in UNLOADED:
        library.define(schema)
    _declared.append(library)
    return importlib.import_module("torchvision")


def import_timm() -> Any:
    """The timm package, or None where it, torchvision or torch is not installed."""
    if import_torchvision() is None or importlib.util.find_spec("timm") is None:
        return None
    return importlib.import_module("timm")
