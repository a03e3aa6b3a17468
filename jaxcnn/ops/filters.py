"""Filters known in advance: kernels (*taps, 1, features) for :func:`jaxcnn.ops.conv` over one channel.

Repeated over channels they serve :func:`jaxcnn.ops.depthwise_conv`. Coordinates have their origin in the
middle of the window. What is not a size may be traced, so that filters can be fitted by gradient descent.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcnn.ops import check, geometry

Window = int | Sequence[int]
Number = float | Float[Array, "..."]


def gaussian_filter(
    window: Window, sigma: Number | Sequence[Number] | None = None
) -> Float[Array, "*taps 1 1"]:
    """A Gaussian that sums to 1: w(t) ∝ Π_a exp(−t_a² / 2σ_a²).

    Args:
      window: taps, one number for each axis; a single int is a one-dimensional window.
      sigma: standard deviation in pixels, one for all axes or one each; a quarter of the window by default.

    Returns:
      The filter, shape (*window, 1, 1).

    Raises:
      TypeError, ValueError: the window is not made of positive ints, or sigma is not positive or has another
        number of entries.

    Example:
      >>> gaussian_filter(3, sigma=0.8).ravel().round(2)
      Array([0.24, 0.52, 0.24], dtype=float32)
    """
    taps = _taps(window)
    sigmas = [k / 4 for k in taps] if sigma is None else sigma
    spread = list(sigmas) if isinstance(sigmas, Sequence) else [sigmas] * len(taps)
    if len(spread) != len(taps):
        raise ValueError(
            f"sigma={sigma!r}: expected a number or {len(taps)}, one for each axis of the window"
        )
    for each in spread:
        _check_positive("sigma", each)
    profiles = [jnp.exp(-jnp.square(_centred(k)) / (2 * s * s)) for k, s in zip(taps, spread, strict=True)]
    return _outer([profile / profile.sum() for profile in profiles])[..., None, None]


def binomial_filter(window: Window) -> Float[Array, "*taps 1 1"]:
    """Rows of Pascal's triangle that sum to 1: the Gaussian of repeated averaging of neighbours.

    Args:
      window: taps, one number for each axis; a single int is a one-dimensional window.

    Returns:
      The filter, shape (*window, 1, 1).

    Raises:
      TypeError, ValueError: the window is not made of positive ints.

    Example:
      >>> binomial_filter(3).ravel()
      Array([0.25, 0.5 , 0.25], dtype=float32)
    """
    profiles = [
        functools.reduce(np.convolve, [np.array([0.5, 0.5])] * (k - 1), np.ones(1)) for k in _taps(window)
    ]
    return _outer([jnp.asarray(profile) for profile in profiles])[..., None, None]


def sobel_filter(ndim: int = 2) -> Float[Array, "*taps 1 ndim"]:
    """The Sobel operator: differences (−1, 0, 1) along one axis, sums (1, 2, 1) along the others.

    Args:
      ndim: number of spatial axes.

    Returns:
      The filters, shape (3, …, 3, 1, ndim); feature a is the derivative along axis a, times 2·4^(ndim − 1).

    Raises:
      ValueError: ndim is below 1.

    Example:
      >>> sobel_filter(2)[:, :, 0, 0]
      Array([[-1., -2., -1.],
             [ 0.,  0.,  0.],
             [ 1.,  2.,  1.]], dtype=float32)
    """
    if ndim < 1:
        raise ValueError(f"ndim={ndim}: expected 1 or more")
    difference, smooth = jnp.array([-1.0, 0.0, 1.0]), jnp.array([1.0, 2.0, 1.0])
    features = [_outer([difference if a == axis else smooth for a in range(ndim)]) for axis in range(ndim)]
    return jnp.stack(features, axis=-1)[..., None, :]


def dct_filter(window: Window) -> Float[Array, "*taps 1 features"]:
    """The orthonormal cosine basis (DCT-II) of a window, one feature for each frequency.

    w_f(t) = Π_a c(f_a) cos(π (t_a + ½) f_a / k_a) with c(0) = √(1/k), else √(2/k): the inner products with
    all features are the window's discrete cosine transform, and lose nothing.

    Args:
      window: taps k, one number for each axis; a single int is a one-dimensional window.

    Returns:
      The filters, shape (*window, 1, Π k), frequencies in scan order.

    Raises:
      TypeError, ValueError: the window is not made of positive ints.

    Example:
      >>> dct_filter(2)[:, 0].round(3)
      Array([[ 0.707,  0.707],
             [ 0.707, -0.707]], dtype=float32)

    Paper: Ahmed, Natarajan and Rao, "Discrete Cosine Transform", 1974.
    """
    taps = _taps(window)
    basis = jnp.ones((1,) * len(taps) + (1,))
    for axis, k in enumerate(taps):
        t, f = np.arange(k)[:, None], np.arange(k)[None, :]
        cosines = np.cos(np.pi * (t + 0.5) * f / k) * np.where(f == 0, np.sqrt(1 / k), np.sqrt(2 / k))
        shape = [k if a == axis else 1 for a in range(len(taps))]
        along = jnp.asarray(cosines).reshape(*shape, 1, k)
        basis = (basis[..., :, None] * along).reshape(*basis.shape[:axis], k, *basis.shape[axis + 1 : -1], -1)
    return basis[..., None, :]


def gabor_filter(
    window: Window,
    *,
    wavelength: Number,
    orientation: Number = 0.0,
    phase: Number = 0.0,
    sigma: Number | None = None,
    aspect: Number = 1.0,
) -> Float[Array, "height width 1 features"]:
    """Gabor functions: a plane wave seen through a Gaussian.

    w = exp(−(u² + γ² v²) / 2σ²) · cos(2π u / λ + φ), with u = x cos θ + y sin θ across the stripes and
    v = y cos θ − x sin θ along them; x counts columns, y rows. The parameters broadcast to one number for
    each feature.

    Args:
      window: height and width in pixels; an int for a square.
      wavelength: λ in pixels.
      orientation: θ in radians: 0 has vertical stripes, π/2 horizontal ones.
      phase: φ in radians: 0 is even, −π/2 odd.
      sigma: of the Gaussian across the stripes in pixels; λ/2 by default.
      aspect: γ: below 1 the Gaussian is longer along the stripes.

    Returns:
      The filters, shape (height, width, 1, features).

    Raises:
      TypeError, ValueError: the window is not one or two positive ints, or wavelength or sigma is not
        positive.

    Example:
      >>> gabor_filter(3, wavelength=6.0)[1, :, 0, 0].round(2)
      Array([0.47, 1.  , 0.47], dtype=float32)

    Paper: Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation
    optimized by two-dimensional visual cortical filters", 1985.
    """
    height, width = geometry.spatial_tuple(window, 2, "window")
    _check_positive("wavelength", wavelength)
    sigma = wavelength / 2 if sigma is None else sigma
    _check_positive("sigma", sigma)
    numbers = jnp.broadcast_arrays(
        *(jnp.atleast_1d(n) for n in (wavelength, orientation, phase, sigma, aspect))
    )
    wavelength, orientation, phase, sigma, aspect = (each.reshape(1, 1, -1) for each in numbers)
    y, x = _centred(height)[:, None, None], _centred(width)[None, :, None]
    u = x * jnp.cos(orientation) + y * jnp.sin(orientation)
    v = y * jnp.cos(orientation) - x * jnp.sin(orientation)
    envelope = jnp.exp(-(u**2 + (aspect * v) ** 2) / (2 * sigma**2))
    return (envelope * jnp.cos(2 * jnp.pi * u / wavelength + phase))[:, :, None]


def gabor_bank(
    window: Window, *, orientations: int = 4, wavelengths: Sequence[float] = (4.0,), aspect: float = 0.5
) -> Float[Array, "height width 1 features"]:
    """Quadrature pairs of Gabor functions at evenly spread orientations.

    Each filter has mean 0, so that uniform light gives no response, and norm 1. The second half of the
    features is the odd partner of the first: :func:`complex_cell` takes the energy of the pairs.

    Args:
      window: height and width in pixels; an int for a square.
      orientations: how many, evenly over half a turn from 0.
      wavelengths: in pixels.
      aspect: as in :func:`gabor_filter`.

    Returns:
      The filters, shape (height, width, 1, 2·orientations·wavelengths); orientations vary fastest, then
      wavelengths, then even and odd.

    Raises:
      TypeError, ValueError: the window is not one or two positive ints or holds one pixel, or a wavelength is
        not positive.

    Example:
      >>> gabor_bank(9, orientations=6, wavelengths=(3, 5)).shape
      (9, 9, 1, 24)

    Paper: Jones and Palmer, "An evaluation of the two-dimensional Gabor filter model of simple receptive
    fields in cat striate cortex", 1987.
    """
    window = geometry.spatial_tuple(window, 2, "window")
    if max(window) == 1:
        raise ValueError(f"window={window}: expected more than one pixel: one less its mean is 0")
    for each in wavelengths:
        _check_positive("wavelengths", each)
    phase, wavelength, orientation = np.meshgrid(
        [0.0, -np.pi / 2], wavelengths, np.arange(orientations) * np.pi / orientations, indexing="ij"
    )
    filters = gabor_filter(
        window,
        wavelength=jnp.asarray(wavelength.ravel()),
        orientation=jnp.asarray(orientation.ravel()),
        phase=jnp.asarray(phase.ravel()),
        aspect=aspect,
    )
    filters = filters - filters.mean((0, 1), keepdims=True)
    return filters / jnp.sqrt(jnp.square(filters).sum((0, 1), keepdims=True))


def _taps(window: Window) -> tuple[int, ...]:
    return geometry.spatial_tuple(window, len(window) if isinstance(window, Sequence) else 1, "window")


def _check_positive(name: str, value: Number) -> None:
    check.number(name, value, lambda n: n > 0, "a positive number")


def _centred(k: int) -> Array:
    return jnp.arange(k) - (k - 1) / 2


def _outer(profiles: Sequence[Array]) -> Array:
    ndim = len(profiles)
    shaped = (p.reshape([-1 if a == axis else 1 for a in range(ndim)]) for axis, p in enumerate(profiles))
    return functools.reduce(jnp.multiply, shaped)
