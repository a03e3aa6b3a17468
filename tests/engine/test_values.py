"""Which numbers are arguments of the compiled step, and that a step is one program for all of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import data, models
from jaxcnn.config import LANE, Config, usage
from jaxcnn.engine import metrics
from jaxcnn.engine.job import Job
from jaxcnn.engine.values import static_key, values
from jaxcnn.models import registry

LANES = {
    "seed": 3,
    "learning_rate": 0.5,
    "momentum": 0.1,
    "weight_decay": 0.0,
    "label_smoothing": 0.2,
    "ema_decay": 0.5,
    "clip_norm": 2.0,
    "model": "mlp(dropout=0.0, hidden=[8])",
    "augment": "shift(max_pixels=3), rotate(7.5)",
}
BASE = Config(
    ema_decay=0.9, clip_norm=1.0, model="mlp(hidden=[8], dropout=0.5)", augment="shift(1),rotate(10)"
)


@pytest.mark.parametrize("field", sorted(LANES))
def test_lane_values_leave_the_key_alone_and_change_the_values(field):
    other = dataclasses.replace(BASE, **{field: LANES[field]})
    if field != "model":
        assert static_key(other) == static_key(BASE)
    assert jax.tree.leaves(values(other)) != jax.tree.leaves(values(BASE))
    kinds = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), values(BASE))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), values(other)) == kinds


def test_the_fields_with_lanes_are_these():
    lanes = {f.name: f.metadata["lane"] for f in dataclasses.fields(Config) if f.metadata["lane"]}
    assert set(lanes) == set(LANES)
    assert set(lanes.values()) == set(LANE)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 32},
        {"optimizer": "adamw"},
        {"warmup": 0.2},
        {"ema_decay": 0.0},
        {"clip_norm": 0.0},
        {"model": "mlp(hidden=[8])"},
        {"model": "mlp(hidden=[9], dropout=0.5)"},
        {"augment": "shift(1, padding='edge'),rotate(10)"},
        {"augment": "rotate(10),shift(1)"},
    ],
    ids=str,
)
def test_anything_else_changes_the_key(change):
    assert static_key(dataclasses.replace(BASE, **change)) != static_key(BASE)


def test_what_does_not_change_the_course_does_not_change_the_key():
    assert static_key(dataclasses.replace(BASE, workdir="x", log_every=7, keep=9)) == static_key(BASE)


def test_help_says_which_values_are_lanes():
    lines = {line.split()[0]: line for line in usage().splitlines() if line.strip().startswith("--")}
    for field in dataclasses.fields(Config):
        assert ("[lane" in lines[f"--{field.name}"]) == bool(field.metadata["lane"])


def rates_of(name):
    return [rate for rate in ("dropout", "drop_path") if rate in registry.arguments_of(name)]


RATED = [name for name in models.names() if rates_of(name)]


@pytest.mark.parametrize("name", RATED)
def test_every_model_can_be_made_around_traced_rates(name):
    written = f"{name}({', '.join(f'{rate}=0.25' for rate in rates_of(name))})"
    rest, rates = registry.split(written)
    assert rates == dict.fromkeys(rates_of(name), 0.25)

    def make(rates):
        models.create(rest, num_classes=3, **rates)
        return jnp.zeros(())

    jax.eval_shape(make, rates)
    assert models.create(rest, **rates) == models.create(written)


@pytest.mark.parametrize("text", ["mlp(hidden=[8])", "resnet8(num_filters=4)"])
def test_traced_rates_draw_what_written_ones_draw(text):
    name = text.partition("(")[0]
    rates = dict.fromkeys(rates_of(name), 0.25)
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    written = models.create(text, **rates)
    variables = written.init(jax.random.key(1), x)

    def logits(model):
        rngs = {"dropout": jax.random.key(2)}
        return model.apply(variables, x, train=True, mutable=["batch_stats"], rngs=rngs)[0]

    traced = jax.jit(lambda rates: logits(models.create(text, **rates)))(rates)
    np.testing.assert_allclose(traced, logits(written), rtol=1e-4, atol=1e-5)
    assert not np.allclose(traced, logits(models.create(text)), atol=1e-3)


@pytest.mark.parametrize("call", ["shift(1)", "crop(1)", "flip", "rotate(5)", "cutout(2)", "noise(0.1)"])
def test_traced_strengths_do_what_written_ones_do(call):
    calls, strengths = data.augment.split(call)
    images = jax.random.uniform(jax.random.key(1), (3, 6, 6, 2))
    key = jax.random.key(0)
    traced = jax.jit(lambda s: data.augment.build(calls, s)(key, images))(strengths)
    np.testing.assert_allclose(traced, data.augment.parse(call)(key, images), atol=1e-6)


def test_every_transform_takes_traced_strengths():
    required = {
        "shift": 1,
        "crop": 1,
        "rotate": 5.0,
        "cutout": 2,
        "noise": 0.1,
        "brightness": 0.1,
        "contrast": 0.1,
    }
    text = ", ".join(
        f"{name}({required[name]})" if name in required else name for name in data.augment.names()
    )
    calls, strengths = data.augment.split(text)
    assert all(strengths)
    build = lambda s: data.augment.build(calls, s)(jax.random.key(0), jnp.ones((2, 6, 6, 3)))  # noqa: E731
    assert jax.eval_shape(build, strengths).shape == (2, 6, 6, 3)


def test_other_numbers_compile_nothing_anew():
    """Runs that differ in all that may be traced have one program."""
    others = {name: value for name, value in LANES.items() if name != "model"}

    def programs(config):
        job = Job(config)
        feed, batch = job.feed(), {"image": jnp.zeros((50, 8, 8, 1)), "label": jnp.zeros(50, int)}
        reading = jax.jit(job.reading(feed)).lower(job.values, 0, feed.data, feed.payload(0))
        return reading.as_text(), jax.jit(job.advance).lower(
            job.values, job.state, metrics.zero(), batch
        ).as_text()

    base = dataclasses.replace(BASE, steps=2, batch_size=50)
    assert programs(base) == programs(dataclasses.replace(base, **others))
    assert programs(base) != programs(dataclasses.replace(base, batch_size=50, augment="shift(1)"))
