"""Draw the pictures of docs/layers.md: ``python -m experiments.layer_pictures --out=docs/layers``."""

from pathlib import Path

from absl import flags

from jaxcnn import cli
from jaxcnn.errors import UserError

OUT = flags.DEFINE_string("out", "docs/layers", "folder to write the pictures to")

USAGE = """\
usage: python -m experiments.layer_pictures [--out=docs/layers]

Computes the pictures of docs/layers.md from the layers they show, on the CPU, and writes them as SVG."""


def main(words: list[str]) -> None:
    cli.reject_leftovers(words)
    from jaxcnn.analysis import figures

    figures.check_installed()
    import jax

    jax.config.update("jax_platforms", "cpu")  # the same bytes on every machine
    from experiments.layer_pictures import gallery

    folder = Path(OUT.value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in gallery.PICTURES:
            (folder / f"{name}.svg").write_text(gallery.svg(name), "utf-8")
    except OSError as error:
        raise UserError(f"--out={OUT.value}: cannot be written ({error.strerror}); name a folder") from error
    print(f"{len(gallery.PICTURES)} pictures in {folder}")


if __name__ == "__main__":
    cli.run(main, lambda: USAGE)
