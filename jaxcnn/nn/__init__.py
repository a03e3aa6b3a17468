"""Linen modules: each owns its parameters and calls a function of :mod:`jaxcnn.ops`."""

from jaxcnn.nn.blocks import BasicBlock, BottleneckBlock, ConvNorm, ResidualBlock
from jaxcnn.nn.conv import Conv, ConvTranspose, Dense, DepthwiseConv, PointwiseConv, ShuffledConv
from jaxcnn.nn.deform import DeformConv, DeformRoIPool, RoIAlign
from jaxcnn.nn.factor import FlattenedConv, SeparableConv, SpatiallySeparableConv
from jaxcnn.nn.heads import FlattenHead, PooledHead
from jaxcnn.nn.local import LocalConv, TiledConv
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from jaxcnn.nn.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from jaxcnn.nn.stochastic import DropBlock, Dropout, DropPath, SpatialDropout

__all__ = [
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "BottleneckBlock",
    "Conv",
    "ConvNorm",
    "ConvTranspose",
    "DeformConv",
    "DeformRoIPool",
    "Dense",
    "DepthwiseConv",
    "DropBlock",
    "DropPath",
    "Dropout",
    "FlattenHead",
    "FlattenedConv",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "LocalConv",
    "MaxPool",
    "PointwiseConv",
    "PooledHead",
    "ResidualBlock",
    "RoIAlign",
    "SeparableConv",
    "ShuffledConv",
    "SpatialDropout",
    "SpatiallySeparableConv",
    "TiledConv",
]
