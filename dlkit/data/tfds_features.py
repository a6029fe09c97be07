"""Which feature of a TFDS data set fills which column, and its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Boxes, Column, Image, Label, Labels, Mask, Text
from dlkit.data.boxes import RelativeBoxes
from dlkit.data.match import wants
from dlkit.errors import DataError

_MASKS = ("mask", "segmentation_mask", "segmentation_label", "segmentation", "label")


@dataclass(frozen=True)
class Leaf:
    """A feature, at `key` of a record, or at `key` and then `inner` where it lies in a sequence of several features."""

    key: str
    inner: str | None
    feature: Any

    def of(self, example: dict[str, Any]) -> Any:
        """Its value in a record."""
        return example[self.key] if self.inner is None else example[self.key][self.inner]


def leaves(tfds: Any, features: Any) -> dict[str, Leaf]:
    """All features by name; one inside a sequence goes by both: `objects/bbox`."""
    found = {key: Leaf(key, None, feature) for key, feature in features.items()}
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.FeaturesDict):
            found |= {f"{key}/{inner}": Leaf(key, inner, leaf) for inner, leaf in feature.feature.items()}
    return found


def by_feature_kind(tfds: Any, found: dict[str, Leaf], columns: dict[str, Column]) -> dict[str, Sequence[str]]:
    """Column name to the one feature of its kind. Where there are several, there is none: the user must say which."""
    boxes = [name for name, leaf in found.items() if _is_boxes(tfds, leaf)]
    images = [name for name, leaf in found.items() if isinstance(leaf.feature, tfds.features.Image)]
    masks = [name for name in _MASKS if name in images] or [
        name for name in images if hasattr(found[name].feature, "names")
    ]
    masks = masks[:1] if wants(columns, Mask) else []
    also: dict[str, Sequence[str]] = {}
    for name, column in columns.items():
        kind = {Label: tfds.features.ClassLabel, Text: tfds.features.Text}.get(type(column))
        names = [key for key, leaf in found.items() if leaf.inner is None and kind and isinstance(leaf.feature, kind)]
        if isinstance(column, Boxes):
            names = boxes
        elif isinstance(column, Mask):
            names = masks
        elif isinstance(column, Image):
            names = [key for key in images if key not in masks]
        elif isinstance(column, Labels):
            names = _several_labels(tfds, found, boxes if wants(columns, Boxes) else [])
        also[name] = names if len(names) == 1 else ()
    return also


def by_language(info: Any, columns: dict[str, Column]) -> dict[str, Sequence[str]]:
    """Columns of texts to the languages of a translation: from the first of its direction to the second."""
    texts = [name for name, column in columns.items() if isinstance(column, Text)]
    direction = info.supervised_keys or sorted(info.features)
    return {name: [language] for name, language in zip(texts, direction, strict=False)}


def values_of(
    tfds: Any, leaf: Leaf, column: Column, examples: list[dict[str, Any]], image: Leaf | None, source: str
) -> list[Any]:
    """A column's value in each record: images as encoded, class numbers as names, boxes in pixels of their image."""
    if isinstance(column, Boxes):
        if image is None:
            raise DataError(f"{source}: boxes in shares of an image need the image. Ask for it too.")
        if not _is_boxes(tfds, leaf):
            raise DataError(f"{source}: expected boxes in shares of the image (BBoxFeature). Received: {leaf.feature}.")
        return [_boxes(leaf, image, example) for example in examples]
    feature, several = leaf.feature, leaf.inner is not None
    if _names_several(tfds, feature):
        feature, several = feature.feature, True
    if not isinstance(feature, tfds.features.ClassLabel):
        return [leaf.of(example) for example in examples]
    values = []
    for row, example in enumerate(examples, start=1):
        numbers = leaf.of(example) if several else [leaf.of(example)]
        names = [_name(feature, number, f"{source}, record {row}") for number in numbers]
        values.append(names if several else names[0])
    return values


def class_names(tfds: Any, leaf: Leaf) -> tuple[str, ...]:
    """All names of a feature that has names: of labels, or of a mask's class ids."""
    feature = leaf.feature.feature if _names_several(tfds, leaf.feature) else leaf.feature
    return tuple(feature.names) if getattr(feature, "num_classes", None) else ()


def kept_encoded(tfds: Any, feature: Any) -> bool:
    """Whether the records hold image files as they are."""
    # A float image is stored as a PNG of its bits, which only TFDS can read back.
    return isinstance(feature, tfds.features.Image) and feature.np_dtype.__name__ in ("uint8", "uint16")


def _boxes(leaf: Leaf, image: Leaf, example: dict[str, Any]) -> RelativeBoxes:
    boxes = np.asarray(leaf.of(example), np.float64).reshape(-1, 4)
    others = example[leaf.key] if leaf.inner is not None else {}
    crowd = np.asarray(others.get("is_crowd", np.zeros(len(boxes))), np.float64)
    return RelativeBoxes(image.of(example), np.concatenate([boxes, crowd[:, None]], axis=1))


def _is_boxes(tfds: Any, leaf: Leaf) -> bool:
    """Whether a feature holds several boxes in shares of the image: ymin, xmin, ymax, xmax."""
    feature = leaf.feature
    if leaf.inner is None:
        feature = feature.feature if isinstance(feature, tfds.features.Sequence) else None
    usual = tfds.features.BBoxFeature().bbox_format
    return isinstance(feature, tfds.features.BBoxFeature) and feature.bbox_format == usual


def _several_labels(tfds: Any, found: dict[str, Leaf], boxes: list[str]) -> list[str]:
    """Where the labels of rows lie that may have several: beside the boxes, if these are in a sequence."""
    keys = {found[name].key for name in boxes if found[name].inner is not None}
    if not keys:
        return [name for name, leaf in found.items() if _names_several(tfds, leaf.feature)]
    beside = {
        name: leaf
        for name, leaf in found.items()
        if leaf.key in keys and isinstance(leaf.feature, tfds.features.ClassLabel)
    }
    return [name for name, leaf in beside.items() if leaf.inner == "label"] or list(beside)


def _names_several(tfds: Any, feature: Any) -> bool:
    return isinstance(feature, tfds.features.Sequence) and isinstance(feature.feature, tfds.features.ClassLabel)


def _name(feature: Any, number: Any, place: str) -> str:
    if number < 0:
        raise DataError(f"{place}: has no label ({number}). Splits meant for competitions hide them; read another.")
    return feature.int2str(int(number))
