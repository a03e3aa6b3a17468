"""Config, flags and flagfiles say the same thing."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.config import CHECKS, Config, course_changes, usage
from jaxcnn.errors import UserError

VALUES = {
    "positive": st.integers(1, 10**6),
    "not negative": st.integers(0, 10**6),
    "fraction": st.floats(0, 0.999),
    "factor": st.floats(0.001, 1),
    "seed": st.integers(0, 2**31 - 1),
    "dtype": st.sampled_from(["float32", "bfloat16"]),
    "feed": st.sampled_from(["auto", "resident", "streaming"]),
    "word": st.sampled_from(["digits", 'resnet20(num_filters=8, norm="group")', "a#b", "--x"]),
    "": st.sampled_from(["", "runs/a b", "shift(1), flip", "#no comment"]),
}


@st.composite
def configs(draw):
    values = {}
    for field in dataclasses.fields(Config):
        drawn = st.booleans() if field.type is bool else VALUES[field.metadata["check"]]
        value = draw(drawn)
        values[field.name] = float(value) if field.type is float else value
    return Config(**values)


@given(configs())
def test_a_flagfile_says_what_its_config_says(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("flags") / "config.flags"
    path.write_text(config.to_flagfile())
    assert Config.from_flagfile(path) == config


def test_later_lines_win(tmp_path):
    path = tmp_path / "x.flags"
    path.write_text("--seed=1\n--seed=2\n")
    assert Config.from_flagfile(path).seed == 2


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("batch_size", 0, "--batch_size=0: expected above 0"),
        ("batch_size", -3, "--batch_size=-3: expected above 0"),
        ("learning_rate", float("nan"), "--learning_rate=nan: expected above 0"),
        ("learning_rate", float("inf"), "--learning_rate=inf: expected above 0"),
        ("momentum", 1.0, "--momentum=1.0: expected at least 0 and below 1"),
        ("dtype", "float64", "--dtype=float64: expected float32 or bfloat16"),
        ("seed", -1, "--seed=-1: expected from 0 to 2147483647"),
        ("model", " ", "--model= : expected a name"),
        ("workdir", "a\nb", "expected one line"),
        ("steps", 2**31, "--steps=2147483648: expected 2147483647 at most"),
        ("weight_decay", 1e39, "--weight_decay=1e+39: expected 3.4028234e+38 at most"),
    ],
)
def test_out_of_range_values_are_refused_in_one_line(field, value, expected):
    with pytest.raises(UserError) as caught:
        Config(**{field: value})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_rule_is_used_and_every_default_passes():
    assert {field.metadata["check"] for field in dataclasses.fields(Config)} - {""} == set(CHECKS)
    Config()


def test_course_changes_name_what_would_change_the_run():
    old = Config(learning_rate=0.1, log_every=5, workdir="a")
    new = Config(learning_rate=0.2, log_every=7, workdir="b")
    assert course_changes(old, new) == ["--learning_rate: 0.1 -> 0.2"]


def test_usage_has_a_line_for_every_field():
    text = usage()
    for field in dataclasses.fields(Config):
        assert f"--{field.name} " in text


def test_the_folder_is_named_after_the_job():
    assert str(Config(model="resnet20(num_filters=8)").folder()) == "runs/digits-resnet20_num_filters_8-seed0"
    assert str(Config(workdir="x/y").folder()) == "x/y"
