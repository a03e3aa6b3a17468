"""What every command shares: flags in, one line and exit code 2 for a person's mistake."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging

from jaxcnn.errors import UserError

OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")  # how XLA says so
HELP = {"-h", "-?", "-help", "--help", "--helpshort", "--helpfull"}
INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended


def run(
    main: Callable[[list[str]], int | None],
    usage: Callable[[], str],
    elsewhere: Callable[[str], str] = lambda flag: "",
) -> None:
    """Parse the flags and call ``main`` with the words left over; never returns.

    ``--help`` prints ``usage()``. Misspelt flags, missing flagfiles and every :class:`UserError`
    print one line and exit with 2; ``elsewhere`` says of an unknown flag where it is known, if it is.
    """
    if not HELP.isdisjoint(sys.argv[1:]):
        print(usage())
        sys.exit(0)
    app.run(lambda words: _guarded(main, words), flags_parser=partial(_parse_flags, elsewhere))


def reject_leftovers(words: list[str]) -> None:
    """Raise when words that are no flags were left on the command line or in a flagfile."""
    if words:
        raise UserError(f"unexpected {words[0]!r}: every choice is a flag, --name=value; see --help")


def output(flag: str, path: str | Path, name: str) -> Path:
    """The file that ``--flag=path`` names, which can be written later; ``name`` is what one may be called.

    Raises:
      UserError: it is a folder, or in none.
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise UserError(f"--{flag}={path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UserError(f"--{flag}={path} is a folder; name a file, e.g. {path / name}")
    return path


def command(module: str, *words: str | Path) -> str:
    """What to type, here and with this Python, to run ``python -m module words``."""
    python = Path(sys.executable)
    if shutil.which("python") == str(python):
        python = Path("python")
    elif python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return shlex.join([str(python), "-m", module, *map(str, words)])


def train_command(folder: Path, workdir: str | Path) -> str:
    """What to type to run a run folder's job in another folder, or to go on with it in its own."""
    return command("jaxcnn.train", f"--flagfile={folder / 'config.flags'}", f"--workdir={workdir}")


def curves_command(logs: Path) -> str:
    """What to type to see curves in TensorBoard, which no extra brings: where it is not, get it first."""
    show = command("tensorboard.main", f"--logdir={logs}")
    return show if find_spec("tensorboard") else f"{command('pip', 'install', 'tensorboard')} && {show}"


def _parse_flags(elsewhere: Callable[[str], str], argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        said = " ".join(str(error).split()).removeprefix("ERROR:: ").replace(" ?", "?").rstrip(".")
        known = elsewhere(error.flagname) if isinstance(error, flags.UnrecognizedFlagError) else ""
        fail("; ".join(filter(None, [f"{said[0].lower()}{said[1:]}", known, "see --help"])))
    except UnicodeDecodeError:
        named = " ".join(re.findall(r"--?flagfile[= ]\S+", " ".join(argv)))
        fail(f"{named}: this file is no text; name one with lines --name=value")


def _guarded(main: Callable[[list[str]], int | None], argv: list[str]) -> None:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(
            logging.ERROR
        )  # the libraries' notes to themselves; what concerns people we say
    code = None
    try:
        code = main(argv[1:])
        sys.stdout.flush()
    except UserError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), "it would not be given")
        if isinstance(error, RuntimeError) and not any(words in said for words in OUT_OF_MEMORY):
            raise
        fail(f"not enough memory ({said}): smaller batches, images or networks need less", 1)
    except BrokenPipeError:  # who reads has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code or 0)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print one line and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
