"""Data sets of TensorFlow Datasets. Nothing is downloaded: users prepare data sets themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Image
from dlkit.data.match import match_names
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.data.tfds_features import (
    feature_class_names,
    flatten_features,
    is_stored_encoded,
    leaf_values,
    match_feature_kinds,
)
from dlkit.errors import DataError
from dlkit.hparams import nearest
from dlkit.lazy import load_tensorflow
from dlkit.options import option
from dlkit.progress import progress

_SOURCE = re.compile(r"tfds:(?P<name>[^:]+)(:(?P<version>\d+\.\d+\.\d+))?(:(?P<split>.+))?")


def read_tfds(source: str, columns: Mapping[str, Column], rename: Mapping[str, str], data_dir: str | None) -> Table:
    """Read a split of a prepared data set: `tfds:NAME[/CONFIG][:VERSION][:SPLIT]`, by default the split `train`.

    Features are found by name, else by kind where only one is of that kind: an Image, a ClassLabel, a Text.
    The readers that the columns name know where theirs lie.
    Images stay as they were encoded; class numbers become names.
    """
    match, builder = _open_builder(source, data_dir)
    split = match["split"] or "train"
    _check_split(builder, source, split)
    import tensorflow_datasets as tfds

    found = flatten_features(tfds, builder.info.features)
    candidates = match_feature_kinds(tfds, found, columns)
    readers = readers_of(columns)
    for reader in readers:
        candidates |= reader.features(tfds, builder.info, found, columns)
    matched = match_names(columns, list(found), rename, source, alternatives=candidates)
    chosen = {name: found[path] for name, path in matched.items()}
    keys = {leaf.key for leaf in chosen.values()}
    decoders = {key: tfds.decode.SkipDecoding() for key in keys if is_stored_encoded(tfds, found[key].feature)}
    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True), decoders=decoders),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    examples: list[Any] = []
    size = int(dataset.cardinality())  # negative where it is not known
    with progress(f"reading {source}", size if size > 0 else None) as update:
        for example in dataset.as_numpy_iterator():
            examples.append(example)
            update(len(examples))
    image = next((chosen[name] for name, column in columns.items() if isinstance(column, Image)), None)
    values = {}
    for name, leaf in chosen.items():
        reader_values = (
            reader.feature_values(tfds, leaf, columns[name], examples, image, source) for reader in readers
        )
        from_reader = next((found for found in reader_values if found is not None), None)
        values[name] = leaf_values(tfds, leaf, examples, source) if from_reader is None else from_reader
    classes = [feature_class_names(tfds, leaf) for name, leaf in chosen.items() if columns[name].lists_classes]
    return Table(source, values, lambda row: f"{source}, record {row + 1}", classes[0] if classes else ())


def features_of(source: str, data_dir: str | None) -> list[str]:
    """Return the names of a prepared data set's features. Raises DataError."""
    return list(_open_builder(source, data_dir)[1].info.features)


def _open_builder(source: str, data_dir: str | None) -> tuple[re.Match[str], Any]:
    """Parse the name of a source, and open the builder of its data set."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise DataError(
            f"cannot read {source!r}. Expected tfds:NAME[/CONFIG][:VERSION][:SPLIT], such as tfds:mnist:test."
        )
    load_tensorflow()
    import tensorflow_datasets as tfds

    folder = data_dir
    if data_dir and "://" not in data_dir:  # gs://... stays as it is
        folder = str(Path(data_dir).expanduser().absolute())
    return match, _builder(tfds, match["name"], match["version"], folder)


def _builder(tfds: Any, name: str, version: str | None, data_dir: str | None) -> Any:
    full = f"{name}:{version}" if version else name
    try:
        builder = tfds.builder(full, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        # The whole catalogue of more than a thousand names would drown the one that was meant.
        suggestion = nearest(name.split("/")[0], known).rpartition("Did you mean")
        hint = f" Did you mean{suggestion[2]}" if suggestion[1] else ""
        raise DataError(
            f"TensorFlow Datasets has no data set {name!r}.{hint} Searched its catalog of {len(known)} data sets and "
            f"{data_dir or tfds.core.constants.DATA_DIR}. List them with: tfds.list_builders()."
        ) from error
    except (ValueError, AssertionError, RuntimeError) as error:
        raise DataError(f"TensorFlow Datasets cannot open {full!r}: {_shorten(error)}") from error
    if not builder.info.splits:
        data_dir_argument = f", data_dir={data_dir!r}" if data_dir else ""
        raise DataError(
            f"the data set {full!r} is not prepared in {builder.data_dir}. Prepare it once, with network access: "
            'python -c "import tensorflow_datasets as tfds; '
            f'tfds.builder({full!r}{data_dir_argument}).download_and_prepare()". '
            f"If it is elsewhere, set {option('data_dir')}."
        )
    return builder


def _check_split(builder: Any, source: str, split: str) -> None:
    names = re.findall(r"[^\W\d]\w*", re.sub(r"\[.*?\]", "", split))
    for name in names:
        if name != "all" and name not in builder.info.splits:
            raise DataError(f"{source}: there is no split {name!r}. {nearest(name, builder.info.splits)}")
    try:
        builder.info.splits[split]
    except (ValueError, KeyError, AssertionError) as error:
        raise DataError(
            f"{source}: cannot read the split {split!r}: {_shorten(error)} Expected a split such as "
            "train, train[:80%] or train+test."
        ) from error


def _shorten(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text[:300]}..." if len(text) > 300 else f"{text.rstrip('.')}."
