"""Metrics as sums and counts, so that averages over unequal batches are exact."""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


class Mean(flax.struct.PyTreeNode):
    """A sum with the count it is over; ``a + b`` is the mean over both.

    Example:
      >>> float((Mean(total=jnp.array(3.0), count=jnp.array(2.0)) + Mean.zero()).value())
      1.5
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def zero(cls) -> "Mean":
        """The mean over nothing."""
        return cls(total=jnp.zeros(()), count=jnp.zeros(()))

    @classmethod
    def of(cls, values: Float[Array, " n"], mask: Float[Array, " n"]) -> "Mean":
        """The mean of the values whose mask is 1; masked-out values do not matter, not even NaN."""
        return cls(total=jnp.sum(jnp.where(mask > 0, values, 0.0) * mask), count=jnp.sum(mask))

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(total=self.total + other.total, count=self.count + other.count)

    def value(self) -> Float[Array, ""]:
        """The average; NaN over nothing."""
        return self.total / self.count


Metrics = Mapping[str, Mean]

NAMES = ("loss", "accuracy")


def zero() -> dict[str, Mean]:
    """The metrics of no examples."""
    return {name: Mean.zero() for name in NAMES}


def add(a: Metrics, b: Metrics) -> dict[str, Mean]:
    """The metrics over the examples of both."""
    return {name: a[name] + b[name] for name in a}


def cross_entropy(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"], smoothing: Float[Array, ""] | float = 0.0
) -> Float[Array, " n"]:
    r"""Softmax cross entropy of each example in float32, with smoothed labels.

    .. math:: \ell_i = -\sum_c q_{ic} \log p_{ic}, \qquad q_{ic} = (1 - s)\,[c = y_i] + s / C

    Args:
      logits: unnormalized log-probabilities, shape (n, classes).
      labels: class indices, shape (n,).
      smoothing: s, the mass spread evenly over all C classes; may be traced.

    Returns:
      Losses in nats, shape (n,).

    Example:
      >>> bool(jnp.allclose(cross_entropy(jnp.zeros((1, 4)), jnp.array([2])), jnp.log(4.0)))
      True

    Reference: Szegedy et al., Rethinking the Inception Architecture, 2016, section 7.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    hard = -jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    return (1.0 - smoothing) * hard - smoothing * log_p.mean(axis=1)


def classification(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"], mask: Float[Array, " n"]
) -> dict[str, Mean]:
    """Cross entropy (without smoothing) and accuracy over the examples whose mask is 1."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
    correct = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
    return {"loss": Mean.of(losses, mask), "accuracy": Mean.of(correct, mask)}
