"""Take a trained network elsewhere: ``python -m jaxcnn.export RUN --format=stablehlo``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from jaxcnn import cli
from jaxcnn.errors import UserError, nearest

if TYPE_CHECKING:
    from jaxcnn.engine.job import TrainedRun

FORMATS = ("safetensors", "stablehlo")
LAYOUTS = ("jaxcnn", "timm", "torchvision")
USAGE = """\
usage: python -m jaxcnn.export RUN --format=safetensors|stablehlo [--layout=NAME] [--out=FILE]

Writes the best checkpoint of a run in a form that needs no jaxcnn.

  --format=safetensors  the weights by name, for --init_from or for torch
    --layout            whose names: jaxcnn, torchvision or timm [jaxcnn]
  --format=stablehlo    the program with its weights: uint8 images (n, height, width, channels) as stored
                        in the data set, any n, to float32 logits (n, classes). Elsewhere, with jax alone:
                        jax.export.deserialize(bytearray(open(FILE, "rb").read())).call(images)
  --out                 the file [RUN/model.safetensors, RUN/model.stablehlo]
"""


def define_flags() -> None:
    flags.DEFINE_string("format", "", "")
    flags.DEFINE_string("layout", "jaxcnn", "")
    flags.DEFINE_string("out", "", "")


def main(words: list[str]) -> int:
    chosen = flags.FLAGS
    if len(words) != 1:
        raise UserError(
            f"expected one run folder and got {len(words)}: python -m jaxcnn.export RUN --format=..."
        )
    for name, value, known in (("format", chosen.format, FORMATS), ("layout", chosen.layout, LAYOUTS)):
        if value not in known:
            raise UserError(f"--{name}={value}: no such {name}; {nearest(value, known)}")
    if chosen.layout != "jaxcnn" and chosen.format != "safetensors":
        raise UserError(f"--layout={chosen.layout}: only --format=safetensors has a layout; leave it out")
    if not Path(words[0]).is_dir():
        raise UserError(f"{words[0]} is no folder; name a run folder, e.g. one under runs/")
    name = f"model.{chosen.format}"
    out = cli.output("out", chosen.out or Path(words[0]) / name, name)
    if chosen.format == "safetensors" and out.suffix != ".safetensors":
        raise UserError(f"--out={out}: expected a name that ends in .safetensors")

    from safetensors import SafetensorError

    from jaxcnn import models  # after the checks: it brings JAX
    from jaxcnn.engine.job import TrainedRun

    run = TrainedRun(Path(words[0]))
    write: Callable[[], object]
    if chosen.format == "safetensors":
        write = partial(models.save_torch, run.variables, out, run.model, layout=chosen.layout)
    else:
        write = partial(out.write_bytes, program(run))
    try:
        write()
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--out={out} cannot be written ({reason}); name another file") from error
    print(out)
    return 0


def program(run: "TrainedRun") -> bytes:
    """Serialized StableHLO of a trained network, see :data:`USAGE`; its computation is that of evaluation."""
    import jax
    import jax.numpy as jnp

    from jaxcnn.ops.lowering import PLATFORMS

    def logits(images: jax.Array) -> jax.Array:
        return run.model.apply(run.variables, run.job.standardize(images), train=False)

    (n,) = jax.export.symbolic_shape("n")
    images = jax.ShapeDtypeStruct((n, *run.job.image_shape), jnp.uint8)
    exporting = jax.export.export(jax.jit(logits), platforms=PLATFORMS)
    return bytes(exporting(images).serialize())


if __name__ == "__main__":
    define_flags()
    cli.run(main, lambda: USAGE)
