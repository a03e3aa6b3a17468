"""The convolution of this library in its direct form, whatever would compute it."""

from functools import partial
from typing import Any

import jax
from jax.extend import core


def direct_form(eqn: core.JaxprEqn) -> core.ClosedJaxpr | None:
    """The convolutions of XLA that a call of :mod:`jaxcnn.ops.lowering` means; None for other calls."""
    if eqn.primitive.name != "conv":
        return None
    from jaxcnn.ops.lowering.direct import Direct

    problem = eqn.params["problem"]
    compute: Any = partial(getattr(Direct(), eqn.params["form"]), problem=problem)
    avals: list[Any] = [var.aval for var in eqn.invars]
    if len(avals[0].shape) > problem.spec.ndim + 2:  # lanes of independent convolutions
        compute = jax.vmap(compute)
    return jax.make_jaxpr(compute)(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals))
