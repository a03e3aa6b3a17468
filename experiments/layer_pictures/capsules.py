"""Pictures of capsules: lengths squashed, votes routed to those that agree."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.layer_pictures.canvas import FIRST, INK, MUTED, SECOND, Canvas
from jaxcnn import ops


def squash() -> Canvas:
    """Squashing keeps a vector's direction and bends its length below 1."""
    canvas = Canvas(214)
    left, base, across, up = 60, 176, 62, 130
    lengths = jnp.linspace(0, 4.2, 85)
    short = ops.squash(jnp.stack([lengths, 0 * lengths], axis=-1))[:, 0]
    canvas.lines([[(left, base), (left + 4.2 * across, base)]], MUTED, line=0.8)
    canvas.lines([[(left, base - up), (left + 4.2 * across, base - up)]], MUTED, line=0.8, dashed=True)
    curve = [(left + across * float(s), base - up * float(v)) for s, v in zip(lengths, short, strict=True)]
    canvas.lines([curve], FIRST, line=2)
    for tick in range(5):
        canvas.note(left + across * tick, base + 18, str(tick), anchor="middle")
    canvas.note(left - 10, base + 4, "0", anchor="end")
    canvas.note(left - 10, base - up + 4, "1", anchor="end")
    canvas.note(left + 4.2 * across + 8, base + 4, "|s|")
    canvas.text(left + 8, base - up - 12, "|squash(s)|")
    rng = np.random.default_rng(4)
    angles = np.linspace(0.15, 6.0, 9)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * rng.uniform(0.25, 2.1, (9, 1))
    middle, unit = (530.0, 107.0), 42.0
    around = np.linspace(0, 2 * np.pi, 73)
    circle = [(middle[0] + unit * float(np.cos(a)), middle[1] + unit * float(np.sin(a))) for a in around]
    canvas.lines([circle], MUTED, line=0.8, dashed=True)

    def end(v: np.ndarray) -> tuple[float, float]:
        return middle[0] + unit * float(v[0]), middle[1] - unit * float(v[1])

    canvas.arrows([(middle, end(v)) for v in vectors], MUTED, line=0.9)
    canvas.arrows([(middle, end(v)) for v in np.asarray(ops.squash(jnp.asarray(vectors)))], FIRST, line=1.8)
    return canvas


def routing() -> Canvas:
    """Votes for two capsules, as large as their couplings: routing turns to those that agree."""
    rng = np.random.default_rng(11)
    capsules, side, unit = 9, 124, 36
    agree = {0: list(range(5)), 1: list(range(5, capsules))}
    drawn = rng.uniform(-1.5, 1.5, (capsules, 2, 2))
    for above, centre in enumerate([(1.1, 0.7), (-0.9, 0.8)]):
        drawn[agree[above], above] = centre + 0.22 * rng.standard_normal((len(agree[above]), 2))
    votes, zeros = jnp.asarray(drawn, jnp.float32), jnp.zeros(2)
    panels = [
        ("dynamic_routing", f"{n} iteration{'s' * (n > 1)}", *ops.dynamic_routing(3 * votes, n))
        for n in (1, 2, 3)
    ]
    em = ops.em_routing(votes, jnp.ones(capsules), zeros, zeros, iterations=3)
    panels.append(("em_routing", "3 iterations", em.poses, em.couplings))
    canvas = Canvas(336)
    for index, (name, detail, found, couplings) in enumerate(panels):
        left = 44 + 169 * index
        for above in range(2):
            top = 26 + 132 * above
            middle = left + side / 2, top + side / 2

            def place(v: jax.Array, middle: tuple[float, float] = middle) -> tuple[float, float]:
                return middle[0] + unit * float(v[0]), middle[1] - unit * float(v[1])

            canvas.boxes([(left, top)], side, MUTED, opacity=0.08)
            for below in range(capsules):
                colour = FIRST if below in agree[0] else SECOND
                diameter = 3 + 11 * float(couplings[below, above])
                canvas.dots([place(votes[below, above])], diameter, colour, opacity=0.8)
            canvas.arrows([(middle, place(found[above]))], INK, line=1.6)
        canvas.text(left + side / 2, 303, name, anchor="middle")
        canvas.note(left + side / 2, 320, detail, anchor="middle")
    return canvas


PICTURES = (squash, routing)
