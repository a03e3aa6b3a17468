"""Images of mixed sizes in one batch: each in the low corner of a common canvas, and a mask of what is image.

Windows start at the low corner, so behind every layer what an image alone would give lies in the low corner
again, as large as :mod:`jaxcnn.ops.geometry` says; what lies outside means nothing. A :class:`Canvas` follows
those sizes through a network and, by a Linen interceptor, calls each layer so that the outside does not
matter: windows read zeros there (for maxima −∞), statistics and global pooling leave it out. Layers that
cannot do this say so.

The size of an image behind a layer depends on its size in front of the network alone, so it is looked up in a
table that is known when the program is traced, one for each size that the canvas has on its way. Sizes
themselves may be traced.
"""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn, ops
from jaxcnn.nn.conv import WindowOwner
from jaxcnn.nn.pool import _Pool
from jaxcnn.ops import geometry

Shape = tuple[int, ...]
Call = Callable[..., Any]


class AtLeast(linen.Module):
    """A map with zeros behind it, up to ``size`` pixels on each axis."""

    size: int

    def __call__(self, x: jax.Array) -> jax.Array:
        behind = [(0, max(self.size - pixels, 0)) for pixels in x.shape[1:-1]]
        return jnp.pad(x, [(0, 0), *behind, (0, 0)])


class Canvas:
    """What is image in the maps of a network, see :mod:`jaxcnn.models.masking`.

    Args:
      mask: (n, *spatial), True in a rectangle that starts in the low corner, for each image. A traced mask is
        taken at its word.
      least: pixels that an image must have on each axis.

    Raises:
      ValueError: a mask that is not traced is no such rectangle, or smaller.
    """

    def __init__(self, mask: jax.Array, least: int = 1) -> None:
        shape = mask.shape[1:]
        axes = range(len(shape))
        self.traced = isinstance(mask, jax.core.Tracer)
        self.np: Any = jnp if self.traced else np  # what NumPy holds stays known where all else is traced
        inside = mask if self.traced else np.asarray(mask)
        counts = [inside.any(tuple(1 + other for other in axes if other != axis)).sum(-1) for axis in axes]
        self.sizes = self.np.stack(counts, axis=-1)
        self.tables: dict[Shape, list[np.ndarray]] = {shape: [np.arange(size + 1) for size in shape]}
        self.path, self.pooled = "the network", False
        # the sizes that an image may have on each axis: those it has, where they are known
        self.possible = [np.arange(least, size + 1) for size in shape]
        if not self.traced:
            self.possible = [np.unique(self.sizes[:, axis]) for axis in axes]
            if (inside != self.mask(shape)).any():
                self.refuse("expected a rectangle in the low corner of the canvas for each image")
            if (small := self.sizes.min()) < least:
                self.refuse(f"an image of {small} pixels on an axis; expected {least} or more")

    def refuse(self, why: str) -> NoReturn:
        raise ValueError(f"mask, at {self.path}: {why}")

    def known(self, x: Any) -> bool:
        """Whether x is a map of images; anything else has no positions."""
        if not hasattr(x, "ndim") or x.ndim != self.sizes.shape[1] + 2:
            return False
        if x.shape[1:-1] not in self.tables:
            self.refuse(f"a map of {x.shape[1:-1]} positions that no layer made")
        return True

    def mask(self, shape: Shape) -> Any:
        """(n, *shape), True where a map of that shape holds an image."""
        found: Any = True
        sizes = self.pixels(shape)
        for axis, pixels in enumerate(shape):
            inside = self.np.arange(pixels)[None] < sizes[:, axis, None]
            found = found & self.np.expand_dims(
                inside, [1 + other for other in range(len(shape)) if other != axis]
            )
        return found

    def pixels(self, shape: Shape) -> Any:
        """(n, axes), the pixels of each image along each axis of a map of that shape."""
        tables = enumerate(self.tables[shape])
        return self.np.stack([self.np.asarray(table)[self.sizes[:, axis]] for axis, table in tables], -1)

    def fill(self, x: jax.Array, value: float = 0.0) -> jax.Array:
        """x with ``value`` outside the images."""
        return jnp.where(self.mask(x.shape[1:-1])[..., None], x, jnp.asarray(value, x.dtype))

    def advance(
        self,
        before: Shape,
        after: Shape,
        size: Callable[[int, int], int],
        *,
        crop: bool = False,
        anew: bool = False,
    ) -> None:
        """Note that a layer leads from one shape of the canvas to another.

        Args:
          size: from an axis and the pixels of an image on it to those behind the layer; 0: it is too small.
          crop: where ``after`` is known already, what is larger is about to be cropped to it.
          anew: where ``after`` is known already, it is of no more use in the module that calls this layer.
        """
        tables = []
        for axis, (table, allowed) in enumerate(zip(self.tables[before], self.possible, strict=True)):
            new = np.zeros_like(table)
            for start in allowed:
                new[start] = size(axis, int(table[start])) if table[start] else 0
                if not new[start] and not self.traced:
                    self.refuse(f"an image of {start} pixels on axis {axis} is too small for it")
            tables.append(new)
        if anew:
            self.tables[after] = tables
        for new, old, allowed in zip(
            tables, self.tables.setdefault(after, tables), self.possible, strict=True
        ):
            if (new != old)[allowed].any() and not (crop and (new >= old)[allowed].all()):
                self.clash(after)

    def clash(self, shape: Shape) -> NoReturn:
        self.refuse(f"images have different sizes in two maps of {shape} positions")

    def interceptor(
        self, call: Call, args: Any, kwargs: Any, context: linen.module.InterceptorContext
    ) -> Any:
        """Call a module so that what lies outside the images does not matter."""
        if context.method_name != "__call__" or not args:
            return call(*args, **kwargs)
        before, self.path = self.path, "/".join(context.module.path)
        try:
            return _call(context.module, self, call, *args, **kwargs)
        finally:
            self.path = before


