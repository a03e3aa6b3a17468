"""The program compiled ahead: taken where it is the very one, never trusted."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.config import Config
from jaxcnn.engine import ahead, backend
from tests.ops import needs_onednn

pytestmark = needs_onednn
CONFIG = Config()


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """The texts that were compiled, in a cache folder of their own."""
    texts = []
    compile_text = ahead._compile

    def noted(text):
        texts.append(text)
        return compile_text(text)

    monkeypatch.setattr(backend, "use_compilation_cache", lambda: tmp_path)
    monkeypatch.setattr(ahead, "_compile", noted)
    return texts


def advance(values, state, totals, batch):
    state = {"w": state["w"] - values["rate"] * jnp.tanh(batch @ state["w"])}
    return state, totals + state["w"].sum()


def run(config=CONFIG, function=advance, jit_here=None):
    """Three steps of a new start: the bytes they come to."""
    call = (jit_here or ahead.Ahead(config).jit_here)(function, donate_argnums=1)
    place = backend.replicated(backend.data_mesh())
    state, totals, batch = jax.device_put(({"w": jnp.linspace(0, 1, 9)}, jnp.zeros(()), jnp.eye(9)), place)
    for _ in range(3):
        given = state["w"]
        state, totals = call({"rate": np.float32(0.1)}, state, totals, batch)
        assert given.is_deleted()
        assert state["w"].sharding == place
    return np.asarray(state["w"]).tobytes(), float(totals)


def test_the_second_start_compiles_the_first_ones_text_alone(compiled):
    first = run()
    assert run() == first == run(jit_here=backend.JitHere)
    assert len(compiled) == 2
    assert compiled[0] == compiled[1]


def test_another_program_is_compiled_as_it_is(compiled):
    run()

    def other(values, state, totals, batch):
        return advance(values, state, totals, 2 * batch)

    assert run(function=other) == run(function=other, jit_here=backend.JitHere)
    assert len(compiled) == 3  # the guess as well
    assert run(function=other) == run(function=other, jit_here=backend.JitHere)
    assert len(compiled) == 4


@pytest.mark.parametrize("damage", [b"", b"no text", None])
def test_a_damaged_text_is_replaced(compiled, tmp_path, damage):
    first = run()
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2] if damage is None else damage)
    assert run() == first
    assert file.read_bytes() == good


def test_a_program_that_calls_python_is_compiled_where_it_runs(compiled, tmp_path):
    def calling(values, state, totals, batch):
        state, totals = advance(values, state, totals, batch)
        return state, jax.pure_callback(lambda total: total, jax.ShapeDtypeStruct((), totals.dtype), totals)

    assert run(function=calling) == run()
    assert len(compiled) == 1


def test_nowhere_to_leave_a_text_is_no_mistake(compiled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(backend, "use_compilation_cache", lambda: tmp_path / "file" / "cache")
    assert run() == run(jit_here=backend.JitHere)


def test_numbers_that_the_program_takes_do_not_matter(compiled, tmp_path):
    run()
    run(replace(CONFIG, learning_rate=0.7, seed=3, workdir="elsewhere"))
    assert len(list(tmp_path.iterdir())) == 1
    run(replace(CONFIG, epochs=11.0))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_compiled_ahead_is_kept_out_of_jaxs_cache():
    option = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, option)
    with backend.unkept():
        assert getattr(jax.config, option) == float("inf")
    assert getattr(jax.config, option) == before


def test_the_oldest_texts_go(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "KEPT", 2)
    for epochs in (1.0, 2.0, 3.0):
        run(replace(CONFIG, epochs=epochs))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_mistake_in_a_step_is_raised(compiled):
    traced = []

    def wrong(values, state, totals, batch):
        traced.append(values)
        raise ValueError("the step says what is wrong with it")

    with pytest.raises(ValueError, match="the step says"):
        run(function=wrong)
    assert len(traced) == 1  # and is not tried again as if no text could be written


def test_a_text_that_does_not_compile_is_no_reason_to_go_without(compiled, monkeypatch):
    def refuse(text):
        raise ValueError("the compiler says what is wrong with it")

    monkeypatch.setattr(ahead, "_compile", refuse)
    with pytest.raises(ValueError, match="the compiler says"):
        run()
