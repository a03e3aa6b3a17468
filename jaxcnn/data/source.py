"""Opens data sets: any prepared TFDS set, and the embedded ``digits`` and ``shapes``."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.data import locate
from jaxcnn.data.dataset import Dataset, Split
from jaxcnn.data.decode import make_decoder
from jaxcnn.errors import UserError

_VALIDATION = ("validation", "val", "valid", "dev")  # what sets call that split
_CARVED, _CARVED_MOST = 0.1, 10_000  # what a split that a set lacks takes from its training split


def load(name: str, *, data_dir: str = "", image_size: int = 0) -> Dataset:
    """Open a data set; never asks the network.

    ``digits`` and ``shapes`` (``shapes/64``: 64 pixels a side) are prepared at first use, verified at
    each, and rebuilt when damaged. All others were prepared by TFDS before, as array_record, which needs
    no TensorFlow to be read.

    Every set has three splits. Where one is missing, or has no labels, a tenth of the training split (at
    most 10,000 examples) takes its place, chosen by a fixed permutation; a set with a validation but no test
    split is tested on the former. What was done is in the set's ``notes``.

    Args:
      name: a TFDS name ``name[/config][:version]``, or the path of a prepared folder; without a version, the
        highest that is prepared.
      data_dir: where sets are kept; empty: the environment's ``TFDS_DATA_DIR``, else
        ``~/tensorflow_datasets``.
      image_size: resize the largest central square of each image to so many pixels a side; 0: images as
        stored.

    Raises:
      UserError: no such set, it is not prepared, or it is not one image with one label.

    Example:
      >>> import tempfile
      >>> folder = tempfile.TemporaryDirectory()
      >>> digits = load("digits", data_dir=folder.name)
      >>> {name: len(split) for name, split in digits.splits.items()}
      {'train': 1259, 'validation': 179, 'test': 359}
      >>> digits.image_shape, digits.splits["train"][0]["image"].dtype, digits.num_classes
      ((8, 8, 1), dtype('uint8'), 10)
      >>> folder.cleanup()
    """
    if image_size < 0:
        raise UserError(f"image_size={image_size}: expected pixels a side, or 0 for images as stored")
    folder = locate.find(name, data_dir)
    builder = _open(folder)
    info = builder.info
    decode, shape = make_decoder(info.features, info.supervised_keys, image_size or None, f"dataset {name}")
    stored = {
        split: Split(split, source, decode, shape) for split, source in _sources(builder, folder).items()
    }
    splits, notes = _three_splits(stored, f"dataset {name}")
    return Dataset(
        name=f"{info.name}/{info.config_name}" if info.config_name else info.name,
        version=str(info.version),
        class_names=tuple(info.features[decode.label].names),
        image_shape=shape,
        splits=splits,
        notes=tuple(notes),
    )


def _open(folder: Path) -> Any:
    """The TFDS builder of a prepared folder; its class is not needed."""
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError

    try:
        builder = tfds.builder_from_directory(folder)
    except (OSError, ValueError, KeyError, ParseError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} is damaged ({reason}); delete it and prepare the set again") from error
    formats = builder.info.available_file_formats()
    if not formats & tfds.core.FileFormat.with_random_access():
        raise UserError(
            f"{folder} was prepared as {', '.join(sorted(f.value for f in formats))}, which only TensorFlow "
            "reads; add array_record files once, here or on another machine: pip install 'jaxcnn[tf]' "
            "apache-beam && python -m tensorflow_datasets.scripts.convert_format "
            f"--dataset_version_dir={folder} --out_file_format=array_record"
        )
    return builder


def _sources(builder: Any, folder: Path) -> dict[str, Any]:
    """The encoded records of each split that has any."""
    import tensorflow_datasets as tfds

    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    sources = {}
    for name, split in builder.info.splits.items():
        if not split.num_examples:
            continue
        sources[name] = builder.as_data_source(name, deserialize_method=raw)
        missing = [path.name for path in map(Path, split.filepaths) if not path.is_file()]
        trouble = f"{missing[0]} is missing" if missing else _reading_fails(sources[name])
        if trouble:
            raise UserError(f"{folder} is damaged ({trouble}); delete it and prepare the set again")
    return sources


def _reading_fails(source: Any) -> str:
    """Why the first record cannot be read, or nothing."""
    try:
        source[0]
    except RuntimeError as error:  # array_record's, for a file that is cut short or not one of its own
        return str(error)
    return ""


def _three_splits(stored: dict[str, Split], what: str) -> tuple[dict[str, Split], list[str]]:
    """Training, validation and test splits from what a set has, and notes on how they came about."""
    notes = []
    labelled = {}
    for name, split in stored.items():
        if split[0]["label"] >= 0:
            labelled[name] = split
        elif name == "test" or name in _VALIDATION:
            notes.append(f"the {name} split has no labels and is not used")
    if "train" not in labelled:
        raise UserError(f"{what} has no training split, only {', '.join(stored) or 'nothing'}")
    splits = {"train": labelled["train"]}
    validation = next((labelled[name] for name in _VALIDATION if name in labelled), None)
    if "test" in labelled:
        splits["test"] = labelled["test"]
    elif validation is not None:
        splits["test"], validation = validation, None
        notes.append(f"its {splits['test'].name} split is the test split")
    if validation is not None:
        splits["validation"] = validation
    missing = [name for name in ("validation", "test") if name not in splits]
    if missing:
        splits |= _carve(splits["train"], missing, what)
        for name in missing:
            notes.append(
                f"the {name} split is {len(splits[name]):,} examples taken out of the training split"
            )
    return {name: splits[name] for name in ("train", "validation", "test")}, notes


def _carve(train: Split, missing: list[str], what: str) -> dict[str, Split]:
    """Take splits out of the training split: parts of a fixed permutation, each in stored order."""
    count = min(max(1, round(_CARVED * len(train))), _CARVED_MOST)
    if len(train) <= count * len(missing):
        raise UserError(
            f"{what} has {len(train)} training examples, too few to take {' and '.join(missing)} out of"
        )
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(train))
    parts, rest = {}, order
    for name in missing:
        rest, part = rest[:-count], rest[-count:]
        parts[name] = train.subset(np.sort(part), name)
    return {"train": train.subset(np.sort(rest), "train"), **parts}
