"""One network's training step and inference, as functions without arguments: in JAX and in torch."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax


class Side(NamedTuple):
    """One library's way to do it.

    Attributes:
      run: does it once and returns when it is done.
      compile_s: seconds that compiling took; of what compiles at its first call, that call's.
      parameters: of the network.
    """

    run: Callable[[], object]
    compile_s: float
    parameters: int


def variables_of(model: linen.Module, images: np.ndarray) -> Any:
    """Variables drawn at random, in one small program whatever the network."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct(images.shape, jnp.float32))
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> Any:
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape, leaf.dtype)
        if leaf.ndim < 2:
            return jnp.zeros(leaf.shape, leaf.dtype)
        spread = (2 / np.prod(leaf.shape[:-1])) ** 0.5
        return jnp.asarray(rng.normal(0, spread, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def jax_side(model: linen.Module, kind: str, images: np.ndarray, labels: np.ndarray) -> Side:
    """A Flax module's side.

    Args:
      model: called ``model.apply(variables, x, train=…)``.
      kind: ``train``: forward, backward and SGD with momentum; ``inference``: logits.
      images: the batch, channels last.
      labels: of the images.
    """
    x, y = jnp.asarray(images), jnp.asarray(labels)
    variables = variables_of(model, images)
    params, stats = variables["params"], variables.get("batch_stats", {})
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    if kind == "inference":
        predict, seconds = _compiled(jax.jit(lambda variables, x: model.apply(variables, x)), variables, x)
        return Side(lambda: predict(variables, x).block_until_ready(), seconds, size)
    state: list[Any] = [params, stats, OPTIMIZER.init(params)]
    compiled, seconds = _compiled(jax.jit(training_step(model, x, y), donate_argnums=(0, 1, 2)), *state)

    def run() -> None:
        *state[:], loss = compiled(*state)
        loss.block_until_ready()

    return Side(run, seconds, size)


OPTIMIZER = optax.sgd(0.01, 0.9)


def training_step(model: linen.Module, x: jax.Array, y: jax.Array) -> Callable[..., Any]:
    """A function from (params, batch statistics, optimizer's state) to these after a step, and the loss."""

    def step(params: Any, stats: Any, opt_state: Any) -> tuple[Any, Any, Any, Any]:
        def loss_fn(params: Any) -> Any:
            logits, updated = model.apply(
                {"params": params, "batch_stats": stats},
                x,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1)},
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return losses.mean(), updated.get("batch_stats", {})

        (loss, new_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), new_stats, opt_state, loss

    return step


def _compiled(function: Any, *args: Any) -> tuple[Callable[..., Any], float]:
    begun = time.perf_counter()
    compiled = function.lower(*args).compile()
    return compiled, time.perf_counter() - begun


def torch_side(
    model: Any, kind: str, images: np.ndarray, labels: np.ndarray, *, half: bool, compiled: bool
) -> Side:
    """The side of a torch module, channels last.

    Args:
      model: in torch.
      kind, images, labels: as for :func:`jax_side`.
      half: compute in bfloat16 under autocast.
      compiled: by ``torch.compile``.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device, memory_format=torch.channels_last).train(kind == "train")
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device, memory_format=torch.channels_last)
    y = torch.from_numpy(labels).long().to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    call = torch.compile(model) if compiled else model

    def precision() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision():
            loss = torch.nn.functional.cross_entropy(call(x), y)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device

    def predict() -> None:
        with torch.inference_mode(), precision():
            call(x)
        if device.type == "cuda":
            torch.cuda.synchronize()

    run = train if kind == "train" else predict
    begun = time.perf_counter()
    run()
    return Side(run, time.perf_counter() - begun, sum(p.numel() for p in model.parameters()))
