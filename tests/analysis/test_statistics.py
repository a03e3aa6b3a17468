"""Intervals and counts against SciPy, scikit-learn and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.analysis import statistics


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_is_scipys(count, share, confidence):
    from scipy.stats import binomtest

    correct = round(count * share)
    expected = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(
        statistics.wilson(correct, count, confidence), (expected.low, expected.high), rtol=1e-9, atol=1e-12
    )


def test_wilson_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [
        low <= 0.97 <= high
        for low, high in (statistics.wilson(int(k), 300) for k in rng.binomial(300, 0.97, 4000))
    ]
    assert 0.93 < np.mean(hits) < 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "count is 0"),
        ((5, 4), "correct is 5; expected 0 to count, 4"),
        ((-1, 4), "correct is -1"),
        ((1, 4, 1.0), "confidence is 1.0"),
    ],
)
def test_wilson_refuses_what_is_no_proportion(arguments, message):
    with pytest.raises(ValueError, match=message):
        statistics.wilson(*arguments)


def test_confusion_is_scikit_learns():
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 7, (2, 500)).astype(np.uint8)  # products of uint8 would overflow
    expected = confusion_matrix(labels, predictions, labels=range(9))
    np.testing.assert_array_equal(statistics.confusion_matrix(labels, predictions, 9), expected)


def test_confusion_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"labels have shape \(2,\), predictions \(3,\)"):
        statistics.confusion_matrix(np.zeros(2, int), np.zeros(3, int), 2)
    with pytest.raises(ValueError, match="predictions reach from 0 to 5; expected 0 to 4"):
        statistics.confusion_matrix(np.zeros(2, int), np.array([0, 5]), 5)


def test_most_confused_lists_every_mistake_once_the_most_frequent_first():
    matrix = np.random.default_rng(0).integers(0, 5, (6, 6))
    found = statistics.most_confused(matrix, 100)
    assert sum(one.times for one in found) == matrix.sum() - np.trace(matrix)
    assert [one.times for one in found] == sorted((one.times for one in found), reverse=True)
    assert len({(one.true, one.predicted) for one in found}) == len(found)
    for one in found:
        assert matrix[one.true, one.predicted] == one.times > 0
        assert matrix[one.true].sum() == one.total
    assert statistics.most_confused(matrix, 3) == found[:3]
    assert statistics.most_confused(np.diag([3, 4])) == []


def test_worst_errors_are_wrong_and_the_surest_come_first():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 60)
    labels = rng.integers(0, 4, 60)
    found = statistics.worst_errors(probabilities, labels, 10).tolist()
    wrong = [i for i in range(60) if probabilities[i].argmax() != labels[i]]
    assert found == sorted(wrong, key=lambda i: -probabilities[i].max())[:10]
    right = probabilities.argmax(1)
    assert statistics.worst_errors(probabilities, right).size == 0


def test_throughput_divides_all_images_by_all_time():
    rows = [
        {"split": "train", "step": 10},  # compiling: nothing was measured
        {"split": "train", "step": 30, "images_per_second": 100.0},
        {"split": "validation", "step": 30},
        {"split": "train", "step": 40, "images_per_second": 50.0},
    ]
    assert statistics.throughput(rows, 5) == pytest.approx(30 * 5 / (20 * 5 / 100 + 10 * 5 / 50))
    assert statistics.throughput(rows[:1], 5) is None
