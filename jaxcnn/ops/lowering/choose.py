"""Which lowering computes a form of a convolution."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcnn.errors import nearest
from jaxcnn.ops.lowering import onednn
from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.rules import NATIVE, PORTABLE, Rule
from jaxcnn.ops.lowering.rules_gpu import GPU
from jaxcnn.ops.lowering.spec import Problem


class Choice(NamedTuple):
    """A lowering and why it was chosen."""

    way: Lowering
    reason: str


PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""Where a program may run."""

MEASURED = ("cpu", "cuda")
"""Platforms for which there are rules."""

NAMES = ("auto", *PORTABLE.ways)
"""What the argument ``lowering`` may be."""


def choose(
    problem: Problem,
    form: Form,
    dtype: DTypeLike,
    platform: str,
    lowering: str = "auto",
    *,
    portable: bool = False,
    lanes: bool = False,
) -> Choice:
    """Choose how to compute one form of a convolution.

    Args:
      problem: the convolution.
      form: what is computed: the output or the gradient by input or kernel.
      dtype: of the arrays.
      platform: one of :data:`PLATFORMS`; anything else has XLA's convolution.
      lowering: a name, which holds for each form that it can compute, or ``"auto"``.
      portable: whether the program will run elsewhere than it is compiled.
      lanes: whether several such convolutions are computed, each of tensors of its own.

    Returns:
      The lowering and the reason in words.
    """
    dtype = jnp.dtype(dtype)
    barred = "a CPU" if platform != "cpu" else "a program that stays here" if portable else onednn.missing()
    if platform == "cpu":
        ways, rules = PORTABLE if barred or dtype not in onednn.DTYPES else NATIVE
    else:
        ways, rules = GPU
    direct = ways["direct"]

    def refused(way: Lowering) -> str | None:
        return way.refuses(problem, form) or way.refuses_dtype(dtype)

    if lowering != "auto":
        way = ways[lowering]
        if way.name == "direct":
            return Choice(direct, "asked for")
        if problem.input[0] == 0:
            return Choice(direct, "there are no images")
        needs = refused(way)
        if way.name == "onednn":
            needs = needs or barred
        if needs is None:
            return Choice(way, "asked for")
        return Choice(direct, f"{lowering} was asked for, but for the {form} it needs {needs}")
    if platform not in MEASURED:
        return Choice(direct, f"{platform} is not measured")
    if not jnp.issubdtype(dtype, jnp.floating):
        return Choice(direct, f"{jnp.dtype(dtype)} is not measured")
    if not all(isinstance(size, int) and size for size in (*problem.input, *problem.kernel)):
        return Choice(direct, "the shape is empty or not known")
    for rule in rules:
        if _holds(rule, dtype, lanes) and rule.applies(problem, form) and not refused(ways[rule.way]):
            return Choice(ways[rule.way], rule.reason)
    return Choice(direct, "no other was measured to be faster, or there is too little to do to compile one")


def _holds(rule: Rule, dtype: jnp.dtype, lanes: bool) -> bool:
    """Whether a rule is for such numbers, and for lanes or not."""
    return rule.bits in (None, 8 * dtype.itemsize) and rule.lanes in (None, lanes)


def check(problem: Problem, lowering: str, form: Form = "output") -> None:
    """Refuse a name that is not known or cannot compute a form.

    Raises:
      ValueError: either of them.
    """
    if lowering not in NAMES:
        raise ValueError(f"lowering={lowering!r} is not known; {nearest(str(lowering), NAMES)}")
    if lowering == "auto" or problem.input[0] == 0:
        return
    needs = PORTABLE.ways[lowering].refuses(problem, form)
    if needs is not None:
        raise ValueError(
            f"lowering={lowering!r} cannot compute x of shape {problem.input} by a kernel of shape "
            f"{problem.kernel} with {_numbers(problem)}: it needs {needs}; use lowering='auto'"
        )


def _numbers(problem: Problem) -> str:
    return ", ".join(f"{name}={value}" for name, value in problem.spec._asdict().items())
