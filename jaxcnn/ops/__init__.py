"""Every layer as a pure function: arrays in, arrays out, an explicit key where it draws."""

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv
from jaxcnn.ops.dense import dense

__all__ = [
    "check",
    "conv",
    "dense",
    "geometry",
]
