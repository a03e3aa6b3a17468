"""Laws of the augmentations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxcnn.data import augment
from jaxcnn.errors import UserError

KEY = jax.random.key(5)
IMAGES = jax.random.uniform(jax.random.key(1), (12, 7, 6, 3))
ALL = "shift(2), flip, rotate(20), cutout(3), noise(0.1), brightness(0.2), contrast(0.3)"
ACTING = ["shift(2)", "shift(2, 'edge')", "crop(2)", "flip", "rotate(20)", "cutout(3)", "noise(0.1)"]
ACTING += ["brightness(0.2)", "contrast(0.3)", ALL]


@functools.cache
def make(text):
    """A compiled augmentation, compiled once."""
    return jax.jit(augment.parse(text))


STRENGTHS = ["shift", "crop", "flip", "rotate", "cutout", "noise", "brightness", "contrast"]


def test_every_transform_is_tested():
    assert sorted(STRENGTHS) == augment.names()


@pytest.mark.parametrize("text", ["", *(f"{name}(0)" for name in STRENGTHS), "shift(0, padding='edge')"])
def test_no_strength_no_change(text):
    np.testing.assert_array_equal(make(text)(KEY, IMAGES), IMAGES)


@pytest.mark.parametrize("text", ACTING)
def test_an_image_is_changed_by_its_own_key_alone(text):
    apply = make(text)
    found = apply(KEY, IMAGES)
    assert found.dtype == IMAGES.dtype
    assert found.shape == IMAGES.shape
    np.testing.assert_array_equal(apply(KEY, IMAGES), found)
    np.testing.assert_array_equal(apply(KEY, IMAGES.at[1:].set(0))[0], found[0])
    assert (found != IMAGES).any()
    assert (apply(jax.random.key(6), IMAGES) != found).any()
    # equal images do not fare alike
    changes = apply(KEY, jnp.broadcast_to(IMAGES[:1], IMAGES.shape))
    assert len({np.asarray(image).tobytes() for image in changes}) > 1


def test_neither_the_batch_nor_jit_matters():
    expected = make(ALL)(KEY, IMAGES)
    np.testing.assert_allclose(augment.parse(ALL)(KEY, IMAGES[:3]), expected[:3], atol=1e-6)


def test_repeated_transforms_draw_anew():
    images = jnp.zeros((2000, 1, 1, 1))
    once, twice = make("brightness(1)"), make("brightness(1), brightness(1)")
    first, both = once(KEY, images), twice(KEY, images)
    assert abs(np.corrcoef(first.ravel(), (both - first).ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("name", "strength"), [("shift", 2), ("rotate", 20.0), ("cutout", 3), ("noise", 0.1), ("flip", 0.5)]
)
def test_strengths_may_be_traced(name, strength):
    builder = augment._TRANSFORMS[name]
    traced = jax.jit(lambda strength: augment.compose([builder(strength)])(KEY, IMAGES))
    np.testing.assert_allclose(traced(strength), make(f"{name}({strength})")(KEY, IMAGES), atol=1e-6)
    assert (traced(0 * strength) == IMAGES).all()


@pytest.mark.parametrize(("padding", "mode"), [("zero", "constant"), ("edge", "nearest")])
def test_shift_is_scipys(padding, mode):
    found = make(f"shift(2, {padding!r})")(KEY, IMAGES)
    seen = set()
    for image, moved in zip(np.asarray(IMAGES), np.asarray(found), strict=True):
        candidates = {
            (dy, dx): scipy.ndimage.shift(image, (dy, dx, 0), order=0, mode=mode)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
        }
        matching = [offset for offset, candidate in candidates.items() if (candidate == moved).all()]
        assert len(matching) == 1
        seen |= set(matching)
    assert len(seen) > 6


def test_shift_reaches_every_offset_equally_often():
    impulse = jnp.zeros((5000, 5, 5, 1)).at[:, 2, 2].set(1)
    mean = make("shift(2)")(KEY, impulse).mean(0)
    np.testing.assert_allclose(mean, 1 / 25, atol=4 * np.sqrt(1 / 25 / 5000))


def test_crop_cuts_out_of_the_padded_image():
    padded = np.pad(np.asarray(IMAGES), [(0, 0), (2, 2), (2, 2), (0, 0)])
    found = np.asarray(make("crop(2)")(KEY, IMAGES))
    for whole, part in zip(padded, found, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
        assert (windows == part).all((-3, -2, -1)).any()


def test_flip_mirrors_half_of_the_images():
    images = jax.random.uniform(KEY, (2000, 2, 3, 1))
    found = make("flip")(KEY, images)
    mirrored = np.asarray((found == images[:, :, ::-1]).all((1, 2, 3)))
    kept = np.asarray((found == images).all((1, 2, 3)))
    assert (mirrored ^ kept).all()
    assert abs(mirrored.mean() - 0.5) < 4 * np.sqrt(0.25 / 2000)
    np.testing.assert_array_equal(make("flip(1), flip(1)")(KEY, images), images)


@pytest.mark.parametrize("angle", [90.0, -33.0])
def test_rotation_is_scipys(angle, monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, **_: jnp.float32(angle / 180))
    images = jax.random.normal(KEY, (3, 9, 9, 2))
    found = jax.jit(augment.parse("rotate(180)"))(KEY, images)
    # scipy keeps samples that fall up to half a pixel outside; compare where both look inside
    expected = [scipy.ndimage.rotate(np.asarray(i), angle, (0, 1), reshape=False, order=1) for i in images]
    np.testing.assert_allclose(found[:, 2:7, 2:7], np.stack(expected)[:, 2:7, 2:7], atol=1e-5)


def test_cutout_hides_one_clipped_square():
    found = np.asarray(make("cutout(3)")(KEY, jnp.ones((400, 8, 9, 2))))
    hidden = found[..., 0] == 0
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    sizes = set()
    for square in hidden:
        rows, columns = np.flatnonzero(square.any(1)), np.flatnonzero(square.any(0))
        assert square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        sizes.add((len(rows), len(columns)))
    assert sizes == {(h, w) for h in (2, 3) for w in (2, 3)}
    assert hidden.any(0).all()


def test_noise_brightness_and_contrast_have_their_strengths():
    images = jax.random.uniform(KEY, (2000, 4, 4, 1))
    added = make("noise(0.5)")(KEY, images) - images
    assert abs(float(added.std()) - 0.5) < 0.02
    assert abs(float(added.mean())) < 0.02
    offset = make("brightness(0.5)")(KEY, images) - images
    np.testing.assert_allclose(offset.std((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(np.quantile(offset.mean((1, 2, 3)), [0, 0.5, 1]), [-0.5, 0, 0.5], atol=0.05)
    stretched = make("contrast(0.5)")(KEY, images)
    np.testing.assert_allclose(stretched.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-6)
    factors = stretched.std((1, 2, 3)) / images.std((1, 2, 3))
    np.testing.assert_allclose(np.quantile(factors, [0, 0.5, 1]), [0.5, 1, 1.5], atol=0.05)


def test_half_precision_stays():
    images = jax.ShapeDtypeStruct(IMAGES.shape, jnp.bfloat16)
    assert jax.eval_shape(augment.parse(ALL), KEY, images).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flop", "did you mean flip"),
        ("shift", "missing a required argument: 'max_pixels'; it is shift"),
        ("shift(-1)", "max_pixels=-1: expected 0 or more"),
        ("shift(1.5)", "max_pixels=1.5: expected a whole number"),
        ("shift(1, padding='mirror')", "padding='mirror': expected 'zero' or 'edge'"),
        ("shift(1, pad=2)", "unexpected keyword argument 'pad'"),
        ("flip(2)", "probability=2: expected 0 to 1"),
        ("rotate('a')", "degrees='a': expected a number"),
        ("noise(True)", "std=True: expected a number"),
        ("flip(", "not a call string"),
    ],
)
def test_mistakes_get_one_line(text, says):
    with pytest.raises(UserError) as caught:
        augment.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_not_images():
    with pytest.raises(TypeError, match="uint8"):
        augment.parse("flip")(KEY, jnp.zeros((1, 2, 2, 1), jnp.uint8))


def test_gradients_pass_through():
    apply = make("shift(2), rotate(20), contrast(0.3)")
    gradient = jax.jit(jax.grad(lambda images: (apply(KEY, images) ** 2).sum()))(IMAGES)
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any((1, 2, 3)).all()
