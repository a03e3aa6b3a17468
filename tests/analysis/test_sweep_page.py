"""The page of a sweep: well formed, self-contained, escaped, and its figures show what they are given."""

import re

import numpy as np
import pytest
from scipy import stats

from jaxcnn.analysis import page, statistics, sweep_figures, sweep_page
from jaxcnn.analysis.sweep_figures import Axis
from tests.analysis.test_page import EVIL, Checker

RATE, WORDS = Axis("learning_rate", log=True), Axis("model", options=("mlp", f"resnet{EVIL}"))
SCORE = Axis("val_accuracy", percent=True)


def whole_page(count=30, evil=""):
    """Every section, from numbers made up here."""
    rng = np.random.default_rng(0)
    rates, scores = 10 ** rng.uniform(-3, 0, count), rng.uniform(0.9, 0.99, count)
    models = [WORDS.options[i % 2] for i in range(count)]
    runs = {"val_accuracy": [0.97, 0.98, 0.99], "test_accuracy": [0.96, 0.97, 0.98]}
    params = [{"learning_rate": r, "model": m} for r, m in zip(rates, models, strict=True)]
    rows = [{"number": i, "values": (scores[i],), "runs": runs, "params": params[i]} for i in range(count)]
    curves = [
        ([25, 50, 100], [0.5, 0.7, score], kind)
        for score, kind in zip(scores, ["best", "complete", "pruned"] * 10, strict=True)
    ]
    lines = [
        [r, m, s if i % 7 else None] for i, (r, m, s) in enumerate(zip(rates, models, scores, strict=True))
    ]
    best = [score > 0.98 for score in scores]
    return page.document(
        f"sweep{evil}",
        sweep_page.header(f"t{evil}", f"runs/{evil}", ("98%", f"of {evil}"), [("Seeds", 3)], f"left{evil}"),
        sweep_page.best_table([SCORE], [RATE, WORDS], rows, several=False),
        sweep_page.front(Axis("macs", log=True), SCORE, list(zip(rates * 1e6, scores, strict=True)), best),
        sweep_page.history(range(count), list(scores), SCORE, "max"),
        sweep_page.parallel([RATE, WORDS, SCORE], lines, list(np.linspace(0, 1, count))),
        sweep_page.importance({"val_accuracy": {"learning_rate": 0.8, f"model{evil}": 0.2}}),
        sweep_page.slices([RATE, WORDS], SCORE, list(zip(params, scores, strict=True)), best),
        sweep_page.learning(curves, SCORE),
        sweep_page.failures([(3, f"nan{evil}", f"log{evil}")]),
        sweep_page.commands([("Again", f"python {evil}")], f"--search={evil}"),
    )  # fmt: skip


def test_the_page_nests_needs_nothing_from_outside_and_stays_small():
    text = whole_page()
    checker = Checker(text)
    assert not checker.all("script")
    assert "http" not in text
    assert len(text.encode()) < 400_000
    roles = [attributes for _, attributes in checker.seen if attributes.get("role") == "img"]
    assert len(roles) == 6
    assert all(attributes["aria-label"] for attributes in roles)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    style = text.split("<style>")[1].split("</style>")[0]
    assert used - {"--share"} <= set(re.findall(r"(--[\w-]+):", style))
    assert whole_page() == text


def test_what_a_person_wrote_is_text_everywhere():
    text = whole_page(evil=EVIL)
    assert not Checker(text).all("script")
    assert "<script" not in text
    assert "".join(Checker(text).texts).count(EVIL) >= 10


def test_axes_put_values_in_their_places():
    assert RATE.place(1.0) - RATE.place(0.1) == pytest.approx(RATE.place(0.1) - RATE.place(0.01))
    assert [WORDS.place(option) for option in WORDS.options] == [0, 1]
    assert [RATE.text(RATE.place(0.05)), SCORE.text(0.98765), WORDS.text(0.2)] == ["0.05", "98.8%", "mlp"]


def test_outliers_are_drawn_at_the_edge():
    low, high = sweep_figures.frame([0.1, 0.97, 0.98, 0.985, 0.99])
    assert 0.9 < low < 0.97
    assert 0.99 < high < 1
    assert sweep_figures.frame([0.5, 0.5]) == pytest.approx((0.495, 0.505))


@pytest.mark.parametrize("values", [[0.97, 0.98, 0.99], [1.0, 5.0], list(range(10))])
def test_the_interval_is_students(values):
    low, high = statistics.mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    np.testing.assert_allclose((low, high), expected)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [
        low <= 0 <= high for low, high in (statistics.mean_interval(rng.normal(size=3)) for _ in range(2000))
    ]
    assert abs(np.mean(held) - 0.95) < 0.015


def test_a_single_value_has_no_interval():
    with pytest.raises(ValueError, match="at least two"):
        statistics.mean_interval([1.0])
    assert sweep_page.interval_text(SCORE, [0.9]) is None


def test_places_are_told_as_people_read_them():
    assert Axis("macs").text(4736.4) == "4,736"
    assert Axis("macs", log=True).text(6) == "1,000,000"
    assert Axis("learning_rate", log=True).text(-5) == "1e-05"
    assert Axis("augment", options=("", "flip")).text(0) == "(none)"


def test_long_reasons_are_broken_and_do_not_push_the_log_away():
    said = str(sweep_page.failures([(3, "the loss is nan " * 9, "trials/0003/log.txt")]))
    reason = next(attributes for tag, attributes in Checker(said).seen if tag == "span")
    assert reason["class"] == "prose"
    style = whole_page().split("<style>")[1].split("</style>")[0]
    assert "white-space: normal" in style.partition("td .prose {")[2].partition("}")[0]


def test_importance_that_cannot_be_told_is_not_left_out_in_silence():
    said = str(sweep_page.importance({}))
    assert "What matters" in said
    assert "four that differ are needed" in said
