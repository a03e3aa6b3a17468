"""Every layer of the catalogue: what the analyser says it sees is what changes it."""

import jax
import pytest

from tests.analysis.influence import assert_covers, assert_exact
from tests.catalogue import CATALOGUE
from tests.test_laws import draws, run, variables

DATA_DECIDES = {"deform_conv", "roi_align", "deform_roi_pool"}
ZEROS_IN_KERNEL = {"table_conv"}  # which the analyser, to whom a kernel is any numbers, cannot know


@pytest.mark.parametrize("layer", CATALOGUE, ids=[layer.name for layer in CATALOGUE])
def test_every_layer_sees_what_changes_it(layer):
    given, key = variables(layer.name), jax.random.key(0)

    def function(x):
        return run(layer, x, given, key)

    shape = (2, *layer.inputs)
    if layer.function in DATA_DECIDES:
        assert_covers(function, shape)
    elif layer.function in ZEROS_IN_KERNEL or draws(layer):  # what is dropped depends on nothing
        assert_covers(function, shape, unknown=False)
    else:
        assert_exact(function, shape)
