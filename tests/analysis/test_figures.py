"""Curves as SVG that belongs to its page."""

import importlib.util
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from jaxcnn.analysis import figures
from jaxcnn.analysis.figures import Series
from jaxcnn.errors import UserError


def lines(svg, variable):
    """The points of the paths drawn in one colour."""
    found = []
    for path in ET.fromstring(svg).iter("path"):
        if f"stroke: {variable}" in path.get("style", "") and "stroke-width: 1." in path.get("style", ""):
            numbers = [float(word) for word in re.findall(r"-?[\d.]+", path.get("d"))]
            found.append(np.reshape(numbers, (-1, 2)))
    return found


def test_a_curve_has_its_points_in_proportion():
    x, y = [1.0, 2.0, 3.0, 5.0], [4.0, 2.0, 1.0, 0.5]
    svg = figures.curves([Series("loss", x, y)], x_label="epoch")
    points = max(lines(svg, "var(--first)"), key=len)
    assert len(points) == 4
    assert np.corrcoef(points[:, 0], x)[0, 1] == pytest.approx(1)
    assert np.corrcoef(points[:, 1], y)[0, 1] == pytest.approx(-1)  # up is less in SVG


def test_the_axis_shows_zero_where_it_is_asked_to():
    series = [Series("error", [1, 2, 3], [0.5, 0.6, 0.55])]
    plain, whole = (
        figures.curves(series, x_label="x", percent=True, from_zero=flag) for flag in (False, True)
    )
    assert (">0%</text>" in plain, ">0%</text>" in whole) == (False, True)


def test_colours_are_the_pages_and_nothing_is_from_elsewhere():
    svg = figures.curves(
        [Series("a", [1, 2], [1, 2]), Series("b", [1, 2], [2, 1], False)], x_label="x", mark=1
    )
    assert "var(--first)" in svg
    assert "var(--second)" in svg
    assert not re.search(r"#[0-9a-fA-F]{6}|http|xlink|DOCTYPE|<metadata|<style", svg)
    for word in ("a", "b", "x"):
        assert f">{word}</text>" in svg


def test_the_same_numbers_give_the_same_bytes_and_others_other_names():
    one, same, other = (figures.curves([Series("a", [1, 2], [1, y])], x_label="x") for y in (2.0, 2.0, 3.0))
    assert one == same
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]  # two figures on one page must not share names
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', one)) <= ids[0]


@pytest.mark.parametrize(
    "series",
    [
        [],
        [Series("empty", [], [])],
        [Series("one", [3.0], [2.0])],
        [Series("constant", [1, 2, 3], [1.0, 1.0, 1.0])],
        [Series("broken", [1, 2, 3, 4, 5], [1.0, float("nan"), float("inf"), 0.5, 0.4])],
        [Series("<b> & 'quotes' $maths$", [1, 2], [1, 2])],
    ],
)
def test_odd_series_draw(series):
    ET.fromstring(figures.curves(series, x_label="epoch", percent=True))


def test_long_curves_are_averaged_down():
    n = 100_000
    x = np.arange(n, dtype=float)
    svg = figures.curves([Series("long", x.tolist(), (x % 2).tolist())], x_label="step")
    points = max(lines(svg, "var(--first)"), key=len)
    assert len(points) <= figures.POINTS
    assert np.ptp(points[:, 1]) < 1e-3  # the mean of 0, 1, 0, 1 ...
    assert len(svg) < 40_000


def test_an_early_peak_does_not_flatten_the_rest():
    y = [1000.0, *np.linspace(2, 1, 99)]
    svg = figures.curves([Series("loss", list(range(100)), y)], x_label="epoch")
    points = max(lines(svg, "var(--first)"), key=len)
    height = float(ET.fromstring(svg).get("viewBox").split()[3])
    late = points[points[:, 0] > np.median(points[:, 0])]
    assert np.ptp(late[:, 1]) > 0.2 * height


def test_percentages_are_short():
    svg = figures.curves([Series("a", [1, 2, 3], [0.9, 0.95, 1.0])], x_label="x", percent=True)
    assert ">100%</text>" in svg


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'jaxcnn\[report\]'"):
        figures.curves([], x_label="x")


def test_the_callers_own_matplotlib_settings_are_left_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures.curves([Series("a", [1, 2], [1, 2])], x_label="x")
    assert dict(mpl.rcParams) == before
