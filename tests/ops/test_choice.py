"""Which lowering is chosen where, and how that is said."""

import math
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import ops
from jaxcnn.ops import lowering
from tests.ops import needs_onednn

CHOICES = [
    # shapes, numbers, lowerings of the three forms in a portable program and in one that stays
    (((8, 56, 56, 128), (3, 3, 1, 128)), {"groups": 128}, ["shift"] * 3, ["onednn"] * 3),
    (((8, 56, 56, 128), (7, 7, 1, 128)), {"groups": 128}, ["shift"] * 3, ["onednn"] * 3),
    (((8, 56, 56, 256), (1, 1, 256, 64)), {}, ["dot"] * 3, ["dot"] * 3),
    (((8, 28, 28, 256), (3, 3, 8, 256)), {"groups": 32}, ["tiles"] * 3, ["onednn"] * 3),
    (
        ((8, 56, 56, 64), (3, 3, 64, 64)),
        {},
        ["winograd", "winograd", "direct"],
        ["onednn", "onednn", "winograd"],
    ),
    (((8, 28, 28, 32), (3, 3, 32, 32)), {}, ["direct"] * 3, ["onednn", "onednn", "tiles"]),
    (((8, 56, 56, 64), (3, 3, 64, 64)), {"platform": "cuda"}, ["direct"] * 3, ["direct"] * 3),
    (((8, 56, 56, 64), (3, 3, 64, 64)), {"platform": "tpu"}, ["direct"] * 3, ["direct"] * 3),
    (
        ((8, 56, 56, 128), (3, 3, 1, 128)),
        {"platform": "cuda", "groups": 128, "strides": 2},
        ["direct", "shift", "direct"],
        ["direct", "shift", "direct"],
    ),
    (((8, 56, 56, 64), (3, 3, 64, 64)), {"lowering": "tiles"}, ["tiles"] * 3, ["tiles"] * 3),
    (((1, 5, 5, 2), (3, 3, 2, 2)), {}, ["direct"] * 3, ["direct"] * 3),
    (((8, 56, 56, 64), (3, 3, 64, 64)), {"dtype": jnp.int32}, ["direct"] * 3, ["direct"] * 3),
]


@pytest.mark.parametrize("portable", [True, pytest.param(False, marks=needs_onednn)])
@pytest.mark.parametrize(("shapes", "numbers", "elsewhere", "here"), CHOICES)
def test_explain_names_the_choice(shapes, numbers, elsewhere, here, portable):
    text = ops.explain(*shapes, **{"platform": "cpu", "portable": portable} | numbers)
    lines = text.splitlines()[1:]
    assert [line.split(": ")[1].split(",")[0] for line in lines] == (elsewhere if portable else here)


def test_explain_names_the_reason():
    shapes = (8, 56, 56, 64), (3, 3, 64, 64)
    assert "3 taps" in ops.explain(*shapes, platform="cpu")
    assert "not measured" in ops.explain(*shapes, platform="tpu")
    assert "no other was measured" in ops.explain(*shapes, platform="cuda")
    assert "cuDNN" in ops.explain(*shapes, platform="cuda", dilation=2)
    assert "asked for" in ops.explain(*shapes, platform="cpu", lowering="tiles")
    assert "int32" in ops.explain(*shapes, platform="cpu", dtype=jnp.int32)
    assert "too little" in ops.explain((1, 5, 5, 2), (3, 3, 2, 2), platform="cpu")


def calls_onednn(text):
    return "__onednn$" in text


