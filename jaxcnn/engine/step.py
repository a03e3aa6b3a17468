"""The training step: a pure function of a state and a batch."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxcnn.engine import metrics as metrics_lib
from jaxcnn.engine.metrics import Metrics

Batch = dict[str, Array]
"""``image``, floats (n, *spatial, c) as the model takes them, and ``label``."""


class TrainState(flax.struct.PyTreeNode):
    """Everything a step changes, and all a checkpoint holds.

    ``ema`` is the moving average of the variables ({"params", "batch_stats"}), or empty when off.
    """

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any

    def variables(self) -> dict[str, Any]:
        """The variables to evaluate: the averaged ones where an average is kept."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


def keys(seed: Int[Array, ""] | int, step: Int[Array, ""] | int) -> dict[str, PRNGKeyArray]:
    """The keys of one step, a pure function of ``(seed, step)``: no key is ever stored."""
    at_step = jax.random.fold_in(jax.random.key(seed), step)
    return {name: jax.random.fold_in(at_step, i) for i, name in enumerate(("init", "augment", "dropout"))}


def init_state(
    model: flax.linen.Module,
    optimizer: optax.GradientTransformation,
    seed: Int[Array, ""] | int,
    image_shape: tuple[int, ...],
    *,
    ema: bool = False,
) -> TrainState:
    """The state before the first step, a pure function of the seed.

    Args:
      image_shape: shape of one example, (*spatial, channels).
      ema: keep a moving average of the variables.

    Raises:
      ValueError: the model has other answers than logits (n, classes).
    """
    key, images = keys(seed, 0)["init"], jnp.zeros((1, *image_shape))
    logits, variables = model.init_with_output(key, images, train=False)
    if logits.ndim != 2:
        raise ValueError(f"its answers have shape {logits.shape}; training needs one of shape (n, classes)")
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        # a copy: the step donates the state, and one buffer cannot be donated twice
        ema=jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if ema else {},
    )


def make_train_step(
    model: flax.linen.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: Int[Array, ""] | int,
    label_smoothing: Float[Array, ""] | float = 0.0,
    ema_decay: Float[Array, ""] | float = 0.0,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """A pure function ``(state, batch) -> (state, metrics)``; nothing in it is jitted yet.

    Args:
      seed: with ``state.step`` it decides every random draw.
      label_smoothing: see :func:`jaxcnn.engine.metrics.cross_entropy`.
      ema_decay: rate of the moving average, warmed up as min(decay, (1 + t) / (10 + t)).

    ``seed``, ``label_smoothing`` and ``ema_decay`` may be traced, as may the optimizer's numbers. The loss is
    that of the logits and of those that ``model.auxiliary`` names and weighs, the metrics are of the logits.
    """

    auxiliary: Mapping[str, float] = getattr(model, "auxiliary", {})
    asked: dict[str, Any] = {"intermediates": tuple(auxiliary)} if auxiliary else {}

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = keys(seed, state.step)
        images, labels = batch["image"], batch["label"]

        def loss_fn(params: Any) -> tuple[Array, tuple[Array, Any]]:
            logits, updates = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key["dropout"]},
                **asked,
            )
            logits, others = logits if auxiliary else (logits, {})
            loss = metrics_lib.cross_entropy(logits, labels, label_smoothing).mean()
            for name, weight in auxiliary.items():
                loss += weight * metrics_lib.cross_entropy(others[name], labels, label_smoothing).mean()
            return loss, (logits, updates.get("batch_stats", {}))

        (_, (logits, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=_moved(state.ema, {"params": params, "batch_stats": batch_stats}, state.step, ema_decay),
        )
        return state, metrics_lib.classification(logits, labels, jnp.ones(labels.shape))

    return train_step


def _moved(ema: Any, variables: Any, step: Array, decay: Array | float) -> Any:
    if not ema:
        return ema
    rate = 1.0 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: old + rate * (new - old), ema, variables)


def make_eval_step(
    model: flax.linen.Module,
) -> Callable[[Any, Batch], tuple[Metrics, Float[Array, "n classes"]]]:
    """A pure function ``(variables, batch with mask) -> (metrics, probabilities)``."""

    def eval_step(variables: Any, batch: Batch) -> tuple[Metrics, Array]:
        logits: Any = model.apply(variables, batch["image"], train=False)
        metrics = metrics_lib.classification(logits, batch["label"], batch["mask"])
        return metrics, jax.nn.softmax(logits.astype(jnp.float32))

    return eval_step
