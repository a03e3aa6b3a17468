"""Checkpoints come back byte for byte, or not at all."""

import json
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.engine.checkpoint import UNSCORED, Checkpoints, digests
from jaxcnn.errors import UserError


def make_state(step):
    key = jax.random.key(step)
    return {
        "step": jnp.asarray(step, jnp.int32),
        "w": jax.random.normal(key, (5, 3)),
        "half": jax.random.normal(key, (4,), jnp.bfloat16),
        "empty": {},
        "nested": (jnp.ones(()), [jnp.arange(3)]),
    }


@pytest.fixture
def said():
    return []


@pytest.fixture
def checkpoints(tmp_path, said):
    opened = Checkpoints(tmp_path / "run" / "checkpoints", keep=2, say=said.append)
    yield opened
    opened.close()


def assert_same_bytes(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def test_a_state_comes_back_byte_for_byte(checkpoints):
    checkpoints.save(3, make_state(3), score=0.5)
    checkpoints.wait()
    step, state = checkpoints.restore_newest(jax.eval_shape(make_state, 0))
    assert step == 3
    assert_same_bytes(state, make_state(3))


def test_a_save_under_way_is_waited_for(checkpoints):
    for step in (1, 2):
        checkpoints.save(step, make_state(step), score=0.5)
    assert checkpoints.restore_best(jax.eval_shape(make_state, 0))[0] == 2


def test_nothing_saved_is_none(checkpoints):
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0)) is None


def test_the_newest_and_the_best_stay(checkpoints):
    for step, score in ((1, 0.1), (2, 0.9), (3, UNSCORED), (4, 0.2), (5, 0.3)):
        checkpoints.save(step, make_state(step), score)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.restore_best(jax.eval_shape(make_state, 0))[0] == 2
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 5


def test_of_equal_scores_the_later_is_best(checkpoints):
    for step in (1, 2):
        checkpoints.save(step, make_state(step), 0.5)
    checkpoints.wait()
    assert checkpoints.restore_best(jax.eval_shape(make_state, 0))[0] == 2


def test_a_state_may_be_donated_at_once(checkpoints):
    state = make_state(1)
    expected = jax.tree.map(np.array, state)
    checkpoints.save(1, state)
    jax.jit(lambda s: jax.tree.map(lambda x: x * 2, s), donate_argnums=0)(state)
    checkpoints.wait()
    assert_same_bytes(checkpoints.restore_newest(jax.eval_shape(make_state, 0))[1], expected)


