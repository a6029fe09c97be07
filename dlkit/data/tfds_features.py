"""Features of a TFDS data set: which of them fills which column, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError


@dataclass(frozen=True)
class Leaf:
    """A feature, at `key` of a record, or at `key` and `inner` if it is in a sequence of several features."""

    key: str
    inner: str | None
    feature: Any

    def value_in(self, example: dict[str, Any]) -> Any:
        """Return the value of the feature in a record."""
        return example[self.key] if self.inner is None else example[self.key][self.inner]


def flatten_features(tfds: Any, features: Any) -> dict[str, Leaf]:
    """Return all features by name; those inside a sequence as `objects/bbox`."""
    found = {key: Leaf(key, None, feature) for key, feature in features.items()}
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.FeaturesDict):
            found |= {f"{key}/{inner}": Leaf(key, inner, leaf) for inner, leaf in feature.feature.items()}
    return found


def match_feature_kinds(
    tfds: Any, found: Mapping[str, Leaf], columns: Mapping[str, Column]
) -> dict[str, Sequence[str]]:
    """Return the feature of the right kind for each column, if there is exactly one."""
    candidates: dict[str, Sequence[str]] = {}
    for name, column in columns.items():
        kind = getattr(tfds.features, column.feature) if column.feature else None
        names = [key for key, leaf in found.items() if leaf.inner is None and kind and isinstance(leaf.feature, kind)]
        if column.one_hot:
            names = [key for key, leaf in found.items() if is_label_list(tfds, leaf.feature)]
        candidates[name] = names if len(names) == 1 else ()
    return candidates


def leaf_values(tfds: Any, leaf: Leaf, examples: list[dict[str, Any]], source: str) -> list[Any]:
    """Return a feature's value in each record: images as encoded, class indices as names."""
    feature, is_list = leaf.feature, leaf.inner is not None
    if is_label_list(tfds, feature):
        feature, is_list = feature.feature, True
    if not isinstance(feature, tfds.features.ClassLabel):
        return [leaf.value_in(example) for example in examples]
    values = []
    for row, example in enumerate(examples, start=1):
        numbers = leaf.value_in(example) if is_list else [leaf.value_in(example)]
        names = [_class_name(feature, number, f"{source}, record {row}") for number in numbers]
        values.append(names if is_list else names[0])
    return values


def feature_class_names(tfds: Any, leaf: Leaf) -> tuple[str, ...]:
    """Return all class names of a feature: of labels, or of the class ids of a mask."""
    feature = leaf.feature.feature if is_label_list(tfds, leaf.feature) else leaf.feature
    return tuple(feature.names) if getattr(feature, "num_classes", None) else ()


def is_stored_encoded(tfds: Any, feature: Any) -> bool:
    """Return whether the records hold encoded image files."""
    # A float image is stored as a PNG of its bits, which only TFDS can read back.
    return isinstance(feature, tfds.features.Image) and feature.np_dtype.__name__ in ("uint8", "uint16")


def is_label_list(tfds: Any, feature: Any) -> bool:
    """Return whether a feature holds any number of labels."""
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)


def _class_name(feature: Any, number: Any, location: str) -> str:
    if number < 0:
        raise DataError(
            f"{location} has no label ({number}). Test splits of competitions have no labels; use another split."
        )
    return feature.int2str(int(number))
