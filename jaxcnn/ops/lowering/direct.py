"""The reference: the convolution that XLA knows."""

import jax
from jax import lax

from jaxcnn.ops.lowering.spec import ConvSpec, dimension_numbers


def conv(x: jax.Array, kernel: jax.Array, spec: ConvSpec) -> jax.Array:
    """Compute a :class:`ConvSpec` by ``lax.conv_general_dilated``."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=spec.strides,
        padding=spec.padding,
        rhs_dilation=spec.dilation,
        dimension_numbers=dimension_numbers(spec.ndim),
        feature_group_count=spec.groups,
    )
