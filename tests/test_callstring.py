"""Call strings are read literally, and mistakes in them are said in one line."""

import pytest

from jaxcnn.callstring import Call, parse, parse_one
from jaxcnn.errors import UserError


def test_names_arguments_and_lists():
    assert parse("a(1, x='y'), b") == [Call("a", (1,), {"x": "y"}), Call("b")]
    assert parse("  ") == []
    assert parse_one("f(k=(1, 2), z=None, n=-3)") == Call("f", (), {"k": (1, 2), "z": None, "n": -3})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("f(", "is not a call string"),
        ("f(norm=group)", "put words in quotes"),
        ("f(__import__('os'))", "is not a literal"),
        ("f(x=1, x=2)", "name each argument once"),
        ("f(**{'x': 1})", "name each argument once"),
        ("a.b(1)", "is not a name or a call"),
        ("3", "is not a name or a call"),
        ("f(1)]; import os; [g", "is not a call string"),
    ],
)
def test_anything_else_is_refused(text, part):
    with pytest.raises(UserError, match=part.replace("(", r"\(")) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a, b"])
def test_exactly_one(text):
    with pytest.raises(UserError, match="exactly one was expected"):
        parse_one(text)
