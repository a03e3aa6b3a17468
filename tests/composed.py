"""Functions of catalogue entries that do not fit on a line: what a module computes around its operation."""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn, ops


def boxes(n: int) -> tuple[Any, Any]:
    """A box in each image: (low row, low column, high row, high column)."""
    corners = np.random.default_rng(0).uniform(0.3, 2.4, (n, 2))
    return jnp.asarray(np.concatenate([corners, corners + 2.7], axis=1)), jnp.arange(n)


def deform_conv(x, p):
    taps = 9
    found = ops.conv(x.astype(p["offset"]["kernel"].dtype), p["offset"]["kernel"], p["offset"]["bias"])
    offset, mask = found[..., : 2 * taps], jax.nn.sigmoid(found[..., 2 * taps :])
    return ops.deform_conv(x, p["kernel"], offset, mask, p["bias"])


def weight_norm_conv(x, p):
    return ops.conv(x, ops.weight_normalize(p["kernel"], p["gain"]), p["bias"])


def deform_roi_pool(x, p, corners, images):
    code = ops.roi_align(x, corners, images, 2).reshape(len(corners), 4 * x.shape[-1])
    offset = ops.dense(code, p["offset"]["kernel"], p["offset"]["bias"]).reshape(len(corners), 2, 2, 2)
    return ops.deform_roi_pool(x, corners, images, offset, size=2)


def pair(p, name):
    return p[f"{name}_kernel"], p[f"{name}_bias"]


def em_routing(x, p):
    votes = ops.capsule_votes(x, p["kernel"])
    present = jax.nn.sigmoid(x[..., 0])
    routed = ops.em_routing(votes, present, p["beta_activate"], p["beta_use"], inverse_temperature=0.5)
    return jnp.concatenate([routed.poses, routed.activations[..., None]], axis=-1)


class EMCapsules(nn.EMCapsules):
    """With activations read from x, and both results in one array."""

    @linen.compact
    def __call__(self, x, train=False):
        poses, activations = super().__call__(x, jax.nn.sigmoid(x[..., 0]), train)
        return jnp.concatenate([poses, activations[..., None]], axis=-1)
