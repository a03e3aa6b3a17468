"""Linen modules: each owns its parameters and calls a function of :mod:`jaxcnn.ops`."""

from jaxcnn.nn.blocks import BasicBlock, BottleneckBlock, ConvNorm, ResidualBlock
from jaxcnn.nn.conv import Conv, Dense
from jaxcnn.nn.heads import FlattenHead, PooledHead
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from jaxcnn.nn.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from jaxcnn.nn.stochastic import Dropout, DropPath, SpatialDropout

__all__ = [
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "BottleneckBlock",
    "Conv",
    "ConvNorm",
    "Dense",
    "DropPath",
    "Dropout",
    "FlattenHead",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "MaxPool",
    "PooledHead",
    "ResidualBlock",
    "SpatialDropout",
]
