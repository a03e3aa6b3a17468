"""The 1,797 handwritten digits that come with scikit-learn, split once and for all.

8 × 8 pixels, ten classes: the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak,
1998, UCI machine learning repository), in which a pixel counts the ink in a 4 × 4 block of a larger scan,
0 to 16.
"""

import numpy as np

CLASS_NAMES = tuple("0123456789")
SHAPE = (8, 8, 1)
SHARES = {"test": 0.2, "validation": 0.1}  # of every class; training gets the rest


def examples() -> tuple[np.ndarray, np.ndarray]:
    """The scans, in scikit-learn's order.

    Ink 0..16 becomes ``round(ink · 255 / 16)``, which is one to one: nothing is lost.

    Returns:
      Images uint8 (1797, 8, 8, 1) and labels int64 (1797,).
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    return np.rint(scans.images * (255 / 16)).astype(np.uint8)[..., None], scans.target


def split(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Which scans are for training, validation and testing: 70, 10 and 20 percent of every class.

    Args:
      labels: (n,) the class of each scan.

    Returns:
      For each split its examples, ascending. The same labels always give the same splits.

    Example:
      >>> {name: len(rows) for name, rows in split(np.repeat(np.arange(10), 100)).items()}
      {'train': 700, 'validation': 100, 'test': 200}
    """
    generator = np.random.Generator(np.random.Philox(key=1797))
    splits: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        start = 0
        for name, share in SHARES.items():
            stop = start + round(share * len(rows))
            splits[name].append(rows[start:stop])
            start = stop
        splits["train"].append(rows[start:])
    return {name: np.sort(np.concatenate(rows)) for name, rows in splits.items()}
