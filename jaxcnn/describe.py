"""Describe networks or one layer without running them: ``python -m jaxcnn.describe --model=resnet20``."""

from typing import TYPE_CHECKING

from absl import flags

from jaxcnn import cli
from jaxcnn.errors import UserError

if TYPE_CHECKING:
    import numpy as np

USAGE = """\
usage: python -m jaxcnn.describe --models='res*'
       python -m jaxcnn.describe --model=NAME --input=32,32,3
       python -m jaxcnn.describe --compare=NAME,NAME --input=32,32,3
       python -m jaxcnn.describe --op=conv --input=8,56,56,128 --kernel=3

Prints shapes, parameters, multiply-accumulates, memory and receptive fields, from shapes alone.

Networks:
  --models         a shell pattern: lists the networks of such names, with their parameters
  --model          call string, e.g. 'resnet20(num_filters=32)'
  --compare        two call strings
  --input          sizes of one example, spatial axes then channels [as the network's authors had them]
  --num_classes    classes of the network; 0: its default [0]
  --html           also write a page: fields over an example, effective fields, equivariance

One layer:
  --op             conv, conv_transpose, max_pool or avg_pool
  --input          sizes of the batch: examples, spatial axes, channels
  --kernel         taps, one number or one for each spatial axis [3]
  --features       channels of the output; 0: as many as the input has [0]
  --strides        pixels between outputs, one number or one for each spatial axis [1; pooling: the kernel]
  --padding        SAME, VALID, CAUSAL, FULL, CIRCULAR, REFLECT, REPLICATE, or pixels [SAME; pooling: 0]
  --dilation       pixels between taps [1]
  --groups         independent parts of the channels [1]
  --lowering       of a conv: auto, direct, dot, shift, tiles, winograd, fft, onednn or merged [auto]
  --platform       where: cpu, cuda, rocm or tpu [what is here]
"""


def define_flags() -> None:
    for name in (
        "models",
        "model",
        "compare",
        "html",
        "input",
        "op",
        "kernel",
        "strides",
        "padding",
        "dilation",
        "lowering",
        "platform",
    ):
        flags.DEFINE_string(name, "", "")
    for name, default in (("num_classes", 0), ("features", 0), ("groups", 1)):
        flags.DEFINE_integer(name, default, "", lower_bound=default, upper_bound=2**31 - 1)


def main(words: list[str]) -> int:
    cli.reject_leftovers(words)
    chosen = flags.FLAGS
    if sum(map(bool, (chosen.models, chosen.model, chosen.compare, chosen.op))) != 1:
        raise UserError(
            "write one of --models=PATTERN, --model=NAME, --compare=NAME,NAME and --op=conv; see --help"
        )

    _reject_spare()

    from jaxcnn.analysis import describing  # after the flags: it brings JAX

    if chosen.html and not chosen.model:
        raise UserError("--html writes the page of one network: name it with --model")
    page = chosen.html and cli.output("html", chosen.html, "page.html")
    if chosen.models:
        for line in describing.listed(chosen.models, chosen.num_classes):
            print(line, flush=True)
        return 0
    if chosen.op:
        sizes = describing.whole_numbers("input", chosen.input)
        print(describing.operation(chosen.op, sizes, chosen.flag_values_dict()))
        return 0
    given = describing.whole_numbers("input", chosen.input) if chosen.input else None
    if chosen.compare:
        print(describing.networks(chosen.compare, given, chosen.num_classes))
        return 0
    sizes = given or describing.usual_input(chosen.model)
    print(describing.network(chosen.model, sizes, chosen.num_classes))
    if page:
        describing.write_page(page, chosen.model, _example(sizes), chosen.num_classes)
        print(f"\nwrote {page}")
    return 0


LAYER = ("kernel", "features", "strides", "padding", "dilation", "groups", "lowering", "platform")
"""Flags of ``--op`` alone."""


def _reject_spare() -> None:
    """Raise when a flag is given that says nothing of what is described."""
    chosen = flags.FLAGS
    spare = ("num_classes",) if chosen.op else ("input", *LAYER) if chosen.models else LAYER
    kind = "op" if chosen.op else "models" if chosen.models else "model" if chosen.model else "compare"
    for name in spare:
        if chosen[name].present:
            raise UserError(f"--{name} says nothing of --{kind}; leave it out, see --help")


def _example(sizes: tuple[int, ...]) -> "np.ndarray":
    """A picture of these sizes: a shape, its colours averaged or repeated to the channels asked for."""
    import numpy as np

    from jaxcnn.data import shapes
    from jaxcnn.engine import backend

    backend.use_compilation_cache()
    if len(sizes) != 3:
        raise UserError(
            f"--html draws images: expected --input=HEIGHT,WIDTH,CHANNELS, not {len(sizes)} sizes"
        )
    image = shapes.example("train", 5, (sizes[0], sizes[1]))["image"]
    return image if sizes[2] == 3 else np.repeat(image.mean(-1, keepdims=True), sizes[2], -1).astype(np.uint8)


if __name__ == "__main__":
    define_flags()
    cli.run(main, lambda: USAGE)
