"""Data: TFDS sets by name or folder, one order of examples, and the feeds that follow it.

TFDS and grain are imported by the functions that need them, not by this package.
"""

from jaxcnn.data import augment
from jaxcnn.data.dataset import Dataset, Split
from jaxcnn.data.feed import choose_feed, eval_batches, make_feed, reseeded, resident, streaming
from jaxcnn.data.joined import with_validation
from jaxcnn.data.order import Order
from jaxcnn.data.source import load

__all__ = [
    "Dataset",
    "Order",
    "Split",
    "augment",
    "choose_feed",
    "eval_batches",
    "load",
    "make_feed",
    "reseeded",
    "resident",
    "streaming",
    "with_validation",
]
