"""tf.data.Datasets of (features, target), or of features alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.labels import to_label_names
from dlkit.data.memory import assign_columns
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import tf
from dlkit.progress import progress

_SHOWN = "the tf.data.Dataset"


def read_tf_dataset(dataset: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Reads a finite data set to its end, in its order, into memory.

    Features and target are a tensor or a dict of tensors. Whether an element is one row or a batch of them is
    told by the rank of its tensors, which must agree: a label or a text has rank 0, labels of boxes 1, boxes and
    masks 2, an image of pixels 2, or 3 with 1, 3 or 4 (or unknown) channels last. A data set that never ends is
    refused where tf.data knows that it does not; of one of unknown size `how.max_rows` rows are taken, and a remark
    says so where there are more.
    """
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{_SHOWN} never ends. Remove .repeat(), or limit it with .take(rows): an epoch is one pass.")
    spec = dataset.element_spec
    if isinstance(spec, tuple) and len(spec) != 2:
        raise DataError(
            f"{_SHOWN} must give (features, target) or features alone. Received: a tuple of {len(spec)} "
            "(sample weights are not read)."
        )
    x, y = spec if isinstance(spec, tuple) else (spec, None)
    places = assign_columns(x, y, columns, how.rename, _SHOWN)
    specs = {name: _part((x, y), place) for name, place in places.items()}
    batched = _batched(specs, columns)
    values: dict[str, Any] = {name: [] for name in places}
    unknown = dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    first = next(iter(places))
    remarks: list[str] = []
    with progress(f"reading {_SHOWN}") as told:
        for element in dataset.as_numpy_iterator():
            parts = element if isinstance(spec, tuple) else (element, None)
            for name, place in places.items():
                value = _part(parts, place)
                values[name].extend(value if batched else [value])
            told(len(values[first]))
            if unknown and len(values[first]) > how.max_rows:
                long = f"{_SHOWN} has an unknown size and more than {how.max_rows} rows"
                cure = "Set `max_rows`, or limit it with .take(rows)"
                if how.strict:
                    raise DataError(f"{long}. {cure}.")
                values = {name: column[: how.max_rows] for name, column in values.items()}
                remarks = [f"{long}: the remaining rows were not read. {cure}"]
                break
    rows = {name: _multi_hot(values[name], specs[name], columns, name) for name in places}
    return Table(_SHOWN, rows, lambda row: f"{_SHOWN}, index {row}", remarks=remarks)


def _part(parts: tuple[Any, Any], place: tuple[int, str | None]) -> Any:
    part, key = place
    return parts[part] if key is None else parts[part][key]


def _batched(specs: dict[str, Any], columns: Mapping[str, Column]) -> bool:
    answers = {}
    for name, spec in specs.items():
        if isinstance(spec, Mapping) or not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            raise DataError(f"{_SHOWN}: {name!r} must be a dense tensor of known rank. Received: {spec}.")
        answers[name] = columns[name].is_batch(spec.shape.as_list(), spec.dtype.name)
    if len(set(answers.values())) > 1:
        listed = ", ".join(f"{name}: {tuple(spec.shape)} {spec.dtype.name}" for name, spec in specs.items())
        raise DataError(
            f"{_SHOWN}: cannot tell whether an element is one row or a batch. Received: {listed}. A label "
            "is a scalar and an image (height, width, channels), with one more dimension in front if batched."
        )
    return answers[next(iter(answers))]


def _multi_hot(values: list[Any], spec: Any, columns: Mapping[str, Column], name: str) -> Any:
    """Rows of zeros and ones as labels. A free length means lists of labels instead."""
    if values and columns[name].one_hot and spec.shape[-1] is not None and spec.dtype != tf.string:
        return to_label_names(np.stack(values), name, columns, _SHOWN)
    return values
