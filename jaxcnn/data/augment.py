"""Random changes of training images that leave their class alone, as pure functions of a key.

Every transform acts on one float image (h, w, c) in 0..1 and draws from that image's own key, so what
happens to an image depends on neither its batch nor its neighbours. Strengths may be traced numbers, so
that programs which differ in them alone can be compiled once; at strength 0 each transform is the
identity.
"""

import functools
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxcnn import callstring
from jaxcnn.errors import UserError, nearest

Transform = Callable[[PRNGKeyArray, Float[Array, "h w c"]], Float[Array, "h w c"]]
Augmentation = Callable[[PRNGKeyArray, Float[Array, "n h w c"]], Float[Array, "n h w c"]]

_TRANSFORMS: dict[str, Callable[..., Transform]] = {}


def parse(text: str) -> Augmentation:
    """Read a list of transforms, applied from left to right.

    Args:
      text: call strings, e.g. ``"crop(4), flip"``; empty: images stay as they are.

    Returns:
      A pure, traceable function of a key and a batch of images (n, h, w, c).

    Raises:
      UserError: unknown transform, or arguments that do not fit it.

    Example:
      >>> augment = parse("shift(2), flip")
      >>> augment(jax.random.key(0), jnp.ones((4, 8, 8, 1))).shape
      (4, 8, 8, 1)
    """
    return build(*split(text))


def split(text: str) -> tuple[tuple[callstring.Call, ...], tuple[dict[str, int | float], ...]]:
    """Part a list of transforms from its numbers, which may be traced where it is built.

    Returns:
      The calls without numbers, and the numbers of each, defaults included.

    Raises:
      UserError: see :func:`parse`.

    Example:
      >>> split("shift(2), flip")[1]
      ({'max_pixels': 2}, {'probability': 0.5})
    """
    calls, strengths = [], []
    for call in callstring.parse(text):
        bound = _bind(call, text)
        parameters = bound.signature.parameters
        mine: dict[str, Any] = {
            name: value if parameters[name].annotation is int else float(value)
            for name, value in bound.arguments.items()
            if isinstance(value, numbers.Real) and not isinstance(value, bool)
        }
        words = {name: value for name, value in bound.arguments.items() if name not in mine}
        calls.append(callstring.Call(call.name, (), words))
        strengths.append(mine)
    return tuple(calls), tuple(strengths)


def build(calls: Sequence[callstring.Call], strengths: Sequence[Mapping[str, Any]]) -> Augmentation:
    """The augmentation of calls and their numbers, see :func:`split`."""
    pairs = zip(calls, strengths, strict=True)
    return compose([_TRANSFORMS[call.name](**call.kwargs, **mine) for call, mine in pairs])


def compose(transforms: list[Transform]) -> Augmentation:
    """Apply transforms of single images to a batch, one after the other.

    Image i of the batch and transform k of the list get the key ``fold_in(fold_in(key, i), k)``.
    """

    def one(key: PRNGKeyArray, image: Array) -> Array:
        for position, transform in enumerate(transforms):
            image = transform(jax.random.fold_in(key, position), image).astype(image.dtype)
        return image

    def augment(key: PRNGKeyArray, images: Array) -> Array:
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(f"images are {images.dtype}; augmentation expects floats in 0..1")
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(images.shape[0]))
        return jax.vmap(one)(keys, images)

    return augment if transforms else lambda key, images: images


def names() -> list[str]:
    """What :func:`parse` knows."""
    return sorted(_TRANSFORMS)


def _bind(call: callstring.Call, text: str) -> inspect.BoundArguments:
    """A call's arguments by name, with defaults, once they are known to fit."""
    if call.name not in _TRANSFORMS:
        raise UserError(f"augmentation {call.name!r} is unknown; {nearest(call.name, _TRANSFORMS)}")
    builder = _TRANSFORMS[call.name]
    signature = inspect.signature(builder)
    try:
        bound = signature.bind(*call.args, **call.kwargs)
        builder(*call.args, **call.kwargs)
    except (TypeError, ValueError) as error:
        usage = f"{call.name}{signature.replace(return_annotation=inspect.Signature.empty)}"
        raise UserError(f"augmentation {text!r}: {error}; it is {usage}") from error
    bound.apply_defaults()
    return bound


