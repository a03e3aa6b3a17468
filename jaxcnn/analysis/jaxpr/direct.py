"""The convolution of this library in its direct form, whatever would compute it."""

from typing import Any

import jax
from jax.extend import core

from jaxcnn.ops import lowering


def direct_form(eqn: core.JaxprEqn) -> core.ClosedJaxpr | None:
    """The convolutions of XLA that a call of :mod:`jaxcnn.ops.lowering` means; None for other calls."""
    if eqn.primitive is not lowering.conv_p:
        return None
    function = lowering.reference(eqn.params["form"], eqn.params["problem"])
    avals: list[Any] = [var.aval for var in eqn.invars]
    return jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals))
