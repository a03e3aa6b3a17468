"""Every layer as a pure function: arrays in, arrays out, an explicit key where it draws."""

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv
from jaxcnn.ops.deform import deform_conv
from jaxcnn.ops.dense import dense
from jaxcnn.ops.depthwise import (
    channel_shuffle,
    depthwise_conv,
    pointwise_conv,
    separable_conv,
    shuffled_conv,
)
from jaxcnn.ops.factor import Factors, factor_kernel, flattened_conv, spatially_separable_conv
from jaxcnn.ops.local import local_conv, tiled_conv
from jaxcnn.ops.norm import batch_moments, batch_norm, group_norm, instance_norm, layer_norm, update_running
from jaxcnn.ops.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from jaxcnn.ops.roi import deform_roi_pool, roi_align
from jaxcnn.ops.shortcut import zero_pad_shortcut
from jaxcnn.ops.stochastic import drop_block, drop_path, dropout, spatial_dropout
from jaxcnn.ops.transpose import conv_transpose

__all__ = [
    "Factors",
    "avg_pool",
    "batch_moments",
    "batch_norm",
    "channel_shuffle",
    "check",
    "conv",
    "conv_transpose",
    "deform_conv",
    "deform_roi_pool",
    "dense",
    "depthwise_conv",
    "drop_block",
    "drop_path",
    "dropout",
    "factor_kernel",
    "flattened_conv",
    "geometry",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_conv",
    "max_pool",
    "pointwise_conv",
    "roi_align",
    "separable_conv",
    "shuffled_conv",
    "spatial_dropout",
    "spatially_separable_conv",
    "tiled_conv",
    "update_running",
    "zero_pad_shortcut",
]
