"""Call strings: ``resnet20(num_filters=32, norm="group")``, read literally and never evaluated."""

import ast
from typing import Any, NamedTuple

from jaxcnn.errors import UserError


class Call(NamedTuple):
    """A name with its literal arguments."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - read only


def parse(text: str) -> list[Call]:
    """Read a comma-separated list of call strings.

    Args:
      text: names or calls with literal arguments, e.g. ``'shift(1), flip'``; empty means none.

    Returns:
      One :class:`Call` for each.

    Raises:
      UserError: the text is no such list, or an argument is not a literal.

    Example:
      >>> parse('resnet20(num_filters=32), flip')
      [Call(name='resnet20', args=(), kwargs={'num_filters': 32}), Call(name='flip', args=(), kwargs={})]
    """
    if not text.strip():
        return []
    try:
        body = ast.parse(f"[{text}]", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{text!r} is not a call string; write e.g. name or name(size=3)") from error
    assert isinstance(body, ast.List)
    return [_call(node, text) for node in body.elts]


def parse_one(text: str) -> Call:
    """Read exactly one call string."""
    calls = parse(text)
    if len(calls) != 1:
        raise UserError(f"{text!r} holds {len(calls)} call strings; exactly one was expected")
    return calls[0]


def write(call: Call) -> str:
    """The call string of a call; ``parse_one`` reads it again.

    >>> write(parse_one("shift( 1,padding='edge')"))
    "shift(1, padding='edge')"
    """
    arguments = [*map(repr, call.args), *(f"{name}={value!r}" for name, value in call.kwargs.items())]
    return f"{call.name}({', '.join(arguments)})" if arguments else call.name


def _call(node: ast.expr, text: str) -> Call:
    if isinstance(node, ast.Name):
        return Call(node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise UserError(f"{ast.unparse(node)!r} in {text!r} is not a name or a call; write name(size=3)")
    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in kwargs:
            raise UserError(f"argument {keyword.arg or '**'!r} in {text!r}: name each argument once")
        kwargs[keyword.arg] = _literal(keyword.value, text)
    return Call(node.func.id, tuple(_literal(arg, text) for arg in node.args), kwargs)


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise UserError(
            f'{ast.unparse(node)!r} in {text!r} is not a literal; put words in quotes, e.g. norm="group"'
        ) from error
