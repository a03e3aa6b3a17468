"""What a job refuses before anything of it is written or trained."""

import re

import pytest

from jaxcnn.config import Config
from jaxcnn.engine.job import Job
from jaxcnn.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1_260}, "--batch_size=1260: expected at most the 1,259 examples to train on"),
        ({"epochs": 1e12}, "--epochs=1000000000000.0: makes 1.26e+13 steps, expected 2147483647 at most"),
        (
            {"model": "unet(levels=1, num_filters=4)"},
            "cannot be trained on digits's images of shape (8, 8, 1): its answers have shape (1, 8, 8, 10); "
            "training needs one of shape (n, classes)",
        ),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        Job(Config(**{"model": "mlp(hidden=[4])", "batch_size": 100} | options))
    assert "\n" not in str(caught.value)
