"""A functional CNN research framework in JAX and Flax.

Rooms, in the order they may import one another:

* :mod:`jaxcnn.ops` -- pure functions on arrays;
* :mod:`jaxcnn.nn` -- Linen modules that own the parameters of those functions;
* :mod:`jaxcnn.models` -- networks made of modules, by name;
* :mod:`jaxcnn.engine` -- optimizer, step, checkpoints, loop.

Importing this package imports none of them, so ``python -m jaxcnn.train --help`` is quick.
"""

__version__ = "0.1.0"
