"""Pictures show the numbers they are made from."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from jaxcnn.analysis import pictures


def opened(uri):
    kind, data = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1)])
def test_a_data_address_holds_every_pixel(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(opened(pictures.data_uri(picture)), picture)


def test_shrinking_averages_and_never_enlarges():
    picture = np.random.default_rng(0).integers(0, 256, (8, 12)).astype(np.uint8)
    small = pictures.shrink(picture, 6)
    expected = picture.reshape(4, 2, 6, 2).mean((1, 3))
    assert small.shape == (4, 6)
    assert np.abs(small - expected).max() <= 1
    assert pictures.shrink(picture, 12) is picture
    assert pictures.shrink(np.zeros((500, 2), np.uint8), 50).shape == (50, 1)


def test_inputs_are_shown_as_they_are():
    rng = np.random.default_rng(0)
    grey, colour, many = (rng.integers(0, 256, (4, 5, c)).astype(np.uint8) for c in (1, 3, 6))
    np.testing.assert_array_equal(pictures.input_picture(grey), grey[..., 0])
    np.testing.assert_array_equal(pictures.input_picture(colour), colour)
    np.testing.assert_allclose(pictures.input_picture(many), many.mean(-1), atol=0.5)
    with pytest.raises(ValueError, match=r"float64 of shape \(4, 5\); expected uint8"):
        pictures.input_picture(np.zeros((4, 5)))


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((3, 5, 1, 4), (3, 5, 3)),
        ((3, 5, 3, 4), (3, 5, 3)),
        ((3, 5, 2, 4), (3, 11, 3)),  # two slices and a line between
        ((7, 2, 4), (2, 7, 3)),  # 1-D: a row for each channel
        ((2, 3, 5, 1, 4), (3, 11, 3)),  # 3-D: the depth side by side
        ((2, 3, 5, 2, 4), (3, 23, 3)),
    ],
)
def test_filters_of_any_rank_and_depth(shape, picture):
    kernel = np.random.default_rng(0).normal(size=shape)
    found = pictures.filter_pictures(kernel)
    assert [(one.shape, one.dtype) for one in found] == [(picture, np.uint8)] * 4
    assert len(pictures.filter_pictures(kernel, most=3)) == 3


def test_signs_and_strengths_of_filters_are_seen():
    kernel = np.zeros((1, 3, 1, 2))
    kernel[0, :, 0, 0] = [-1, 0, 1]
    kernel[0, :, 0, 1] = [-0.5, 0, 0.5]
    strong, weak = (one[0].astype(int) for one in pictures.filter_pictures(kernel))
    assert [tuple(pixel) for pixel in strong] == [pictures.DIVERGING[i] for i in (0, 2, 4)]
    assert [tuple(pixel) for pixel in weak] == [pictures.DIVERGING[i] for i in (1, 2, 3)]


def test_colour_filters_have_zero_at_grey():
    kernel = np.zeros((1, 2, 3, 1))
    kernel[0, 1, 0, 0] = -2
    np.testing.assert_array_equal(pictures.filter_pictures(kernel)[0], [[[128, 128, 128], [0, 128, 128]]])


def test_constant_maps_and_filters_are_no_division_by_zero():
    assert np.unique(pictures.filter_pictures(np.zeros((3, 3, 1, 1)))[0].reshape(-1, 3), axis=0).shape[0] == 1
    assert np.unique(pictures.map_pictures(np.full((3, 3, 1), 7.0))[0].reshape(-1, 3), axis=0).shape[0] == 1


def test_maps_of_a_layer_share_one_scale():
    maps = np.zeros((2, 2, 3))
    maps[..., 1], maps[0, 0, 2] = 1.0, 0.5
    zero, one, half = pictures.map_pictures(maps)
    assert tuple(zero[0, 0]) == pictures.SEQUENTIAL[0]
    assert tuple(one[0, 0]) == pictures.SEQUENTIAL[-1]
    assert tuple(half[0, 0]) == pictures.SEQUENTIAL[2]
    assert tuple(half[1, 1]) == pictures.SEQUENTIAL[0]


def test_the_sequential_colours_grow_lighter_evenly():
    """Relative luminance to the power 1/3, close to perceived lightness, rises at a steady rate."""
    ramp = pictures.colour(np.linspace(-1, 1, 9)[None], pictures.SEQUENTIAL)[0] / 255
    linear = np.where(ramp <= 0.04045, ramp / 12.92, ((ramp + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    steps = np.diff(lightness)
    assert steps.min() > 0.6 * steps.mean()


@pytest.mark.parametrize("call", [pictures.filter_pictures, pictures.map_pictures])
def test_other_ranks_are_refused(call):
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        call(np.zeros((3, 3)))
