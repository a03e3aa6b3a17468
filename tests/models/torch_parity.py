"""What a test of parity with torch does for any network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.torch_models import import_timm, import_torchvision
from jaxcnn import models, nn

KEY = jax.random.key(0)


@functools.cache
def library(name):
    """torchvision.models or timm; skips the test that asks for what is not installed."""
    package = {"torchvision": import_torchvision, "timm": import_timm}[name]()
    if package is None:
        pytest.skip(f"{name} is not installed")
    return package.models if name == "torchvision" else package


def randomize(model):
    """Numbers that hide no mistake: no scale is 1 or nearly 0, no bias, mean or variance as it starts."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point and (value.ndim == 1 or name.endswith("layer_scale")):
                value.uniform_(0.5, 1.5, generator=generator)
                value.sub_(1.0 if name.endswith(("bias", "running_mean")) else 0.0)
    return model


def arrays(model):
    """A state dictionary as NumPy arrays."""
    return {key: value.detach().numpy().copy() for key, value in model.state_dict().items()}


def assert_parity(text, theirs, layout, shape, *, training=True, **options):
    """The same numbers give the same logits and running statistics, and come back to the last bit.

    Args:
      text: our network, with ``options`` for :func:`jaxcnn.models.create`.
      theirs: torch's, whose numbers are replaced.
      layout: whose keys it has.
      shape: of the images, (n, height, width, channels).
      training: compare statistics after a step, with torch's unbiased variances if ``options`` have no norm.
    """
    import torch

    theirs = randomize(theirs).eval()
    before = arrays(theirs)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    images = torch.from_numpy(x).movedim(-1, 1)
    if training and any("running_mean" in key for key in before):
        options = {"norm": functools.partial(nn.BatchNorm, unbiased=True)} | options
    model = models.create(text, **options)
    variables = models.load_torch(jax.eval_shape(model.init, KEY, jnp.asarray(x)), before, model)

    def both(variables, x):
        logits = model.apply(variables, x)
        _, state = model.apply(variables, x, train=True, mutable=["batch_stats"], rngs={"dropout": KEY})
        return logits, state

    logits, state = jax.jit(both)(variables, x)
    with torch.no_grad():
        expected = theirs(images).numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        assert (
            np.ptp(expected) > 1e-2 * np.abs(expected).max()
        )  # classes and images differ, so this is no accident

    saved = models.torch_state(variables, model, layout=layout)
    assert saved.keys() == before.keys()
    for key, value in before.items():
        assert (saved[key].dtype, saved[key].tobytes()) == (value.dtype, value.tobytes()), key

    if not training:
        return
    theirs.train()
    with torch.no_grad():
        theirs(images)
    after, ours = arrays(theirs), models.torch_state(variables | state, model, layout=layout)
    for key in before:
        if "running" in key:
            scale = np.abs(after[key]).max()
            np.testing.assert_allclose(ours[key], after[key], rtol=1e-4, atol=1e-4 * scale, err_msg=key)
            assert not np.array_equal(after[key], before[key])
