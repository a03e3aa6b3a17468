"""Every layer as a pure function: arrays in, arrays out, an explicit key where it draws."""

from jaxcnn.ops import check, geometry
from jaxcnn.ops.adaptive import adaptive_avg_pool, adaptive_max_pool
from jaxcnn.ops.batch_norm import Moments, batch_moments, batch_norm, update_running
from jaxcnn.ops.capsule import (
    EMRouted,
    Routed,
    capsule_lengths,
    capsule_votes,
    dynamic_routing,
    em_routing,
    margin_loss,
    primary_capsules,
    squash,
)
from jaxcnn.ops.channel_pool import complex_cell, maxout
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
from jaxcnn.ops.explain import explain
from jaxcnn.ops.factor import Factors, factor_kernel, flattened_conv, spatially_separable_conv
from jaxcnn.ops.filters import (
    binomial_filter,
    dct_filter,
    gabor_bank,
    gabor_filter,
    gaussian_filter,
    sobel_filter,
)
from jaxcnn.ops.gates import cbam, channel_attention, coordinate_attention, spatial_attention, squeeze_excite
from jaxcnn.ops.local import local_conv, tiled_conv
from jaxcnn.ops.norm import (
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    weight_normalize,
    weight_standardize,
)
from jaxcnn.ops.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from jaxcnn.ops.rearrange import depth_to_space, pixel_shuffle, pixel_unshuffle, space_to_depth
from jaxcnn.ops.resize import resize
from jaxcnn.ops.roi import deform_roi_pool, roi_align
from jaxcnn.ops.shortcut import zero_pad_shortcut
from jaxcnn.ops.stochastic import drop_block, drop_path, dropout, spatial_dropout
from jaxcnn.ops.stochastic_pool import stochastic_pool
from jaxcnn.ops.table import table_conv
from jaxcnn.ops.transpose import conv_transpose
from jaxcnn.ops.weighted import blur_pool, gaussian_pool, lp_pool, weighted_pool

__all__ = [
    "EMRouted",
    "Factors",
    "Moments",
    "Routed",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "batch_moments",
    "batch_norm",
    "binomial_filter",
    "blur_pool",
    "capsule_lengths",
    "capsule_votes",
    "cbam",
    "channel_attention",
    "channel_shuffle",
    "check",
    "complex_cell",
    "conv",
    "conv_transpose",
    "coordinate_attention",
    "dct_filter",
    "deform_conv",
    "deform_roi_pool",
    "dense",
    "depth_to_space",
    "depthwise_conv",
    "drop_block",
    "drop_path",
    "dropout",
    "dynamic_routing",
    "em_routing",
    "explain",
    "factor_kernel",
    "flattened_conv",
    "gabor_bank",
    "gabor_filter",
    "gaussian_filter",
    "gaussian_pool",
    "geometry",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_conv",
    "local_response_norm",
    "lp_pool",
    "margin_loss",
    "max_pool",
    "maxout",
    "pixel_shuffle",
    "pixel_unshuffle",
    "pointwise_conv",
    "primary_capsules",
    "resize",
    "roi_align",
    "separable_conv",
    "shuffled_conv",
    "sobel_filter",
    "space_to_depth",
    "spatial_attention",
    "spatial_dropout",
    "spatially_separable_conv",
    "squash",
    "squeeze_excite",
    "stochastic_pool",
    "table_conv",
    "tiled_conv",
    "update_running",
    "weight_normalize",
    "weight_standardize",
    "weighted_pool",
    "zero_pad_shortcut",
]
