"""A search over a researcher's own function, from Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import sweeps
from jaxcnn.errors import UserError


def parabola(x, seed):
    """Lowest at x = 0.3, at a height that the seed decides."""
    return {"loss": (x - 0.3) ** 2 + 0.01 * seed, "twice": 2.0 * x}


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_candidates_are_judged_by_the_mean_over_their_seeds(sampler):
    found = sweeps.run(
        ["x=uniform(0,1)"], parabola, objective="loss:min", trials=20, seeds=3, sampler=sampler
    )
    assert sorted(one.number for one in found) == list(range(20))
    for one in found:
        expected = (one.params["x"] - 0.3) ** 2
        np.testing.assert_allclose(one.runs["loss"], [expected, expected + 0.01, expected + 0.02], atol=1e-6)
        assert one.values[0] == pytest.approx(expected + 0.01, abs=1e-6)
    assert [one.values for one in found] == sorted(one.values for one in found)
    assert abs(found[0].params["x"] - 0.3) < 0.1


@pytest.mark.parametrize(("trials", "lanes"), [(7, 4), (2, 16), (5, 1)])
def test_one_compilation_for_all_candidates(trials, lanes):
    traced = 0

    def count(x, seed):
        nonlocal traced
        traced += 1
        return {"loss": x + 0 * seed}

    found = sweeps.run(
        ["x=uniform(0,1)"], count, objective="loss:min", trials=trials, seeds=2, lanes=lanes, sampler="random"
    )
    assert traced == 1
    for one in found:
        np.testing.assert_allclose(one.runs["loss"], one.params["x"], rtol=1e-6)


def test_a_candidate_that_is_not_finite_has_failed_and_the_others_have_not():
    def root(x, seed):
        return {"loss": jnp.sqrt(x) + 0.0 * seed}

    found = sweeps.run(["x=choice(-1.0,0.25,4.0)"], root, objective="loss:min", trials=9, sampler="grid")
    assert [(one.state, one.params["x"]) for one in found] == [
        ("complete", 0.25), ("complete", 4.0), ("failed", -1.0)
    ]  # fmt: skip
    assert found[-1].reason == "loss:min is nan"


def test_several_objectives_give_their_front_first():
    def two(x, seed):
        return {"a": x + 0 * seed, "b": jnp.maximum(1 - x, 0.5)}

    found = sweeps.run(
        ["x=choice(0.0,0.25,0.5,0.75)"], two, objective="a:min,b:min", trials=4, sampler="grid", seeds=2
    )
    assert [one.params["x"] for one in found] == [0.0, 0.25, 0.5, 0.75]
    assert sweeps.run(["x=choice(0.5,0.75)"], two, objective="a:min,b:min", sampler="grid")[1].values == (
        0.75, 0.5
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "function", "choices", "expected"),
    [
        ("x=uniform(1,0)", parabola, {}, "upside down"),
        ("x=choice('a','b')", parabola, {}, "expected numbers, and 'a' is not"),
        ("seed=int(0,9)", parabola, {}, "expected seeds=3 instead"),
        ("x=uniform(0,1)", parabola, {"objective": "los:min"}, "the function returns loss, twice, no los"),
        ("x=uniform(0,1)", parabola, {"sampler": "grid"}, "has no finite list of values"),
        ("x=uniform(0,1)", parabola, {"sampler": "tpee"}, "sampler=tpee: did you mean tpe"),
        (
            "x=uniform(0,1)",
            parabola,
            {"sampler": "cmaes", "objective": "loss,twice"},
            "sampler=cmaes: has one objective",
        ),
        ("x=uniform(0,1)", parabola, {"trials": 0}, "trials=0: expected 1 or more"),
        ("x=uniform(0,1)", parabola, {"lanes": 0}, "lanes=0: expected 1 or more"),
        ("x=uniform(0,1)", parabola, {"pruner": "asha"}, "pruner=: is a choice of searches over a Config"),
        ("x=uniform(0,1)", lambda x, seed: x, {}, "returns no mapping"),
        ("x=uniform(0,1)", lambda x, seed: {"loss": x * jnp.ones(3)}, {}, r"loss has shape \(3,\)"),
    ],
)
def test_mistakes_are_said_in_one_line(line, function, choices, expected):
    with pytest.raises(UserError, match=expected) as caught:
        sweeps.run([line], function, **{"objective": "loss:min", "trials": 2, **choices})
    assert "\n" not in str(caught.value)


def test_a_function_may_be_compiled_itself():
    found = sweeps.run(["x=uniform(0,1)"], jax.jit(parabola), objective="loss:min", trials=3)
    assert len(found) == 3