@functools.singledispatch
def _call(module: linen.Module, canvas: Canvas, call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A module that is made of others, or that does the same at every position."""
    if type(module).__module__.startswith("flax."):
        canvas.refuse(f"flax's {type(module).__name__} is not known to leave out what is no image; use nn's")
    outside = dict(canvas.tables)
    y = call(x, *args, **kwargs)
    inside, canvas.tables = canvas.tables, canvas.tables | outside  # whatever was made anew was so in there
    for leaf in jax.tree.leaves(y):
        if jnp.ndim(leaf) > 2 and inside.get(leaf.shape[1:-1]) is not canvas.tables.get(leaf.shape[1:-1]):
            canvas.clash(leaf.shape[1:-1])
    return y


def _without(reason: str) -> Call:
    def refuse(module: linen.Module, canvas: Canvas, call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
        canvas.refuse(f"{type(module).__name__} {reason}; give images of one size")

    return refuse


REFUSED = {
    nn.DeformRoIPool: "reads boxes",
    nn.DepthToSpace: "rearranges positions",
    nn.EMCapsules: "votes over positions",
    nn.FlattenHead: "reads every position of one size",
    nn.LocalConv: "has weights for every position of one size",
    nn.PixelShuffle: "rearranges positions",
    nn.PixelUnshuffle: "rearranges positions",
    nn.PrimaryCapsules: "makes a capsule of every position",
    nn.RoIAlign: "reads boxes",
    nn.RoutedCapsules: "reads every position of one size",
    nn.SpaceToDepth: "rearranges positions",
}
ALIKE = (
    nn.ChannelShuffle,
    nn.ComplexCell,
    nn.Dropout,
    nn.DropPath,
    nn.LocalResponseNorm,
    nn.Maxout,
    nn.PointwiseConv,
    nn.SpatialDropout,
)
"""What does the same at every position; like modules that are made of others it is called as it is."""

for _kind, _reason in REFUSED.items():
    _call.register(_kind, _without(_reason))


@_call.register(linen.Embed)
def _embed(module: linen.Embed, canvas: Canvas, call: Call, tokens: Any) -> Any:
    return call(tokens)


def _slides(
    module: Any, canvas: Canvas, x: jax.Array, y: jax.Array, taps: Any, *, ceil_mode: bool = False
) -> None:
    """Follow the sizes through a window."""
    shape, ndim = x.shape[1:-1], x.ndim - 2
    taps = geometry.spatial_tuple(taps, ndim, "window")
    strides = geometry.spatial_tuple(taps if module.strides is None else module.strides, ndim, "strides")
    dilation = geometry.spatial_tuple(getattr(module, "dilation", 1), ndim, "dilation")
    pads = geometry.resolve_padding(module.padding, shape, taps, strides, dilation)
    entries = geometry.axis_paddings(module.padding, ndim)

    def size(axis: int, pixels: int) -> int:
        window = (taps[axis],), (strides[axis],), (dilation[axis],)
        if pads[axis].mode != "zeros":
            canvas.refuse(f"padding={entries[axis]!r} continues the canvas, not the image; pad with zeros")
        (pad,) = geometry.resolve_padding([entries[axis]], (pixels,), *window)
        if pad.low != pads[axis].low:
            canvas.refuse(
                f"padding={entries[axis]!r} with strides {strides[axis]} pads {pixels} pixels otherwise than "
                f"the canvas of {shape[axis]}; give the padding as a number"
            )
        try:
            return geometry.output_size(
                pixels,
                taps[axis],
                stride=strides[axis],
                padding=pad.pair,
                dilation=dilation[axis],
                ceil_mode=ceil_mode,
            )
        except ValueError:  # not one window fits
            return 0

    canvas.advance(shape, y.shape[1:-1], size)


@_call.register(WindowOwner)
@_call.register(nn.DepthwiseConv)
@_call.register(nn.TableConv)
def _convolution(module: Any, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    if not canvas.known(x):
        canvas.refuse("its input is no map of the images")
    y = call(canvas.fill(x), *args, **kwargs)
    _slides(module, canvas, x, y, module.kernel_size)
    return y


@_call.register(nn.ConvTranspose)
def _transposed(
    module: nn.ConvTranspose, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any
) -> Any:
    canvas.known(x)
    y = call(canvas.fill(x), *args, **kwargs)
    shape, ndim = x.shape[1:-1], x.ndim - 2
    window = [
        geometry.spatial_tuple(value, ndim, "window", minimum=0)
        for value in (module.kernel_size, module.strides, module.dilation, module.output_padding)
    ]
    entries = geometry.axis_paddings(module.padding, ndim)

    def resolve(axis: int, pixels: int) -> tuple[geometry.AxisPadding, int]:
        ((pad, outputs),) = geometry.resolve_transposed_padding(
            [entries[axis]], (pixels,), *((values[axis],) for values in window)
        )
        return pad, outputs

    def size(axis: int, pixels: int) -> int:
        pad, outputs = resolve(axis, pixels)
        if pad.mode != "zeros" or pad.low != resolve(axis, shape[axis])[0].low:
            canvas.refuse(
                f"padding={entries[axis]!r} crops images of different sizes differently; use a number"
            )
        return outputs

    canvas.advance(shape, y.shape[1:-1], size, crop=True)
    return y


@_call.register(_Pool)
@_call.register(nn.BlurPool)
def _pool(module: Any, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    canvas.known(x)
    y = call(canvas.fill(x), *args, **kwargs)
    _slides(module, canvas, x, y, module.window, ceil_mode=getattr(module, "ceil_mode", False))
    return y


@_call.register(nn.MaxPool)
def _max_pool(module: nn.MaxPool, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    canvas.known(x)
    y = call(canvas.fill(x, -jnp.inf), *args, **kwargs)
    _slides(module, canvas, x, y, module.window, ceil_mode=module.ceil_mode)
    return canvas.fill(y)  # infinities outside would reach gradients as 0 · ∞


@_call.register(nn.AvgPool)
def _avg_pool(module: nn.AvgPool, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    canvas.known(x)
    y = call(canvas.fill(x), *args, **kwargs)
    _slides(module, canvas, x, y, module.window, ceil_mode=module.ceil_mode)
    if not module.count_include_pad:
        inside = canvas.mask(x.shape[1:-1])[..., None].astype(jnp.float32)
        share = call(inside)  # of the taps that the canvas alone would count
        y = (y / jnp.where(share > 0, share, 1)).astype(y.dtype)
    elif module.ceil_mode:
        canvas.refuse("ceil_mode with count_include_pad divides by what hangs over the canvas, not the image")
    return y


@_call.register(nn.GlobalAvgPool)
@_call.register(nn.GlobalMaxPool)
@_call.register(nn.SqueezeExcite)
@_call.register(nn.CBAM)
@_call.register(nn.CoordinateAttention)
@_call.register(nn.BatchNorm)
@_call.register(nn.GroupNorm)
@_call.register(nn.InstanceNorm)
def _statistics(
    module: linen.Module, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any
) -> Any:
    if canvas.known(x):
        kwargs.setdefault("mask", jnp.asarray(canvas.mask(x.shape[1:-1])))
    canvas.pooled |= isinstance(module, nn.GlobalAvgPool | nn.GlobalMaxPool)
    return call(x, *args, **kwargs)


@_call.register(nn.AdaptiveAvgPool)
@_call.register(nn.AdaptiveMaxPool)
def _adaptive(module: Any, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    canvas.known(x)
    shape, size = x.shape[1:-1], geometry.spatial_tuple(module.size, x.ndim - 2, "size")
    if isinstance(module, nn.AdaptiveMaxPool) and set(size) == {1} and "sizes" not in kwargs:
        y = ops.global_max_pool(x, mask=canvas.mask(shape), keepdims=True)
    else:
        kwargs.setdefault("sizes", canvas.pixels(shape))
        y = call(x, *args, **kwargs)
    canvas.advance(shape, size, lambda axis, pixels: size[axis], anew=True)
    canvas.pooled = True
    return y


@_call.register(nn.Resize)
def _resize(module: nn.Resize, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    canvas.known(x)
    size = geometry.spatial_tuple(module.size, x.ndim - 2, "size")
    if size not in canvas.tables:
        canvas.refuse(f"images have no known size in a map of {size} positions that no layer made before")
    kwargs.setdefault("sizes", (canvas.pixels(x.shape[1:-1]), canvas.pixels(size)))
    return call(x, *args, **kwargs)


@_call.register(nn.LastHead)
def _last(module: nn.LastHead, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    if canvas.known(x):
        kwargs["lengths"] = jnp.asarray(canvas.pixels(x.shape[1:-1])[:, 0])
    canvas.pooled = True
    return call(x, *args, **kwargs)


@_call.register(nn.LayerNorm)
def _layer_norm(
    module: nn.LayerNorm, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any
) -> Any:
    if module.axis not in (-1, (-1,), x.ndim - 1) and canvas.known(x):
        canvas.refuse(f"axis={module.axis} takes statistics over positions; use GroupNorm(groups=1)")
    return call(x, *args, **kwargs)


@_call.register(nn.DropBlock)
def _drop_block(module: nn.DropBlock, canvas: Canvas, call: Call, x: jax.Array, train: bool = False) -> Any:
    if train:
        canvas.refuse("DropBlock rescales by the share of the whole canvas that it keeps; use SpatialDropout")
    return call(x, train=train)


@_call.register(AtLeast)
def _at_least(module: AtLeast, canvas: Canvas, call: Call, x: jax.Array) -> jax.Array:
    canvas.known(x)
    y = call(canvas.fill(x))
    canvas.advance(x.shape[1:-1], y.shape[1:-1], lambda axis, pixels: max(pixels, module.size), anew=True)
    return y


@_call.register(nn.Dense)
def _dense(module: nn.Dense, canvas: Canvas, call: Call, x: jax.Array, *args: Any, **kwargs: Any) -> Any:
    if x.ndim == 2 and not canvas.pooled:
        canvas.refuse(
            "a dense layer over a flattened map fits one size; give images of one size, or pool first"
        )
    return call(x, *args, **kwargs)
