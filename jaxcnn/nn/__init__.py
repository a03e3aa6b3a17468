"""Linen modules: each owns its parameters and calls a function of :mod:`jaxcnn.ops`."""

from jaxcnn.nn.blocks import BasicBlock, BottleneckBlock, ConvNorm, ResidualBlock
from jaxcnn.nn.capsule import EMCapsules, PrimaryCapsules, RoutedCapsules
from jaxcnn.nn.conv import Conv, ConvTranspose, Dense, DepthwiseConv, PointwiseConv, ShuffledConv
from jaxcnn.nn.deform import DeformConv, DeformRoIPool, RoIAlign
from jaxcnn.nn.dense_heads import DenseHead, FCNHead, LastHead
from jaxcnn.nn.factor import FlattenedConv, SeparableConv, SpatiallySeparableConv
from jaxcnn.nn.gates import CBAM, CoordinateAttention, SqueezeExcite
from jaxcnn.nn.heads import FlattenHead, FullyConnectedHead, PooledHead
from jaxcnn.nn.inverted import InvertedResidual
from jaxcnn.nn.local import LocalConv, TiledConv
from jaxcnn.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from jaxcnn.nn.pool import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    BlurPool,
    ComplexCell,
    GaussianPool,
    GlobalAvgPool,
    GlobalMaxPool,
    LpPool,
    Maxout,
    MaxPool,
    StochasticPool,
    WeightedPool,
)
from jaxcnn.nn.rearrange import ChannelShuffle, DepthToSpace, PixelShuffle, PixelUnshuffle, SpaceToDepth
from jaxcnn.nn.resize import Resize
from jaxcnn.nn.standardized import StandardizedConv, WeightNormConv
from jaxcnn.nn.stochastic import DropBlock, Dropout, DropPath, SpatialDropout
from jaxcnn.nn.table import TableConv

__all__ = [
    "CBAM",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "BlurPool",
    "BottleneckBlock",
    "ChannelShuffle",
    "ComplexCell",
    "Conv",
    "ConvNorm",
    "ConvTranspose",
    "CoordinateAttention",
    "DeformConv",
    "DeformRoIPool",
    "Dense",
    "DenseHead",
    "DepthToSpace",
    "DepthwiseConv",
    "DropBlock",
    "DropPath",
    "Dropout",
    "EMCapsules",
    "FCNHead",
    "FlattenHead",
    "FlattenedConv",
    "FullyConnectedHead",
    "GaussianPool",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "InvertedResidual",
    "LastHead",
    "LayerNorm",
    "LocalConv",
    "LocalResponseNorm",
    "LpPool",
    "MaxPool",
    "Maxout",
    "PixelShuffle",
    "PixelUnshuffle",
    "PointwiseConv",
    "PooledHead",
    "PrimaryCapsules",
    "ResidualBlock",
    "Resize",
    "RoIAlign",
    "RoutedCapsules",
    "SeparableConv",
    "ShuffledConv",
    "SpaceToDepth",
    "SpatialDropout",
    "SpatiallySeparableConv",
    "SqueezeExcite",
    "StandardizedConv",
    "StochasticPool",
    "TableConv",
    "TiledConv",
    "WeightNormConv",
    "WeightedPool",
]