@needs_onednn
def test_programs_that_leave_this_process_do_not_call_onednn(monkeypatch):
    x, kernel = jnp.ones((8, 28, 28, 32)), jnp.ones((3, 3, 32, 32))

    def gradients():  # a new function, for JAX keeps what it lowered
        return jax.jit(jax.grad(lambda x, kernel: ops.conv(x, kernel).sum(), (0, 1)))

    assert calls_onednn(gradients().lower(x, kernel).as_text())
    exported = jax.export.export(gradients(), platforms=["cpu"])(x, kernel)
    assert not calls_onednn(exported.mlir_module())
    names = ("__onednn$convolution", "__onednn$matmul")
    calls = [jax.export.DisabledSafetyCheck.custom_call(name) for name in names]
    with lowering.onednn.staying():
        staying = jax.export.export(gradients(), platforms=["cpu"], disabled_checks=calls)(x, kernel)
    assert calls_onednn(staying.mlir_module())
    monkeypatch.setattr(lowering.onednn, "_kept", lambda: True)
    assert not calls_onednn(gradients().lower(x, kernel).as_text())
    asked = jax.jit(lambda x, kernel: ops.conv(x, kernel, lowering="onednn"))
    assert not calls_onednn(asked.lower(x, kernel).as_text())
    assert "it needs no persistent" in ops.explain(x.shape, kernel.shape, lowering="onednn")


@pytest.mark.parametrize("name", lowering.NAMES)
def test_programs_for_other_devices_do_not_call_onednn(name):
    x, kernel = jnp.ones((8, 28, 28, 32)), jnp.ones((1 if name == "dot" else 3,) * 2 + (32, 32))
    if name in ("shift", "merged"):
        kernel = kernel[..., : 1 if name == "shift" else 4, :]
    groups = 32 // kernel.shape[2]
    gradients = jax.jit(jax.grad(lambda *a: ops.conv(*a, groups=groups, lowering=name).sum(), (0, 1)))
    for platform in ("cuda", "tpu"):
        lowered = gradients.trace(x, kernel).lower(lowering_platforms=(platform,))
        assert not calls_onednn(lowered.as_text())


def test_dtypes_have_names():
    texts = [ops.explain((8, 28, 28, 32), (3, 3, 32, 32), dtype=dtype) for dtype in ("float32", jnp.float32)]
    assert texts[0] == texts[1]


def test_a_machine_that_does_not_tell_its_processor_does_without(monkeypatch):
    def unreadable(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(lowering.onednn.Path, "read_text", unreadable)
    assert lowering.onednn.not_here.__wrapped__() is not None


@pytest.mark.parametrize(
    ("folder", "enabled", "seconds", "kept"),
    [
        (None, True, 1.0, False),
        ("somewhere", True, 1.0, True),
        ("somewhere", False, 1.0, True),  # JAX goes on with a cache that it has used
        ("somewhere", True, math.inf, True),  # by whatever thread that is, so not for good
    ],
)
def test_what_jaxs_cache_keeps(monkeypatch, folder, enabled, seconds, kept):
    numbers = {
        "jax_compilation_cache_dir": folder,
        "jax_enable_compilation_cache": enabled,
        "jax_persistent_cache_min_compile_time_secs": seconds,
    }
    monkeypatch.setattr(lowering.onednn.jax, "config", SimpleNamespace(**numbers))
    assert lowering.onednn._kept() == kept
    with lowering.onednn.staying():
        assert not lowering.onednn._kept()


@pytest.mark.parametrize("name", lowering.NAMES)
def test_no_images_make_no_outputs_by_any_name(name):
    x, kernel = jnp.ones((0, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    y, back = jax.vjp(lambda x, kernel: ops.conv(x, kernel, lowering=name), x, kernel)
    assert y.shape == (0, 8, 8, 4)
    assert [(each.shape, float(each.sum())) for each in back(y)] == [(x.shape, 0), (kernel.shape, 0)]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lowering": "winogrand"}, "lowering='winogrand' is not known; did you mean winograd?"),
        ({"lowering": None}, "lowering=None is not known"),
        ({"lowering": "dot"}, "lowering='dot' cannot compute x of shape (1, 8, 8, 4)"),
        ({"lowering": "dot"}, "it needs one tap, or a window as large as the image; use lowering='auto'"),
        ({"lowering": "shift"}, "it needs groups of one channel each"),
        ({"lowering": "winograd", "strides": 2}, "it needs stride 1 on the first two spatial axes"),
    ],
)
def test_mistakes_are_named(numbers, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.conv(jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4)), **numbers)
