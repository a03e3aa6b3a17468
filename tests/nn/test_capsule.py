"""The shapes of a capsule network, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import nn


def test_the_shapes_of_the_paper():
    primary, digits = nn.PrimaryCapsules(), nn.RoutedCapsules(10)
    maps = jax.ShapeDtypeStruct((2, 20, 20, 256), jnp.float32)
    capsules, variables = jax.eval_shape(lambda m: primary.init_with_output(jax.random.key(0), m), maps)
    assert capsules.shape == (2, 1152, 8)
    assert variables["params"]["conv"]["kernel"].shape == (9, 9, 256, 256)
    out, variables = jax.eval_shape(lambda c: digits.init_with_output(jax.random.key(0), c), capsules)
    assert out.shape == (2, 10, 16)
    assert variables["params"]["kernel"].shape == (1152, 10, 8, 16)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_em_capsules_return_poses_and_probabilities(iterations):
    rng = np.random.default_rng(0)
    poses = jnp.asarray(rng.standard_normal((2, 5, 4)), jnp.float32)
    layer = nn.EMCapsules(3, dim=6, iterations=iterations)
    (above, present), variables = layer.init_with_output(jax.random.key(0), poses, jnp.full((2, 5), 0.5))
    assert above.shape == (2, 3, 6)
    assert set(variables["params"]) == {"kernel", "beta_activate", "beta_use"}
    assert ((present > 0) & (present < 1)).all()
