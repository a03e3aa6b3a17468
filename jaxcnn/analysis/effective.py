"""The effective receptive field: how much of the theoretical one an output really listens to."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float


def effective_fields(
    fn: Callable[[Array], Mapping[str, Array]], x: Float[Array, "n h w c"], seed: int = 0
) -> dict[str, np.ndarray]:
    """How strongly the middle of each feature map depends on each pixel.

    With y the middle pixel of a map, the strength at a pixel p is ``√ mean Σ (∂⟨v, y⟩ / ∂x[p, c])²`` over the
    examples and a random direction v ~ N(0, 1) for each: the root mean square of all derivatives of y's
    channels by p's.

    Args:
      fn: from images to maps (n, *out, features) by name; what a ``jax.tree_util.Partial`` holds, such as
        weights, is no part of the compiled program.
      x: images.
      seed: of the directions.

    Returns:
      For each map an array (h, w).

    Example:
      >>> from jaxcnn import ops
      >>> blur = lambda x: {"twice": ops.conv(ops.conv(x, jnp.ones((3, 3, 1, 1))), jnp.ones((3, 3, 1, 1)))}
      >>> field = effective_fields(blur, jnp.ones((1, 7, 7, 1)))["twice"]
      >>> (field[3] / field.max()).round(2).tolist()
      [0.0, 0.33, 0.67, 1.0, 0.67, 0.33, 0.0]

    Reference: Luo, Li, Urtasun and Zemel, Understanding the effective receptive field in deep convolutional
    neural networks, NeurIPS 2016.
    """

    @jax.jit
    def gradient(call: Any, x: Array, directions: Mapping[str, Array]) -> Array:
        def middles(x: Array) -> Array:
            total: Any = 0.0
            for name, y in call(x).items():
                middle = y[(slice(None), *(size // 2 for size in y.shape[1:-1]))]
                total = total + (middle * directions[name]).sum()
            return total

        return jax.grad(middles)(x)

    call, shapes = as_argument(fn), jax.eval_shape(fn, x)
    nothing = {
        name: jnp.zeros((shape.shape[0], shape.shape[-1]), shape.dtype) for name, shape in shapes.items()
    }
    fields = {}
    for i, name in enumerate(shapes):
        key = jax.random.fold_in(jax.random.key(seed), i)
        direction = jax.random.normal(key, nothing[name].shape, nothing[name].dtype)
        found = np.asarray(gradient(call, x, {**nothing, name: direction}), np.float64)
        fields[name] = np.sqrt((found**2).sum(-1).mean(0))
    return fields


def extent(field: np.ndarray, share: float = 0.95) -> int:
    """The side of the smallest square about the centre of the energy that holds a share of it.

    Args:
      field: strengths (h, w).
      share: of the sum of their squares.

    Example:
      >>> extent(np.eye(7)[[3]].T @ np.eye(7)[[3]])
      1
    """
    energy = field**2 / max(float((field**2).sum()), np.finfo(float).tiny)
    row, column = (round(float((energy * place).sum())) for place in np.indices(field.shape))
    for reach in range(max(field.shape)):
        part = energy[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        if part.sum() >= share:
            return 2 * reach + 1
    return max(field.shape)


def as_argument(fn: Callable[..., Any]) -> Partial:
    """A function as an argument of a compiled one, the arrays of a ``Partial`` its leaves.

    Large weights would else be constants of the program, which XLA folds for minutes.
    """
    return fn if isinstance(fn, Partial) else Partial(fn)