def _transform(builder: Callable[..., Transform]) -> Callable[..., Transform]:
    _TRANSFORMS[builder.__name__] = builder
    return builder


def _check(name: str, value: Any, most: float = float("inf"), whole: bool = False) -> None:
    """Raise unless a strength is a number in its range; traced strengths pass unseen."""
    if isinstance(value, jax.Array):
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if whole else numbers.Real):
        raise TypeError(f"{name}={value!r}: expected a{' whole' if whole else ''} number")
    if not 0 <= float(value) <= most:
        raise ValueError(
            f"{name}={value}: expected 0 {'or more' if most == float('inf') else f'to {most:g}'}"
        )


@_transform
def shift(max_pixels: int, padding: str = "zero") -> Transform:
    """Translate by whole pixels, up to ``max_pixels`` in each direction, uniformly.

    Args:
      max_pixels: largest translation, in pixels.
      padding: what moves in: ``"zero"``, or ``"edge"`` for copies of the border.
    """
    _check("max_pixels", max_pixels, whole=True)
    if padding not in ("zero", "edge"):
        raise ValueError(f"padding={padding!r}: expected 'zero' or 'edge'")

    def apply(key: PRNGKeyArray, image: Array) -> Array:
        offsets = jax.random.randint(key, (2,), -max_pixels, max_pixels + 1)
        for axis in (0, 1):
            size = image.shape[axis]
            source = jnp.arange(size) - offsets[axis]
            image = jnp.take(image, source, axis=axis, mode="clip")
            if padding == "zero":
                seen = ((source >= 0) & (source < size)).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
                image = jnp.where(seen, image, 0)
        return image

    return apply


@_transform
def crop(pad: int) -> Transform:
    """Pad with ``pad`` zeros on each side and cut the old size out at random, a zero-padded shift."""
    _check("pad", pad, whole=True)
    return shift(pad, padding="zero")


@_transform
def flip(probability: float = 0.5) -> Transform:
    """Mirror left and right with some probability."""
    _check("probability", probability, most=1)
    return lambda key, image: jnp.where(jax.random.uniform(key) < probability, image[:, ::-1], image)


@_transform
def rotate(degrees: float) -> Transform:
    """Rotate about the centre, bilinearly, by a uniform angle within ±``degrees``; zeros move in."""
    _check("degrees", degrees, most=180)

    def apply(key: PRNGKeyArray, image: Array) -> Array:
        angle = jnp.deg2rad(degrees * jax.random.uniform(key, minval=-1.0))
        height, width, _ = image.shape
        y = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2
        x = jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        rows = cosine * y + sine * x + (height - 1) / 2
        columns = cosine * x - sine * y + (width - 1) / 2
        sample = functools.partial(
            jax.scipy.ndimage.map_coordinates, coordinates=[rows, columns], order=1, mode="constant"
        )
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return apply


@_transform
def cutout(size: int) -> Transform:
    """Zero a square of ``size`` pixels around a random pixel, clipped at the border.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    _check("size", size, whole=True)

    def apply(key: PRNGKeyArray, image: Array) -> Array:
        height, width, _ = image.shape
        centre = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
        first = centre - size // 2
        rows, columns = jnp.arange(height) - first[0], jnp.arange(width) - first[1]
        hidden = ((rows >= 0) & (rows < size))[:, None] & ((columns >= 0) & (columns < size))[None, :]
        return jnp.where(hidden[..., None], 0, image)

    return apply


@_transform
def noise(std: float) -> Transform:
    """Add normal noise of standard deviation ``std``, independent in every pixel and channel."""
    _check("std", std)
    return lambda key, image: image + std * jax.random.normal(key, image.shape, image.dtype)


@_transform
def brightness(delta: float) -> Transform:
    """Add one number, uniform within ±``delta``, to a whole image."""
    _check("delta", delta)
    return lambda key, image: image + delta * jax.random.uniform(key, (), image.dtype, -1.0)


@_transform
def contrast(delta: float) -> Transform:
    """Stretch an image about its mean by a factor uniform within 1 ± ``delta``."""
    _check("delta", delta, most=1)

    def apply(key: PRNGKeyArray, image: Array) -> Array:
        stretch = delta * jax.random.uniform(key, (), image.dtype, -1.0)
        return image + stretch * (image - image.mean())

    return apply
