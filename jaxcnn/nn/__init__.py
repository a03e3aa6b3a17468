"""Linen modules: each owns its parameters and calls a function of :mod:`jaxcnn.ops`."""

from jaxcnn.nn.conv import Conv, Dense
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from jaxcnn.nn.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from jaxcnn.nn.stochastic import Dropout, DropPath, SpatialDropout

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Dense",
    "DropPath",
    "Dropout",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "MaxPool",
    "SpatialDropout",
]
