"""What is checked before a sweep begins."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.config import Config
from jaxcnn.errors import UserError
from jaxcnn.sweeps import programs
from jaxcnn.sweeps.settings import Settings

BASE = Config(model="mlp(hidden=[8])", batch_size=100)


def save(path, text):
    """Weights of a network for digits, in a file."""
    model = models.create(text, num_classes=10)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 8, 1)))
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    models.save_torch(variables, path, model, layout="jaxcnn")
    return str(path)


def test_weights_are_read_before_the_first_candidate(tmp_path):
    fits = save(tmp_path / "fits.safetensors", BASE.model)
    search = Settings(search=("learning_rate=log(0.01,1)",))
    programs.check(search, replace(BASE, init_from=fits))
    with pytest.raises(UserError, match=r"--init_from for --model=mlp.*gone.safetensors: no such file"):
        programs.check(search, replace(BASE, init_from=str(tmp_path / "gone.safetensors")))
    other = save(tmp_path / "other.safetensors", "lenet5")
    with pytest.raises(UserError, match=r"does not fit MLP: missing .* \(and \d+ more\)") as caught:
        programs.check(search, replace(BASE, init_from=other))
    assert "\n" not in str(caught.value)
    widths = Settings(search=("model=choice('mlp(hidden=[8])','mlp(hidden=[4])')",))
    with pytest.raises(UserError, match=r"--model=mlp\(hidden=\[4\]\): .* misshapen"):
        programs.check(widths, replace(BASE, init_from=fits))
    files = Settings(search=(f"init_from=choice('',{fits!r},{other!r})",))
    with pytest.raises(UserError, match=r"other.safetensors does not fit"):
        programs.check(files, BASE)
