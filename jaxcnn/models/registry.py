"""Networks by name: ``create("resnet20(num_filters=32)", num_classes=10)``."""

import fnmatch
import inspect
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxcnn import callstring
from jaxcnn.errors import UserError, nearest
from jaxcnn.models import arguments

Builder = Callable[..., nn.Module]

_BUILDERS: dict[str, Builder] = {}


def register(builder: Any = None, *, name: str | None = None) -> Any:
    """Make a module class, or a function that returns a module, known by name.

    Args:
      builder: what :func:`create` calls with the arguments a person wrote. Its signature is the list of
        valid arguments, so it spells them out (no ``**kwargs``); what a ``functools.partial`` holds are
        defaults like others.
      name: what people type; the default is the builder's own name in lower case.

    Returns:
      ``builder``, unchanged; or a decorator when called without one.

    Raises:
      ValueError: the name is taken, or is not an identifier.

    Example:
      >>> import functools, flax.linen as nn
      >>> @register(name="doctest_dense")
      ... class Dense(nn.Dense):
      ...     pass
      >>> create("doctest_dense(features=3)").features
      3
      >>> del _BUILDERS["doctest_dense"]
    """
    if builder is None:
        return lambda builder: register(builder, name=name)
    name = builder.__name__.lower() if name is None else name
    if not name.isidentifier():
        raise ValueError(f"name {name!r} is not an identifier, so no call string could spell it")
    if name in _BUILDERS:
        raise ValueError(f"name {name!r} is taken by {_BUILDERS[name]!r}; choose another")
    _BUILDERS[name] = builder
    return builder


def names(pattern: str = "*") -> list[str]:
    """The registered names that match a shell pattern, with numbers in numerical order.

    >>> names("resnet*0")
    ['resnet20', 'resnet50', 'resnet110']
    """
    return sorted(fnmatch.filter(_BUILDERS, pattern.lower()), key=_natural)


def likely(name: str) -> str:
    """The names that are nearest to a wrong one, or where they stand.

    >>> likely("resnet2O")
    'did you mean resnet20 or resnet32 or resnet?'
    >>> likely("VGG16")
    'did you mean vgg16 or vgg16_bn or vgg11?'
    """
    close = nearest(name.lower(), _BUILDERS)
    return close if close.startswith("did") else "python -m jaxcnn.describe --models='*' lists all names"


def arguments_of(name: str) -> dict[str, Any]:
    """The arguments that a model takes, with their defaults (``inspect.Parameter.empty``: required).

    >>> arguments_of("mlp")["hidden"]
    (256, 256)
    """
    if name not in _BUILDERS:
        raise UserError(f"model {name!r} is unknown; {likely(name)}")
    parameters = inspect.signature(_BUILDERS[name]).parameters
    linens = ("parent", "name")  # what every module has
    return {key: p.default for key, p in parameters.items() if key not in linens}


def create(text: str, *, num_classes: int | None = None, dtype: Any = None, **kwargs: Any) -> nn.Module:
    """Build the network that a call string names.

    Args:
      text: a registered name, or a call of it with literal arguments by name.
      num_classes: how many classes the logits tell apart; None: as ``text`` says, else the model's default.
      dtype: the compute type (parameters stay float32); None: as ``text`` says, else float32.
      **kwargs: further arguments of the model.

    Returns:
      A module, called ``module.apply(variables, x, train=False)``, that returns float32 logits.

    Raises:
      UserError: unknown model or argument, a value out of range, or an argument given twice.

    Example:
      >>> create("mlp(hidden=[32])", num_classes=3).num_classes
      3
    """
    if "-" in text and text.replace("-", "_").isidentifier():
        raise UserError(f"model {text!r} is unknown; {likely(text.replace('-', '_'))}")
    call = callstring.parse_one(text)
    known = arguments_of(call.name)
    if call.args:
        example = f"{call.name}({next(iter(known))}={call.args[0]!r})"
        raise UserError(f"model {text!r}: write arguments by name, e.g. {example}")
    given = {"num_classes": num_classes, "dtype": dtype}
    theirs = _canonical({key: value for key, value in given.items() if value is not None} | kwargs)
    ours = _canonical(call.kwargs)
    for key in theirs.keys() & ours.keys():
        if theirs[key] != ours[key]:
            raise UserError(
                f"model {text!r}: {key} is given twice, {ours[key]!r} here and {theirs[key]!r} by the "
                f"caller; leave it out of the call string"
            )
    kwargs = ours | theirs
    for key in kwargs:
        if key not in known:
            raise UserError(f"model {call.name!r} has no argument {key!r}; {nearest(key, known)}")
    missing = [key for key, default in known.items() if default is inspect.Parameter.empty]
    if missing := [key for key in missing if key not in kwargs]:
        raise UserError(
            f"model {call.name!r} needs {', '.join(missing)}; write {call.name}({missing[0]}=...)"
        )
    try:
        return _BUILDERS[call.name](**kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"model {text!r}: {error}") from error


def split(text: str) -> tuple[str, dict[str, float]]:
    """Part a call string from the probabilities in it, which may be traced numbers where it is called.

    ``create(text)`` is ``create(rest, **rates)``.

    >>> split("resnet20(num_filters=8, drop_path=0.1)")
    ('resnet20(num_filters=8)', {'drop_path': 0.1})
    """
    call = callstring.parse_one(text)
    known = arguments_of(call.name)
    traced = [name for name, refuse in arguments.COMMON.items() if refuse is arguments.rate and name in known]
    rates = {name: float(call.kwargs[name]) for name in traced if call.kwargs.get(name) is not None}
    rest = {name: value for name, value in call.kwargs.items() if name not in rates}
    return callstring.write(call._replace(kwargs=rest)), rates


def _canonical(arguments: dict[str, Any]) -> dict[str, Any]:
    """The dtype by its value, lists as tuples: so that equal arguments compare equal and modules hash."""
    return {key: _float_type(value) if key == "dtype" else _tuples(value) for key, value in arguments.items()}


def _float_type(dtype: Any) -> jnp.dtype | None:
    if dtype is None:
        return None
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise UserError(f"dtype {dtype!r} is no floating type; use float32, bfloat16 or float16")
    return found


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _natural(name: str) -> list[tuple[str, int]]:
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", name)]
