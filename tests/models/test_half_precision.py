"""Every family trains where its layers compute in half precision."""

import pytest

from tests.models import family
from tests.models.test_options import FAMILIES


@pytest.mark.slow
@pytest.mark.parametrize("text", FAMILIES)
def test_one_step_in_bfloat16_lowers_the_loss_of_its_batch(text):
    family.assert_learns(text, FAMILIES[text][1], dtype="bfloat16")
