"""Linen modules: each owns its parameters and calls a function of :mod:`jaxcnn.ops`."""

from jaxcnn.nn.conv import Conv, Dense

__all__ = [
    "Conv",
    "Dense",
]
