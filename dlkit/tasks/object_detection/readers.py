"""The forms in which images with boxes lie: COCO, Pascal VOC, YOLO, rows of boxes, and TFDS's detection sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column, Labels, parse_bool
from dlkit.data.bytes import file_type, is_json_object
from dlkit.data.delimited import is_delimited
from dlkit.data.listing import list_entries, refuse_splits
from dlkit.data.match import quote_names, wants_kind
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.data.tfds_features import Leaf, is_label_list
from dlkit.errors import DataError
from dlkit.tasks.object_detection.boxes import BoxedImage, RelativeBoxes, box_table, check_objects, read_box_rows
from dlkit.tasks.object_detection.columns import Boxes
from dlkit.tasks.object_detection.voc import is_voc, read_voc, read_voc_list
from dlkit.tasks.object_detection.yolo import explain_yaml, find_yolo, read_yolo
from dlkit.vision.coco import find_coco, load_coco, read_size


class BoxReader(Reader):
    """Reads images with boxes."""

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
        """COCO, Pascal VOC or YOLO. Raises DataError where the folder has none of these forms."""
        coco = find_coco(path)
        if coco:
            return read_coco(coco, f"{source.rstrip('/')}/{coco.relative_to(path)}", columns, how)
        if is_voc(path):
            return read_voc(path, source, columns, how)
        yolo = find_yolo(path)
        if yolo:
            refuse_splits(yolo[0], source)
            return read_yolo(yolo, source, columns, how)
        refuse_splits(path, source)
        raise DataError(
            f"{source}: unknown annotation format. Expected COCO's annotations.json with images/, Pascal VOC's "
            "Annotations/*.xml with JPEGImages/, YOLO's images/ with labels/, or a table labels.csv of "
            f"image,xmin,ymin,xmax,ymax,label. It holds {quote_names(entry.name for entry in list_entries(path))}."
        )

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """COCO's json, a table of boxes, or VOC's list of images; None for another table."""
        suffix = file_type(path)
        if suffix == ".json" and is_json_object(path):
            return read_coco(path, source, columns, how)
        if is_delimited(path, how) and wants_kind(columns, Boxes):
            return read_box_rows(path, source, columns, how)
        if suffix in (".yaml", ".yml") and wants_kind(columns, Boxes):
            raise explain_yaml(path, source)
        if suffix == ".txt" and wants_kind(columns, Boxes):
            return read_voc_list(path, source, columns, how)
        return None

    def finish(self, table: Table, columns: Mapping[str, Column]) -> None:
        check_objects(table, columns)

    def features(
        self, tfds: Any, info: Any, found: Mapping[str, Leaf], columns: Mapping[str, Column]
    ) -> dict[str, Any]:
        boxes = [name for name, leaf in found.items() if _is_boxes(tfds, leaf)]
        labels = _labels_beside(tfds, found, boxes)
        also: dict[str, Any] = {}
        for name, column in columns.items():
            if isinstance(column, Boxes):
                also[name] = boxes if len(boxes) == 1 else ()
            elif isinstance(column, Labels):
                also[name] = labels if len(labels) == 1 else ()
        return also

    def feature_values(
        self, tfds: Any, leaf: Leaf, column: Column, examples: list[dict[str, Any]], image: Leaf | None, source: str
    ) -> list[Any] | None:
        """Boxes in pixels of their image."""
        if not isinstance(column, Boxes):
            return None
        if image is None:
            raise DataError(f"{source}: relative boxes need the image. Request it too.")
        if not _is_boxes(tfds, leaf):
            raise DataError(
                f"{source}: expected boxes relative to the image size (BBoxFeature). Received: {leaf.feature}."
            )
        return [_boxes(leaf, image, example) for example in examples]


reader = BoxReader()


def read_coco(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """One row an image, in the file's order; an image without annotations is one without objects.

    `bbox` (x, y, width, height) becomes ymin, xmin, ymax, xmax, and `iscrowd` its fifth number.

    Raises:
        DataError: names the file, the entry and what is wrong with it.
    """
    coco = load_coco(path, source, how)
    images = {key: BoxedImage(file, place, size=read_size(entry)) for key, (file, place, entry) in coco.files.items()}
    for place, entry in coco.annotations(("image_id", "category_id", "bbox")):
        image = coco.known(images, entry["image_id"], place, "image")
        label = coco.known(coco.categories, entry["category_id"], place, "category")
        x, y, width, height = _numbers(entry["bbox"], place)
        image.add((y, x, y + height, x + width), label, place, crowd=_crowd(entry, place))
    return box_table(source, list(images.values()), columns, how, tuple(dict.fromkeys(coco.categories.values())))


def _crowd(entry: Mapping[str, Any], place: str) -> bool:
    try:
        return parse_bool(entry.get("iscrowd") or 0)
    except DataError as error:
        raise DataError(f"{place}, `iscrowd`: {error}") from error


def _numbers(bbox: Any, place: str) -> list[float]:
    if not isinstance(bbox, list) or len(bbox) != 4 or any(type(number) not in (int, float) for number in bbox):
        raise DataError(f"{place}: `bbox` must be [x, y, width, height] in pixels. Received: {str(bbox)[:60]}.")
    return bbox


def _boxes(leaf: Leaf, image: Leaf, example: dict[str, Any]) -> RelativeBoxes:
    boxes = np.asarray(leaf.value_in(example), np.float64).reshape(-1, 4)
    others = example[leaf.key] if leaf.inner is not None else {}
    crowd = np.asarray(others.get("is_crowd", np.zeros(len(boxes))), np.float64)
    return RelativeBoxes(image.value_in(example), np.concatenate([boxes, crowd[:, None]], axis=1))


def _is_boxes(tfds: Any, leaf: Leaf) -> bool:
    """Whether a feature holds several boxes in shares of the image: ymin, xmin, ymax, xmax."""
    feature = leaf.feature
    if leaf.inner is None:
        feature = feature.feature if isinstance(feature, tfds.features.Sequence) else None
    usual = tfds.features.BBoxFeature().bbox_format
    return isinstance(feature, tfds.features.BBoxFeature) and feature.bbox_format == usual


def _labels_beside(tfds: Any, found: Mapping[str, Leaf], boxes: list[str]) -> list[str]:
    """Where the labels of the boxes lie: beside them, if these are in a sequence."""
    keys = {found[name].key for name in boxes if found[name].inner is not None}
    if not keys:
        return [name for name, leaf in found.items() if is_label_list(tfds, leaf.feature)]
    beside = {
        name: leaf
        for name, leaf in found.items()
        if leaf.key in keys and isinstance(leaf.feature, tfds.features.ClassLabel)
    }
    return [name for name, leaf in beside.items() if leaf.inner == "label"] or list(beside)
