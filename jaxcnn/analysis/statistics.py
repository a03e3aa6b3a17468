"""What counts of right and wrong answers say."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A range that holds the true value with a stated confidence."""

    low: float
    high: float


class Confusion(NamedTuple):
    """One pair of classes that a model mistakes: ``times`` of ``total`` examples of ``true``."""

    true: int
    predicted: int
    times: int
    total: int


def wilson(correct: int, count: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of a proportion.

    With p = correct/count, n = count and z the normal quantile of the confidence, the interval is
    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n): the proportions that a two-sided score test would not
    reject. Unlike p ± z·√(p(1-p)/n) it keeps its coverage near 0 and 1, where test accuracies live.

    Args:
      correct: how many of the trials succeeded, 0 to ``count``.
      count: how many trials there were, above 0.
      confidence: between 0 and 1.

    Returns:
      The ends of the interval, each in [0, 1].

    Raises:
      ValueError: an argument is out of range.

    Example:
      >>> low, high = wilson(356, 360)
      >>> f"{low:.4f} {high:.4f}"
      '0.9718 0.9957'

    Reference:
      Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if count <= 0:
        raise ValueError(f"count is {count}; expected at least one trial")
    if not 0 <= correct <= count:
        raise ValueError(f"correct is {correct}; expected 0 to count, {count}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (correct + z2 / 2) / (count + z2)
    spread = math.sqrt(z2 * (correct * (count - correct) / count + z2 / 4)) / (count + z2)
    low = 0.0 if correct == 0 else centre - spread
    high = 1.0 if correct == count else centre + spread
    return Interval(low, high)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of independent repeats, such as seeds.

    With mean m and standard deviation s (over n - 1) of n values and t the quantile of Student's distribution
    with n - 1 degrees of freedom, the interval is m ± t·s/√n.

    Args:
      values: n ≥ 2 numbers.
      confidence: between 0 and 1.

    Raises:
      ValueError: there are fewer than two values, or the confidence is out of range.

    Example:
      >>> low, high = mean_interval([0.97, 0.98, 0.99])
      >>> f"{low:.4f} {high:.4f}"
      '0.9552 1.0048'

    Reference:
      Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    if len(values) < 2:
        raise ValueError(f"there are {len(values)} values; expected at least two")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
    from scipy.stats import t  # half a second: only where it is needed

    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Interval(mean - half, mean + half)


def throughput(rows: Sequence[Mapping[str, Any]], batch_size: int) -> float | None:
    """Images a second over a whole run: all images by all the time they took.

    Args:
      rows: logged metrics; those of training that have ``images_per_second`` count with the steps they cover.
      batch_size: images a step.

    Returns:
      The rate; None where nothing was measured.

    Example:
      >>> rows = [{"split": "train", "step": step, "images_per_second": 10 * step} for step in (1, 2)]
      >>> round(throughput(rows, batch_size=60), 3)
      13.333
    """
    images, seconds, before = 0.0, 0.0, 0
    for row in rows:
        if row["split"] == "train":
            if rate := row.get("images_per_second"):
                images += (row["step"] - before) * batch_size
                seconds += (row["step"] - before) * batch_size / rate
            before = row["step"]
    return images / seconds if seconds else None


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How often examples of each class were taken for each class.

    Args:
      labels: (n,) true classes, integers in [0, num_classes).
      predictions: (n,) predicted classes, likewise.

    Returns:
      (num_classes, num_classes) counts: row = true class, column = predicted class.

    Raises:
      ValueError: the shapes differ, or a class is out of range.

    Example:
      >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
      array([[1, 0],
             [1, 1]])
    """
    labels, predictions = np.asarray(labels).astype(np.int64), np.asarray(predictions).astype(np.int64)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            f"labels have shape {labels.shape}, predictions {predictions.shape}; expected (n,) both"
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(
                f"{name} reach from {values.min()} to {values.max()}; expected 0 to {num_classes - 1}"
            )
    pairs = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def most_confused(matrix: np.ndarray, most: int = 10) -> list[Confusion]:
    """The ``most`` frequent mistakes of a :func:`confusion_matrix`, the most frequent first.

    >>> most_confused(np.array([[5, 0, 1], [3, 4, 0], [0, 0, 9]]))
    [Confusion(true=1, predicted=0, times=3, total=7), Confusion(true=0, predicted=2, times=1, total=6)]
    """
    mistakes = np.array(matrix)
    np.fill_diagonal(mistakes, 0)
    rows, columns = np.nonzero(mistakes)
    order = np.argsort(-mistakes[rows, columns], kind="stable")[:most]
    totals = np.sum(matrix, axis=1)
    return [
        Confusion(int(i), int(j), int(mistakes[i, j]), int(totals[i]))
        for i, j in zip(rows[order], columns[order], strict=True)
    ]


def worst_errors(probabilities: np.ndarray, labels: np.ndarray, most: int = 12) -> np.ndarray:
    """Indices of the wrong answers, those that the model was surest of first.

    Args:
      probabilities: (n, classes); the answer is the class of greatest probability.
      labels: (n,) true classes.

    Returns:
      (k,) indices, k ≤ ``most``; equal probabilities stay in order.

    Example:
      >>> p = np.array([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2]])
      >>> worst_errors(p, np.array([0, 0, 0]))
      array([1, 0])
    """
    wrong = np.flatnonzero(np.argmax(probabilities, axis=1) != labels)
    order = np.argsort(-np.max(probabilities[wrong], axis=1), kind="stable")
    return wrong[order[:most]]
