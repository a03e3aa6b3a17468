"""From what a person writes after ``--dataset=`` to the folder of a prepared set, without a network."""

import dataclasses
import difflib
import json
import os
import re
from pathlib import Path

from jaxcnn.data import embedded, shapes
from jaxcnn.errors import UserError, nearest
from jaxcnn.paths import is_prepared_set

_NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[\w.\-]+))?(:(?P<version>(\d+|\*)(\.(\d+|\*)){2}))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclasses.dataclass(frozen=True)
class Name:
    """A set's TFDS name: ``name[/config][:version]``, with ``*`` for any number in the version."""

    name: str
    config: str = ""
    version: str = ""

    def __str__(self) -> str:
        config, version = self.config and f"/{self.config}", self.version and f":{self.version}"
        return f"{self.name}{config}{version}"

    def accepts(self, version: str) -> bool:
        """Whether ``version`` is what the name asks for."""
        wanted = self.version.split(".") if self.version else ["*"] * 3
        return all(want in ("*", part) for want, part in zip(wanted, version.split("."), strict=True))


def find(text: str, data_dir: str) -> Path:
    """The folder of a prepared set; the embedded sets are prepared when they are not.

    Args:
      text: a TFDS name, or the path of a prepared folder.
      data_dir: where sets are kept; empty: TFDS's own folder.

    Raises:
      UserError: there is no such set, or it is not prepared.
    """
    if is_prepared_set(text):
        return _folder(Path(text).expanduser())
    if not (found := _NAME.fullmatch(text)):
        raise UserError(
            f"dataset {text!r} is no name; write name[/config][:version], e.g. mnist:3.0.1, or a path"
        )
    name = Name(**{key: value or "" for key, value in found.groupdict().items()})
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if root.exists() and not root.is_dir():
        raise UserError(f"data_dir {root} is a file; expected a folder")
    return _embedded(name, root) if name.name in embedded.NAMES else _prepared(name, root)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(
            f"dataset {path} {'is a file' if path.exists() else 'does not exist'}; expected a folder"
        )
    if (path / "dataset_info.json").is_file():
        return path
    if versions := _versions(path):
        raise UserError(f"dataset {path} holds versions of a set; name one, e.g. {path / versions[-1]}")
    raise UserError(f"dataset {path} is no prepared TFDS folder: it has no dataset_info.json")


def _embedded(name: Name, root: Path) -> Path:
    config = name.config
    if name.name == "shapes":
        size = shapes.parse_size(config or embedded.DEFAULT_SIZE)
        if size is None:
            raise UserError(
                f"dataset {name}: expected pixels a side, {shapes.SMALLEST} to {shapes.LARGEST}, "
                "e.g. shapes/64, or shapes/64x96"
            )
        config = str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
    elif config:
        raise UserError(f"dataset {name}: {name.name} has no configurations; write {name.name}")
    if not name.accepts(embedded.VERSION):
        raise UserError(f"dataset {name} does not exist; the version is {embedded.VERSION}")
    folder = root / name.name / config / embedded.VERSION
    embedded.ensure(name.name, config, folder)
    return folder


def _prepared(name: Name, root: Path) -> Path:
    base = root / name.name / name.config
    metadata = base / ".config" / "metadata.json"  # where TFDS remembers a set's default configuration
    if not name.config and not _versions(base) and metadata.is_file():
        base = base / (json.loads(metadata.read_text()).get("default_config_name") or "")
    if versions := [version for version in _versions(base) if name.accepts(version)]:
        return base / versions[-1]
    raise UserError(_how_to_prepare(name, root))


def _versions(folder: Path) -> list[str]:
    """The versions prepared in a folder, lowest first."""
    if not folder.is_dir():
        return []
    found = [
        path.parent.name
        for path in folder.glob("*/dataset_info.json")
        if _VERSION.fullmatch(path.parent.name)
    ]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))


def _how_to_prepare(name: Name, root: Path) -> str:
    """Why a set that is not on disk cannot be had at once, and how to get it."""
    import tensorflow_datasets as tfds

    known = [*tfds.list_builders(with_community_datasets=False), *embedded.NAMES]
    if name.name not in known:
        close = difflib.get_close_matches(name.name.lower(), known)
        hint = nearest(name.name.lower(), close or embedded.NAMES)
        return f"dataset {name.name!r} is unknown; {hint}" + (
            "" if close else ", and all of TFDS's catalogue"
        )
    try:
        builder = tfds.builder_cls(name.name)
    except ImportError as error:
        return f"dataset {name} is not prepared in {root}, and TFDS needs {error.name} to make it"
    configs = {config.name: config.version or builder.VERSION for config in builder.BUILDER_CONFIGS}
    if name.config and name.config not in configs:
        hint = nearest(name.config, configs) if configs else "it has none"
        return f"dataset {name}: {name.name} has no configuration {name.config!r}; {hint}"
    newest = configs.get(name.config) or builder.VERSION or next(iter(configs.values()))
    versions = [str(version) for version in (newest, *builder.SUPPORTED_VERSIONS)]
    there = [
        f"{name.name}{'' if base == root / name.name else '/' + base.name}:{version}"
        for base in (root / name.name, *(root / name.name / config for config in configs))
        for version in _versions(base)
    ]
    prepared = f"; prepared there: {', '.join(there)}" if there else ""
    if not any(map(name.accepts, versions)):
        return f"dataset {name} does not exist; TFDS knows {', '.join(versions)}{prepared}"
    by_hand = ""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        by_hand = f", with the files that it asks you to download in {root / 'downloads' / 'manual'}"
    return (
        f"dataset {name} is not prepared in {root}{prepared}. Preparing needs TensorFlow once, here or on "
        f"another machine (then copy the folder){by_hand}: pip install 'jaxcnn[tf]' && python -c "
        f'"import tensorflow_datasets as tfds; tfds.builder({str(name)!r}, data_dir={str(root)!r}).'
        "download_and_prepare(file_format='array_record')\""
    )
