"""Reading an image between its pixels."""

from itertools import product

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sample(
    x: Float[Array, "n *spatial groups c"],
    image: Int[Array, " rows"],
    positions: Float[Array, "rows places groups ndim"],
    factor: Float[Array, "rows places groups"] | None = None,
    *,
    edge: str = "zeros",
) -> Float[Array, "rows places groups c"]:
    """Interpolate linearly along every axis between the 2^ndim pixels around a position.

    ``y = Σ_corner x[corner] · Π_axis (1 - |position - corner|)``. The gradient in the position is that of the
    piece on its upper side where two pieces meet, and zero beyond the image.

    Args:
      x: images, their channels in groups that are read at positions of their own.
      image: which image each row of positions reads, 0 to n - 1; out of range is undefined, as everywhere in
        JAX.
      positions: in pixels, rows before columns; pixel i lies at i.
      factor: multiplies each value; cheaper here than after, once for each position and not for each channel.
      edge: ``"zeros"``, pixels outside are zero, so values fade out within a pixel of the image; or
        ``"replicate"``, a position outside reads the nearest pixel.

    Returns:
      The interpolated values, in the dtype of ``x``; half precision is interpolated in float32.

    Example:
      >>> x = jnp.array([0.0, 10, 20]).reshape(1, 3, 1, 1)
      >>> at = jnp.array([0.25, -0.5, 9.0]).reshape(1, 3, 1, 1)
      >>> sample(x, jnp.array([0]), at).ravel().tolist()
      [2.5, 0.0, 0.0]
      >>> sample(x, jnp.array([0]), at, edge="replicate").ravel().tolist()
      [2.5, 0.0, 20.0]

    Paper: Jaderberg et al., Spatial transformer networks, NeurIPS 2015, arXiv:1506.02025.
    """
    _, *sizes, groups, channels = x.shape
    ndim = len(sizes)
    exact = jnp.promote_types(jnp.promote_types(x.dtype, positions.dtype), jnp.float32)
    margin = 2 if edge == "zeros" else 0  # far positions are brought near, where they read the same
    last = jnp.array(sizes, exact).reshape(1, 1, 1, ndim) - 1
    positions = jnp.clip(positions.astype(exact), -margin, last + margin)
    floor = jnp.floor(positions)
    fraction, below = positions - floor, floor.astype(jnp.int32)
    # one row of the flat view for each pixel and group, so that a corner is one contiguous read
    pixels = x.reshape(-1, channels)
    first = image[:, None, None]
    group = jnp.arange(groups).reshape(1, 1, groups)
    factor = jnp.ones((), exact) if factor is None else factor.astype(exact)
    y = jnp.zeros((), exact)
    for corner in product((0, 1), repeat=ndim):
        weight, index = factor, first
        for axis, (upper, size) in enumerate(zip(corner, sizes, strict=True)):
            row = below[..., axis] + upper
            share = fraction[..., axis] if upper else 1 - fraction[..., axis]
            if edge == "zeros":
                share = jnp.where((row >= 0) & (row < size), share, 0)
            weight = weight * share
            index = index * size + jnp.clip(row, 0, size - 1)
        y = y + pixels.at[index * groups + group].get(mode="clip").astype(exact) * weight[..., None]
    return y.astype(x.dtype)
