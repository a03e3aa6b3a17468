"""Every layer in a line: the function, the module that is its twin, and what they eat.

``tests/test_laws.py`` runs its laws over each. A function takes what it names: ``x``; ``p``, the module's
parameters; ``s``, its running statistics; ``key``, where it draws.
"""

import jax.numpy as jnp
import numpy as np

from jaxcnn import nn, ops
from tests.composed import (
    EMCapsules,
    boxes,
    deform_conv,
    deform_roi_pool,
    em_routing,
    pair,
    weight_norm_conv,
)
from tests.layer import BATCH, Layer, image, invariant, shifts

__all__ = ["BATCH", "CATALOGUE", "NOT_LAYERS", "Layer", "image"]

TABLE = ((0, 1), (2,), (2, 0, 1), (1,))

CONVOLUTIONS = [
    Layer(
        "conv",
        lambda x, p: ops.conv(x, p["kernel"], p["bias"], padding="CIRCULAR"),
        nn.Conv(4, 3, padding="CIRCULAR"),
        image(6, 6, 3),
        equivariant=shifts(),
    ),
    Layer(
        "conv, 1-D causal dilated",
        lambda x, p: ops.conv(x, p["kernel"], p["bias"], padding="CAUSAL", dilation=2),
        nn.Conv(4, 3, padding="CAUSAL", dilation=2),
        image(9, 3),
    ),
    Layer(
        "conv, 3-D strided in groups",
        lambda x, p: ops.conv(x, p["kernel"], p["bias"], strides=2, padding="CIRCULAR", groups=2),
        nn.Conv(4, 3, strides=2, padding="CIRCULAR", groups=2),
        image(4, 4, 4, 2),
        equivariant=shifts(2),
    ),
    Layer(
        "conv_transpose",
        lambda x, p: ops.conv_transpose(x, p["kernel"], p["bias"], strides=2, padding="CIRCULAR"),
        nn.ConvTranspose(4, 3, strides=2, padding="CIRCULAR"),
        image(4, 4, 3),
        equivariant=shifts(1, 2),
    ),
    Layer(
        "depthwise_conv",
        lambda x, p: ops.depthwise_conv(x, p["kernel"], p["bias"], padding="CIRCULAR"),
        nn.DepthwiseConv(3, padding="CIRCULAR", multiplier=2),
        image(6, 6, 3),
        equivariant=shifts(),
    ),
    Layer(
        "pointwise_conv",
        lambda x, p: ops.pointwise_conv(x, p["kernel"], p["bias"], groups=2),
        nn.PointwiseConv(6, groups=2),
        image(4, 4, 4),
        equivariant=shifts(),
    ),
    Layer(
        "separable_conv",
        lambda x, p: ops.separable_conv(x, p["depthwise"], p["pointwise"], p["bias"], strides=2),
        nn.SeparableConv(4, 3, strides=2),
        image(6, 6, 3),
    ),
    Layer(
        "spatially_separable_conv",
        lambda x, p: ops.spatially_separable_conv(x, [p["kernel_0"], p["kernel_1"]], p["bias"]),
        nn.SpatiallySeparableConv(4, 3, rank=2),
        image(5, 5, 3),
    ),
    Layer(
        "flattened_conv",
        lambda x, p: ops.flattened_conv(x, p["lateral"], [p["profile_0"], p["profile_1"]], p["bias"]),
        nn.FlattenedConv(4, 3),
        image(5, 5, 3),
    ),
    Layer(
        "shuffled_conv",
        lambda x, p: ops.shuffled_conv(x, p["kernel"], p["bias"], groups=2),
        nn.ShuffledConv(4, 3, groups=2),
        image(5, 5, 4),
    ),
    Layer(
        "table_conv",
        lambda x, p: ops.table_conv(x, p["kernel"], p["bias"], table=TABLE, padding="CIRCULAR"),
        nn.TableConv(TABLE, 3, padding="CIRCULAR"),
        image(5, 4, 3),
        equivariant=shifts(),
    ),
    Layer("local_conv", lambda x, p: ops.local_conv(x, **p), nn.LocalConv(4, 3), image(4, 4, 3)),
    Layer(
        "tiled_conv",
        lambda x, p: ops.tiled_conv(x, **p, padding="CIRCULAR"),
        nn.TiledConv(4, 3, padding="CIRCULAR", tiles=2),
        image(6, 6, 3),
        equivariant=shifts(2, 2),
    ),
    Layer("deform_conv", deform_conv, nn.DeformConv(4, 3), image(5, 5, 2), half=0.2),
    Layer(
        "roi_align",
        lambda x, corners, images: ops.roi_align(x, corners, images, 2),
        nn.RoIAlign(2),
        image(6, 6, 3),
        args=boxes,
    ),
    Layer("deform_roi_pool", deform_roi_pool, nn.DeformRoIPool(2), image(6, 6, 2), args=boxes, half=0.1),
    Layer("dense", lambda x, p: ops.dense(x, p["kernel"], p["bias"]), nn.Dense(4), image(5)),
]

