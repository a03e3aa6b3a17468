"""Optimizers and learning-rate schedules by name, from optax.

Learning rate, momentum and weight decay may be traced numbers: an optimizer is cheap to build inside
a step, and its state does not depend on them, so trials that differ in them can share one program.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from jaxcnn import callstring
from jaxcnn.errors import UserError, nearest

Number = Float[Array, ""] | float


def cosine(steps: int) -> optax.Schedule:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter, SGDR, 2017)."""
    return optax.cosine_decay_schedule(1.0, steps)


def linear(steps: int) -> optax.Schedule:
    """A straight line from 1 to 0."""
    return optax.linear_schedule(1.0, 0.0, steps)


def constant(steps: int) -> optax.Schedule:
    """Always 1."""
    return optax.constant_schedule(1.0)


SCHEDULES: dict[str, Callable[[int], optax.Schedule]] = {f.__name__: f for f in (cosine, linear, constant)}


def make_schedule(name: str, steps: int, warmup: float) -> optax.Schedule:
    """A schedule with peak 1: a linear warm-up, then ``name`` over the steps that are left.

    Args:
      name: one of :data:`SCHEDULES`.
      steps: training steps in all.
      warmup: share of them spent rising from 1/(n+1) to 1 over n steps.

    Raises:
      UserError: no schedule has that name.

    Example:
      >>> schedule = make_schedule("cosine", steps=100, warmup=0.1)
      >>> [round(float(schedule(t)), 3) for t in (0, 10, 55, 100)]
      [0.091, 1.0, 0.5, 0.0]
    """
    if name not in SCHEDULES:
        raise UserError(f"--schedule={name}: no such schedule; {nearest(name, SCHEDULES)}")
    rise = min(round(warmup * steps), steps - 1)
    decay = SCHEDULES[name](steps - rise)
    if rise == 0:
        return decay
    return optax.join_schedules([optax.linear_schedule(1 / (rise + 1), 1.0, rise), decay], [rise])


def sgd(
    schedule: optax.Schedule, momentum: Number, weight_decay: Number, *, nesterov: bool = False
) -> optax.GradientTransformation:
    """SGD with momentum; the decay is added to the gradient, before momentum, as in torch.

    Reference: Sutskever et al., On the importance of initialization and momentum, 2013.
    """
    if not isinstance(nesterov, bool):
        raise ValueError(f"nesterov={nesterov!r}: expected True or False")
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decayed),
        optax.trace(momentum, nesterov),
        optax.scale_by_learning_rate(schedule),
    )


def adamw(
    schedule: optax.Schedule, momentum: Number, weight_decay: Number, *, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """AdamW: decay apart from the gradient, scaled by the learning rate; ``momentum`` is b1.

    Reference: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    """
    if not (isinstance(b2, float) and 0 <= b2 < 1):
        raise ValueError(f"b2={b2!r}: expected at least 0 and below 1")
    if not (isinstance(eps, float) and eps > 0):
        raise ValueError(f"eps={eps!r}: expected above 0, e.g. 1e-8")
    return optax.chain(
        optax.scale_by_adam(momentum, b2, eps),
        optax.add_decayed_weights(weight_decay, decayed),
        optax.scale_by_learning_rate(schedule),
    )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {f.__name__: f for f in (sgd, adamw)}


def decayed(params: Any) -> Any:
    """Which parameters decay: kernels do; biases, norm scales and other vectors do not.

    Example:
      >>> decayed({"kernel": jax.numpy.ones((3, 3)), "bias": jax.numpy.ones(3)})
      {'bias': False, 'kernel': True}
    """

    def decays(path: Any, leaf: Array) -> bool:
        name = jax.tree_util.keystr(path[-1:], simple=True)
        return leaf.ndim > 1 and name not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decays, params)


def make_optimizer(
    call: str,
    schedule: optax.Schedule,
    *,
    learning_rate: Number,
    momentum: Number = 0.9,
    weight_decay: Number = 0.0,
    clip_norm: Number | None = None,
) -> optax.GradientTransformation:
    """An optimizer from its call string, e.g. ``"sgd(nesterov=True)"``.

    Args:
      call: one of :data:`OPTIMIZERS`, with its own options.
      schedule: shape of the learning rate with peak 1, see :func:`make_schedule`.
      learning_rate: the peak; may be traced, as may momentum, weight_decay and clip_norm.
      clip_norm: largest global norm of the gradient; None leaves it alone.

    Raises:
      UserError: no such optimizer, or it takes no such option.
    """
    name, args, options = callstring.parse_one(call)
    if name not in OPTIMIZERS:
        raise UserError(f"--optimizer={call}: no such optimizer; {nearest(name, OPTIMIZERS)}")
    valid = [
        p.name for p in inspect.signature(OPTIMIZERS[name]).parameters.values() if p.kind == p.KEYWORD_ONLY
    ]
    if args:
        raise UserError(f"--optimizer={call}: name the options, e.g. {name}({valid[0]}=...)")
    for option in options:
        if option not in valid:
            raise UserError(f"--optimizer={call}: {name} has no option {option!r}; {nearest(option, valid)}")
    try:
        optimizer = OPTIMIZERS[name](lambda t: learning_rate * schedule(t), momentum, weight_decay, **options)
    except ValueError as error:
        raise UserError(f"--optimizer={call}: {error}") from error
    return optimizer if clip_norm is None else optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