# of the reads that Orbax has under way when one fails, some outlive its event loop
@pytest.mark.filterwarnings("ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_is_noticed_and_the_one_before_is_used(checkpoints, said, seed):
    for step in (1, 2):
        checkpoints.save(step, make_state(step))
    checkpoints.wait()
    rng = random.Random(seed)
    files = sorted(
        f for f in (checkpoints.folder / "2" / "state").rglob("*") if f.is_file() and f.stat().st_size
    )
    data = [f for f in files if "/d/" in f.as_posix()]  # array bytes; metadata may hold unused ones
    victim = rng.choice(data)
    content = bytearray(victim.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    victim.write_bytes(content)

    step, state = checkpoints.restore_newest(jax.eval_shape(make_state, 0))
    if step == 2:  # the flipped bit was in slack that no array reads
        assert_same_bytes(state, make_state(2))
    else:
        assert step == 1
        assert_same_bytes(state, make_state(1))
        assert "checkpoint 2 is damaged" in said[0]
        assert checkpoints.steps() == [1]
        assert (checkpoints.folder.parent / "damaged" / "2").is_dir()
        checkpoints.save(2, make_state(2))  # its place is free again
        checkpoints.wait()
        assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 2


def test_a_changed_array_is_named(checkpoints, said):
    """Swap in another step's arrays: every file is well formed, only the content is not what was saved."""
    for step in (1, 2):
        checkpoints.save(step, make_state(step))
    checkpoints.wait()
    shutil.rmtree(checkpoints.folder / "2" / "state")
    shutil.copytree(checkpoints.folder / "1" / "state", checkpoints.folder / "2" / "state")
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 1
    assert "the bytes of ['half'] changed, 3 of 5 arrays in all" in said[0]


def test_a_wrong_dtype_is_not_cast_in_silence(checkpoints, said):
    checkpoints.save(1, make_state(1))
    checkpoints.wait()
    like = jax.eval_shape(make_state, 0) | {"w": jax.ShapeDtypeStruct((5, 3), jnp.bfloat16)}
    with pytest.raises(UserError, match="none of the checkpoints"):
        checkpoints.restore_newest(like)


@pytest.mark.parametrize("text", ["zz", "{}", "[]", "", '{"score": null}', '{"score": 0.99}', "\x00"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_damaged_score_costs_its_checkpoint_alone(checkpoints, said, step, text):
    for other in (1, 2, 3):
        checkpoints.save(other, make_state(other), score=1 - other / 10)
    checkpoints.close()
    (checkpoints.folder / str(step) / "metrics" / "metrics").write_text(text)
    like, others = jax.eval_shape(make_state, 0), [other for other in (1, 2, 3) if other != step]

    reader = Checkpoints(checkpoints.folder, read_only=True, say=said.append)
    assert reader.restore_newest(like)[0] == 3
    assert reader.restore_best(like)[0] == others[0]
    assert reader.steps() == [1, 2, 3]
    assert all(line.startswith(f"checkpoint {step} is damaged (its score") for line in said), said

    assert checkpoints.restore_newest(like)[0] == 3
    assert checkpoints.steps() == others
    assert (checkpoints.folder.parent / "damaged" / str(step)).is_dir()
    checkpoints.save(4, make_state(4), score=0.1)
    assert checkpoints.restore_newest(like)[0] == 4


def test_a_newest_checkpoint_without_its_score_is_left_for_the_one_before(checkpoints, said):
    for step in (1, 2):
        checkpoints.save(step, make_state(step), score=0.5)
    checkpoints.wait()
    (checkpoints.folder / "2" / "metrics" / "metrics").unlink()
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 1
    assert said[1] == f"moved 2 to {checkpoints.folder.parent / 'damaged'}"


def test_a_score_that_nothing_vouches_for_is_damaged(checkpoints, said):
    for step in (1, 2):
        checkpoints.save(step, make_state(step), score=0.5)
    checkpoints.close()
    place = checkpoints.folder / "2" / "digests" / "metadata"
    place.write_text(json.dumps({k: v for k, v in json.loads(place.read_text()).items() if k != "score"}))
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 1
    assert said[0].startswith("checkpoint 2 is damaged (its score cannot be read: KeyError")


def test_a_missing_file_is_noticed(checkpoints, said):
    checkpoints.save(1, make_state(1))
    checkpoints.save(2, make_state(2))
    checkpoints.wait()
    shutil.rmtree(checkpoints.folder / "2" / "digests")
    assert checkpoints.restore_newest(jax.eval_shape(make_state, 0))[0] == 1


def test_all_damaged_is_an_error_that_keeps_them(checkpoints):
    checkpoints.save(1, make_state(1))
    checkpoints.wait()
    shutil.rmtree(checkpoints.folder / "1" / "state")
    with pytest.raises(UserError, match="none of the checkpoints"):
        checkpoints.restore_newest(jax.eval_shape(make_state, 0))
    assert (checkpoints.folder / "1").is_dir()


def test_digests_know_dtype_and_shape():
    zeros = {np.zeros((2, 2), np.float32).tobytes()}
    same_bytes = [np.zeros((2, 2), np.float32), np.zeros(4, np.float32), np.zeros(4, np.int32)]
    assert {a.tobytes() for a in same_bytes} == zeros
    assert len({digests({"x": a})["['x']"] for a in same_bytes}) == 3


def test_reading_changes_nothing(checkpoints):
    """A run is looked at while another process is in the middle of a save."""
    for step in (1, 2):
        checkpoints.save(step, make_state(step))
    checkpoints.wait()
    under_way = checkpoints.folder / "3.orbax-checkpoint-tmp"
    under_way.mkdir()
    before = sorted(checkpoints.folder.rglob("*"))
    reader = Checkpoints(checkpoints.folder, read_only=True)
    assert reader.restore_best(jax.eval_shape(make_state, 0))[0] == 2
    reader.close()
    assert sorted(checkpoints.folder.rglob("*")) == before
