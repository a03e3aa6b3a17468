"""Every picture by its name, which is that of the function that draws it and of its file."""

import inspect

from experiments.layer_pictures import capsules, convolution, features, kernels, pooling, statistics

PICTURES = {
    draw.__name__: draw
    for room in (convolution, kernels, pooling, statistics, features, capsules)
    for draw in room.PICTURES
}


def svg(name: str) -> str:
    """A picture as SVG, the same bytes each time; its title is what its function says of itself."""
    draw = PICTURES[name]
    return draw().svg(inspect.getdoc(draw) or name)
