"""Narrow groups merged into wider ones."""

import jax
import jax.numpy as jnp

from jaxcnn.ops.lowering.direct import Direct
from jaxcnn.ops.lowering.lowering import Form, Lowering
from jaxcnn.ops.lowering.spec import Problem


class Merged(Lowering):
    """A grouped convolution as one of fewer groups, whose kernels are zero between the groups merged.

    Units that multiply matrices have a least width: below it, zeros cost nothing.
    """

    name = "merged"
    summary = "narrow groups: XLA's own convolution with wider ones"
    width = 64
    most = 8

    def __init__(self, inner: Direct):
        self.inner = inner

    def refuses(self, problem: Problem, form: Form) -> str | None:
        if _merged(problem) == 1:
            return f"several groups of fewer than {self.width} channels or features"
        return None

    def takes_half(self, problem: Problem, form: Form) -> bool:
        return True

    def output(self, x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
        return self.inner.output(x, _spread(kernel, problem), _wider(problem))

    def input(self, kernel: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        return self.inner.input(_spread(kernel, problem), y, _wider(problem))

    def kernel(self, x: jax.Array, y: jax.Array, problem: Problem) -> jax.Array:
        kernel = self.inner.kernel(x, y, _wider(problem))
        merged, shape = _blocks(problem)
        kernel = kernel.reshape(*problem.taps, merged, *shape)
        own = [kernel[..., i, :, :, i, :] for i in range(merged)]
        return jnp.stack(own, axis=-2).reshape(problem.kernel)


def _merged(problem: Problem) -> int:
    """How many groups become one: as few as are 64 channels and features wide, 8 at most.

    >>> from jaxcnn.ops.lowering.spec import ConvSpec
    >>> _merged(Problem((1, 9, 256), (3, 8, 512), ConvSpec((1,), ((1, 1),), (1,), groups=32)))
    8
    """
    groups, width = problem.spec.groups, min(problem.channels, problem.features)
    counts = [count for count in range(1, Merged.most + 1) if groups % count == 0]
    return next((count for count in counts if count * width >= Merged.width), counts[-1])


def _blocks(problem: Problem) -> tuple[int, tuple[int, ...]]:
    """Groups in a merged one, and the kernel's last axes: channels, merged ones, groups in it, features."""
    merged = _merged(problem)
    return merged, (problem.channels, problem.spec.groups // merged, merged, problem.features)


def _wider(problem: Problem) -> Problem:
    """The convolution of the merged groups."""
    merged = _merged(problem)
    kernel = (*problem.taps, merged * problem.channels, problem.kernel[-1])
    return problem._replace(kernel=kernel, spec=problem.spec._replace(groups=problem.spec.groups // merged))


def _spread(kernel: jax.Array, problem: Problem) -> jax.Array:
    """The kernel of the merged groups: each group's own taps, and zeros for the others' channels."""
    merged, shape = _blocks(problem)
    same = jnp.eye(merged, dtype=kernel.dtype)
    same = same.reshape(*(1,) * problem.spec.ndim, merged, 1, 1, merged, 1)
    kernel = kernel.reshape(*problem.taps, 1, *shape) * same
    return kernel.reshape(_wider(problem).kernel)
