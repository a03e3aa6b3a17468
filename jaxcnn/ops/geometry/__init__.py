"""Sizes, padding and receptive fields: the only place that does this arithmetic.

Functions that take ``sizes`` speak of all spatial axes; every other speaks of one axis, in pixels,
with the window described by ``kernel`` (taps), ``stride``, ``dilation`` (distance between taps) and
``padding`` (pixels added below and above the axis). A window spans ``extent = (kernel - 1)·dilation + 1``
pixels; output ``i`` reads ``i·stride - low + tap·dilation`` for each tap. Everything is Python integers, so a
mistake is reported while tracing, never by the device; where it says so, arrays of integers serve as well.
"""

from jaxcnn.ops.geometry.field import ReceptiveField, tap_rows, transposed_inputs, window_inputs
from jaxcnn.ops.geometry.padding import (
    PADDINGS,
    AxisPadding,
    Padding,
    axis_paddings,
    centre_padding,
    gradient_padding,
    middle_padding,
    output_sizes,
    resolve_padding,
    resolve_transposed_padding,
    same_padding,
)
from jaxcnn.ops.geometry.phase import Phase, transposed_phases
from jaxcnn.ops.geometry.size import (
    StrideLoss,
    adaptive_window,
    extent,
    input_size,
    interpolated_place,
    kernel_size,
    output_size,
    overhang,
    spatial_tuple,
    stride_loss,
    transposed_size,
)

__all__ = [
    "PADDINGS",
    "AxisPadding",
    "Padding",
    "Phase",
    "ReceptiveField",
    "StrideLoss",
    "adaptive_window",
    "axis_paddings",
    "centre_padding",
    "extent",
    "gradient_padding",
    "input_size",
    "interpolated_place",
    "kernel_size",
    "middle_padding",
    "output_size",
    "output_sizes",
    "overhang",
    "resolve_padding",
    "resolve_transposed_padding",
    "same_padding",
    "spatial_tuple",
    "stride_loss",
    "tap_rows",
    "transposed_inputs",
    "transposed_phases",
    "transposed_size",
    "window_inputs",
]