POOLING = [
    Layer("max_pool", lambda x: ops.max_pool(x, 2), nn.MaxPool(2), image(8, 8, 3), shifts(2)),
    Layer(
        "max_pool, 1-D overlapping, circular",
        lambda x: ops.max_pool(x, 3, strides=2, padding="CIRCULAR"),
        nn.MaxPool(3, strides=2, padding="CIRCULAR"),
        image(8, 3),
        shifts(2),
    ),
    Layer(
        "max_pool, 3-D by axes",
        lambda x: ops.max_pool(x, 3, strides=1, padding=1),
        nn.MaxPool(3, strides=1, padding=1),
        image(4, 4, 4, 1),
    ),
    Layer("avg_pool", lambda x: ops.avg_pool(x, 2), nn.AvgPool(2), image(8, 8, 3), shifts(2)),
    Layer(
        "avg_pool, 3-D ceil mode",
        lambda x: ops.avg_pool(x, 3, strides=2, padding=1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool(3, strides=2, padding=1, ceil_mode=True, count_include_pad=False),
        image(4, 4, 4, 2),
    ),
    Layer(
        "lp_pool",
        lambda x: ops.lp_pool(x, 3, p=3.0, strides=1, padding="CIRCULAR"),
        nn.LpPool(3, p=3.0, strides=1, padding="CIRCULAR"),
        image(6, 6, 3),
        shifts(),
    ),
    Layer("lp_pool, infinite", lambda x: ops.lp_pool(x, 2, p=np.inf), nn.LpPool(2, p=np.inf), image(6, 2)),
    Layer(
        "gaussian_pool",
        lambda x: ops.gaussian_pool(x, 3, strides=2, padding="CIRCULAR"),
        nn.GaussianPool(3, strides=2, padding="CIRCULAR"),
        image(6, 6, 3),
        shifts(2),
    ),
    Layer(
        "weighted_pool", lambda x, p: ops.weighted_pool(x, **p), nn.WeightedPool(2), image(4, 4, 3), shifts(2)
    ),
    Layer(
        "weighted_pool, by channel",
        lambda x, p: ops.weighted_pool(x, **p, strides=2, ceil_mode=True),
        nn.WeightedPool(3, per_channel=True, strides=2, ceil_mode=True),
        image(6, 3),
    ),
    Layer(
        "stochastic_pool",
        lambda x, key: ops.stochastic_pool(key, x, 2),
        nn.StochasticPool(2),
        image(6, 6, 3),
        train=True,
    ),
    Layer(
        "stochastic_pool, evaluation",
        lambda x: ops.stochastic_pool(None, x, 2),
        nn.StochasticPool(2),
        image(6, 6, 3),
        shifts(2),
    ),
    Layer(
        "blur_pool",
        lambda x: ops.blur_pool(x, padding="CIRCULAR"),
        nn.BlurPool(padding="CIRCULAR"),
        image(6, 6, 3),
        shifts(2),
    ),
    Layer("adaptive_avg_pool", lambda x: ops.adaptive_avg_pool(x, 3), nn.AdaptiveAvgPool(3), image(5, 7, 3)),
    Layer(
        "adaptive_max_pool",
        lambda x: ops.adaptive_max_pool(x, (3, 2)),
        nn.AdaptiveMaxPool((3, 2)),
        image(5, 4, 3),
    ),
    Layer(
        "adaptive_max_pool, even",
        lambda x: ops.adaptive_max_pool(x, 3),
        nn.AdaptiveMaxPool(3),
        image(6, 2),
        shifts(2),
    ),
    Layer("resize", lambda x: ops.resize(x, (7, 3)), nn.Resize((7, 3)), image(4, 5, 2)),
    Layer("maxout", lambda x: ops.maxout(x, 3), nn.Maxout(3), image(3, 3, 6), shifts()),
    Layer("complex_cell", ops.complex_cell, nn.ComplexCell(), image(3, 3, 4), shifts()),
    Layer("global_avg_pool", ops.global_avg_pool, nn.GlobalAvgPool(), image(4, 5, 3), invariant),
    Layer("global_max_pool", ops.global_max_pool, nn.GlobalMaxPool(), image(6, 3), invariant),
]

NORMS = [
    Layer(
        "batch_norm, evaluation",
        lambda x, p, s: ops.batch_norm(x, p["scale"], p["bias"], s["mean"], s["var"]),
        nn.BatchNorm(),
        image(4, 4, 3),
        shifts(),
    ),
    Layer(
        "batch_norm, training",
        lambda x, p: ops.batch_norm(x, p["scale"], p["bias"], *ops.batch_moments(x)[:2]),
        nn.BatchNorm(),
        image(4, 4, 3),
        shifts(),
        independent=False,
        train=True,
        half=0.1,
    ),
    Layer(
        "layer_norm",
        lambda x, p: ops.layer_norm(x, p["scale"], p["bias"]),
        nn.LayerNorm(),
        image(4, 4, 5),
        shifts(),
    ),
    Layer(
        "layer_norm, of the image",
        lambda x, p: ops.layer_norm(x, p["scale"], p["bias"], axis=(1, 2)),
        nn.LayerNorm(axis=(1, 2)),
        image(4, 5),
        shifts(),
    ),
    Layer(
        "group_norm",
        lambda x, p: ops.group_norm(x, p["scale"], p["bias"], groups=2),
        nn.GroupNorm(2),
        image(3, 3, 3, 4),
        shifts(),
    ),
    Layer(
        "instance_norm",
        lambda x, p: ops.instance_norm(x, p["scale"], p["bias"]),
        nn.InstanceNorm(),
        image(4, 4, 3),
        shifts(),
    ),
    Layer(
        "local_response_norm",
        lambda x: ops.local_response_norm(x, 3, alpha=0.5),
        nn.LocalResponseNorm(3, alpha=0.5),
        image(3, 3, 5),
        shifts(),
    ),
    Layer(
        "weight_standardize",
        lambda x, p: ops.conv(
            x, ops.weight_standardize(p["kernel"], p["gain"]), p["bias"], padding="CIRCULAR"
        ),
        nn.StandardizedConv(4, 3, padding="CIRCULAR", use_gain=True),
        image(4, 4, 3),
        shifts(),
    ),
    Layer("weight_normalize", weight_norm_conv, nn.WeightNormConv(4, 3), image(4, 4, 3)),
]

STOCHASTIC = [
    Layer("dropout", lambda x, key: ops.dropout(key, x, 0.4), nn.Dropout(0.4), image(4, 4, 3), train=True),
    Layer(
        "spatial_dropout",
        lambda x, key: ops.spatial_dropout(key, x, 0.4),
        nn.SpatialDropout(0.4),
        image(4, 4, 8),
        shifts(),
        train=True,
    ),
    Layer(
        "drop_path",
        lambda x, key: ops.drop_path(key, x, 0.4),
        nn.DropPath(0.4),
        image(4, 3),
        shifts(),
        train=True,
    ),
    Layer(
        "drop_block",
        lambda x, key: ops.drop_block(key, x, 0.4, block=2),
        nn.DropBlock(0.4, block=2),
        image(5, 5, 3),
        train=True,
    ),
]

REARRANGEMENT = [
    Layer(
        "channel_shuffle", lambda x: ops.channel_shuffle(x, 2), nn.ChannelShuffle(2), image(3, 3, 4), shifts()
    ),
    Layer(
        "space_to_depth", lambda x: ops.space_to_depth(x, 2), nn.SpaceToDepth(2), image(4, 6, 3), shifts(2)
    ),
    Layer(
        "depth_to_space", lambda x: ops.depth_to_space(x, 2), nn.DepthToSpace(2), image(2, 3, 8), shifts(1, 2)
    ),
    Layer(
        "pixel_shuffle",
        lambda x: ops.pixel_shuffle(x, (1, 2, 3)),
        nn.PixelShuffle((1, 2, 3)),
        image(2, 2, 2, 6),
    ),
    Layer(
        "pixel_unshuffle", lambda x: ops.pixel_unshuffle(x, 2), nn.PixelUnshuffle(2), image(4, 3), shifts(2)
    ),
    Layer(
        "zero_pad_shortcut",
        lambda x: ops.zero_pad_shortcut(x, 5, strides=2),
        None,
        image(4, 4, 3),
        shifts(2),
    ),
]

GATES = [
    Layer(
        "squeeze_excite",
        lambda x, p: ops.squeeze_excite(x, pair(p, "squeeze"), pair(p, "excite")),
        nn.SqueezeExcite(reduction=2),
        image(3, 3, 4),
        shifts(),
    ),
    Layer(
        "cbam",
        lambda x, p: ops.cbam(x, pair(p, "squeeze"), pair(p, "excite"), *pair(p, "spatial")),
        nn.CBAM(reduced=2, kernel_size=3),
        image(4, 4, 4),
    ),
    Layer(
        "channel_attention",
        lambda x: ops.channel_attention(
            x, (jnp.ones((2, 3), x.dtype), None), (jnp.eye(3, 2, dtype=x.dtype), None)
        ),
        None,
        image(5, 2),
        shifts(),
    ),
    Layer(
        "spatial_attention",
        lambda x: ops.spatial_attention(x, jnp.ones((3, 3, 3, 2, 1), x.dtype)),
        None,
        image(3, 3, 3, 2),
    ),
    Layer(
        "coordinate_attention",
        lambda x, p, s: ops.coordinate_attention(
            x,
            pair(p, "reduce"),
            [pair(p, "expand_0"), pair(p, "expand_1")],
            norm=lambda y: ops.batch_norm(
                y, p["norm"]["scale"], p["norm"]["bias"], s["norm"]["mean"], s["norm"]["var"]
            ),
        ),
        nn.CoordinateAttention(least=2),
        image(4, 3, 4),
        shifts(),
    ),
]

CAPSULES = [
    Layer("capsule_lengths", lambda x: ops.capsule_lengths(x), None, image(3, 4)),
    Layer("squash", lambda x: ops.squash(x), None, image(3, 4)),
    Layer(
        "primary_capsules",
        lambda x, p: ops.primary_capsules(ops.conv(x, **p["conv"], padding="VALID"), 2),
        nn.PrimaryCapsules(types=2, dim=2, kernel_size=3, strides=1),
        image(4, 4, 2),
    ),
    Layer(
        "capsule_votes", lambda x: ops.capsule_votes(x, jnp.ones((3, 2, 4, 5), x.dtype)), None, image(3, 4)
    ),
    Layer(
        "dynamic_routing",
        lambda x, p: ops.dynamic_routing(ops.capsule_votes(x, p["kernel"]), 3).capsules,
        nn.RoutedCapsules(3, dim=4),
        image(5, 2),
    ),
    Layer("em_routing", em_routing, EMCapsules(3, dim=2, inverse_temperature=0.5), image(5, 2), half=0.1),
]

CATALOGUE = CONVOLUTIONS + POOLING + NORMS + STOCHASTIC + REARRANGEMENT + GATES + CAPSULES

FILTER = "a kernel, not a layer; tests/ops/test_filters.py"

NOT_LAYERS = {
    "batch_moments": "statistics for batch_norm; tests/ops/test_norm.py",
    "binomial_filter": FILTER,
    "dct_filter": FILTER,
    "explain": "says how a convolution is computed; tests/ops/test_lowering.py",
    "factor_kernel": "takes a kernel apart; tests/ops/test_factor.py",
    "gabor_bank": FILTER,
    "gabor_filter": FILTER,
    "gaussian_filter": FILTER,
    "margin_loss": "a loss; tests/ops/test_capsule.py",
    "sobel_filter": FILTER,
    "update_running": "averages statistics over batches; tests/ops/test_norm.py",
}
