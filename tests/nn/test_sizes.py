"""A size that no layer can have is refused by its name, whichever module it is of."""

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import nn

IMAGES = jax.ShapeDtypeStruct((2, 6, 6, 4), jnp.float32)
CAPSULES = jax.ShapeDtypeStruct((2, 5, 4), jnp.float32)
PRESENT = jax.ShapeDtypeStruct((2, 5), jnp.float32)
BOXES = jax.ShapeDtypeStruct((3, 4), jnp.float32), jax.ShapeDtypeStruct((3,), jnp.int32)

SIZES = {
    # a module of one size, the attribute that is that size, and what the module is called with
    "Conv": (lambda n: nn.Conv(n, 3), "features", IMAGES),
    "Conv, windows": (lambda n: nn.Conv(4, n), "kernel_size", IMAGES),
    "ConvTranspose": (lambda n: nn.ConvTranspose(n, 3), "features", IMAGES),
    "DeformConv": (lambda n: nn.DeformConv(n, 3), "features", IMAGES),
    "DeformConv, offsets": (lambda n: nn.DeformConv(4, 3, offset_groups=n), "offset_groups", IMAGES),
    "Dense": (nn.Dense, "features", IMAGES),
    "DepthwiseConv": (lambda n: nn.DepthwiseConv(3, multiplier=n), "multiplier", IMAGES),
    "FlattenedConv": (lambda n: nn.FlattenedConv(n, 3), "features", IMAGES),
    "LocalConv": (lambda n: nn.LocalConv(n, 3), "features", IMAGES),
    "PointwiseConv": (nn.PointwiseConv, "features", IMAGES),
    "SeparableConv": (lambda n: nn.SeparableConv(n, 3), "features", IMAGES),
    "SeparableConv, between": (lambda n: nn.SeparableConv(4, 3, multiplier=n), "multiplier", IMAGES),
    "ShuffledConv": (lambda n: nn.ShuffledConv(n, 3), "features", IMAGES),
    "SpatiallySeparableConv": (lambda n: nn.SpatiallySeparableConv(n, 3), "features", IMAGES),
    "SpatiallySeparableConv, rank": (lambda n: nn.SpatiallySeparableConv(4, 3, rank=n), "rank", IMAGES),
    "StandardizedConv": (lambda n: nn.StandardizedConv(n, 3), "features", IMAGES),
    "TiledConv": (lambda n: nn.TiledConv(n, 3), "features", IMAGES),
    "TiledConv, tiles": (lambda n: nn.TiledConv(4, 3, tiles=n), "tiles", IMAGES),
    "WeightNormConv": (lambda n: nn.WeightNormConv(n, 3), "features", IMAGES),
    "SqueezeExcite": (lambda n: nn.SqueezeExcite(reduction=n), "reduction", IMAGES),
    "SqueezeExcite, at least": (lambda n: nn.SqueezeExcite(least=n), "least", IMAGES),
    "SqueezeExcite, given": (lambda n: nn.SqueezeExcite(reduced=n), "reduced", IMAGES),
    "CBAM": (lambda n: nn.CBAM(reduced=n), "reduced", IMAGES),
    "CoordinateAttention": (lambda n: nn.CoordinateAttention(reduction=n), "reduction", IMAGES),
    "PrimaryCapsules": (lambda n: nn.PrimaryCapsules(n, 2, 3), "types", IMAGES),
    "PrimaryCapsules, length": (lambda n: nn.PrimaryCapsules(2, n, 3), "dim", IMAGES),
    "RoutedCapsules": (nn.RoutedCapsules, "capsules", CAPSULES),
    "RoutedCapsules, length": (lambda n: nn.RoutedCapsules(3, n), "dim", CAPSULES),
    "EMCapsules": (nn.EMCapsules, "capsules", CAPSULES, PRESENT),
    "EMCapsules, length": (lambda n: nn.EMCapsules(3, n), "dim", CAPSULES, PRESENT),
    "DeformRoIPool": (lambda n: nn.DeformRoIPool(2, hidden=(n,)), r"hidden\[0\]", IMAGES, *BOXES),
}


def initialise(module, *inputs):
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)


@pytest.mark.parametrize("case", SIZES)
def test_a_size_is_a_whole_number_above_zero(case):
    module, name, *inputs = SIZES[case]
    for size in (0, -1, -4):
        with pytest.raises(ValueError, match=f"^{name}={size}: expected 1 or more"):
            initialise(module(size), *inputs)
    with pytest.raises(TypeError, match=rf"^{name}=2\.5: expected (a whole number|an int)"):
        initialise(module(2.5), *inputs)
    initialise(module(2), *inputs)


def test_every_feature_of_a_table_reads_something():
    with pytest.raises(ValueError, match=r"^len\(table\)=0: expected 1 or more"):
        initialise(nn.TableConv([], 3), IMAGES)
    with pytest.raises(ValueError, match=r"^len\(table\[1\]\)=0: expected 1 or more"):
        initialise(nn.TableConv([[0, 1], []], 3), IMAGES)
    with pytest.raises(ValueError, match=r"^table\[1\]=\[-1\]: expected different channels of x"):
        initialise(nn.TableConv([[0, 1], [-1]], 3), IMAGES)
