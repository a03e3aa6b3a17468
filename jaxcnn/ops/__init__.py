"""Every layer as a pure function: arrays in, arrays out, an explicit key where it draws."""

from jaxcnn.ops import check, geometry
from jaxcnn.ops.conv import conv
from jaxcnn.ops.dense import dense
from jaxcnn.ops.norm import batch_moments, batch_norm, group_norm, instance_norm, layer_norm, update_running
from jaxcnn.ops.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from jaxcnn.ops.shortcut import zero_pad_shortcut
from jaxcnn.ops.stochastic import drop_path, dropout, spatial_dropout
from jaxcnn.ops.transpose import conv_transpose

__all__ = [
    "avg_pool",
    "batch_moments",
    "batch_norm",
    "check",
    "conv",
    "conv_transpose",
    "dense",
    "drop_path",
    "dropout",
    "geometry",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "max_pool",
    "spatial_dropout",
    "update_running",
    "zero_pad_shortcut",
]
