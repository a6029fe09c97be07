"""Which feature of a TFDS data set fills which column, and its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError


@dataclass(frozen=True)
class Leaf:
    """A feature, at `key` of a record, or at `key` and then `inner` where it lies in a sequence of several features."""

    key: str
    inner: str | None
    feature: Any

    def of(self, example: dict[str, Any]) -> Any:
        """Its value in a record."""
        return example[self.key] if self.inner is None else example[self.key][self.inner]


def flatten_features(tfds: Any, features: Any) -> dict[str, Leaf]:
    """All features by name; one inside a sequence goes by both: `objects/bbox`."""
    found = {key: Leaf(key, None, feature) for key, feature in features.items()}
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.FeaturesDict):
            found |= {f"{key}/{inner}": Leaf(key, inner, leaf) for inner, leaf in feature.feature.items()}
    return found


def match_feature_kinds(
    tfds: Any, found: Mapping[str, Leaf], columns: Mapping[str, Column]
) -> dict[str, Sequence[str]]:
    """Column name to the one feature of its kind. Where there are several, there is none: the user must say which."""
    also: dict[str, Sequence[str]] = {}
    for name, column in columns.items():
        kind = getattr(tfds.features, column.feature) if column.feature else None
        names = [key for key, leaf in found.items() if leaf.inner is None and kind and isinstance(leaf.feature, kind)]
        if column.one_hot:
            names = [key for key, leaf in found.items() if is_label_list(tfds, leaf.feature)]
        also[name] = names if len(names) == 1 else ()
    return also


def leaf_values(tfds: Any, leaf: Leaf, examples: list[dict[str, Any]], source: str) -> list[Any]:
    """A feature's value in each record: images as encoded, class numbers as names."""
    feature, several = leaf.feature, leaf.inner is not None
    if is_label_list(tfds, feature):
        feature, several = feature.feature, True
    if not isinstance(feature, tfds.features.ClassLabel):
        return [leaf.value_in(example) for example in examples]
    values = []
    for row, example in enumerate(examples, start=1):
        numbers = leaf.value_in(example) if several else [leaf.value_in(example)]
        names = [_name(feature, number, f"{source}, record {row}") for number in numbers]
        values.append(names if several else names[0])
    return values


def feature_class_names(tfds: Any, leaf: Leaf) -> tuple[str, ...]:
    """All names of a feature that has names: of labels, or of a mask's class ids."""
    feature = leaf.feature.feature if is_label_list(tfds, leaf.feature) else leaf.feature
    return tuple(feature.names) if getattr(feature, "num_classes", None) else ()


def is_stored_encoded(tfds: Any, feature: Any) -> bool:
    """Whether the records hold image files as they are."""
    # A float image is stored as a PNG of its bits, which only TFDS can read back.
    return isinstance(feature, tfds.features.Image) and feature.np_dtype.__name__ in ("uint8", "uint16")


def is_label_list(tfds: Any, feature: Any) -> bool:
    """Whether a feature holds any number of labels."""
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)


def _name(feature: Any, number: Any, place: str) -> str:
    if number < 0:
        raise DataError(
            f"{place}: has no label ({number}). Test splits of competitions have no labels; use another split."
        )
    return feature.int2str(int(number))
