"""COCO's annotations: one json file of images, categories and annotations, with boxes and outlines.

Lin et al., 2014, arXiv:1405.0312; the format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Image, Mask
from dlkit.data.boxes import BoxedImage, box_table
from dlkit.data.coco_masks import DrawnMask, check_segmentation
from dlkit.data.files import read_text
from dlkit.data.match import by_kind, quoted, wants
from dlkit.data.table import Table
from dlkit.errors import DataError

NAMES = ("annotations.json", "_annotations.coco.json")
_PARTS = ("images", "categories", "annotations")
_MOST_CLASSES = 254  # ids are bytes; 0 is the background and 255 no class


def find_coco(folder: Path) -> Path | None:
    """The folder's file of annotations, if there is one. DataError where there are several."""
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted([*folder.glob("instances*.json"), *folder.glob("annotations/instances*.json")])
    if len(found) > 1:
        raise DataError(f"{folder} holds several files of annotations. Name one of them: {quoted(map(str, found))}.")
    return found[0] if found else None


def read_coco(path: Path, source: str, columns: dict[str, Column]) -> Table:
    """One row an image, in the file's order; an image without annotations is one without objects.

    The images lie in `images/` beside the file, or beside it; those of `annotations/instances_NAME.json` may lie in
    `NAME/` beside `annotations/`. `bbox` (x, y, width, height) becomes ymin, xmin, ymax, xmax, and `iscrowd` its fifth
    number. A mask is drawn from polygons and RLE in the order of the annotations, later ones on top; its class ids are
    0 for the background and 1 + the place of the category in the order of the categories' ids.

    Raises:
        DataError: names the file, the entry and what is wrong with it.
    """
    data = _load(path, source)
    categories = _categories(data, source)
    files = _files(data, path, source)
    if wants(columns, Mask):
        return _masks(data, files, categories, source, columns)
    images = {key: BoxedImage(file, place) for key, (file, place, _) in files.items()}
    for place, entry in _entries(data, "annotations", ("image_id", "category_id", "bbox"), source):
        image = _known(images, entry["image_id"], place, "image")
        label = _known(categories, entry["category_id"], place, "category")
        x, y, width, height = _numbers(entry["bbox"], place)
        image.add((y, x, y + height, x + width), label, place, crowd=bool(entry.get("iscrowd", 0)))
    return box_table(source, list(images.values()), columns, tuple(dict.fromkeys(categories.values())))


def _masks(
    data: dict, files: dict[Any, tuple[Path, str, dict]], categories: dict[Any, str], source: str, columns: dict
) -> Table:
    if len(categories) > _MOST_CLASSES:
        raise DataError(f"{source} has {len(categories)} categories. A mask holds at most {_MOST_CLASSES}.")
    masks = {}
    for key, (_, place, entry) in files.items():
        sides = entry.get("height"), entry.get("width")
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise DataError(f"{place}: a mask needs the `height` and `width` of its image. Received: {sides}.")
        masks[key] = DrawnMask(*sides)  # type: ignore[arg-type]
    ids = {key: number for number, key in enumerate(categories, start=1)}
    for place, entry in _entries(data, "annotations", ("image_id", "category_id", "segmentation"), source):
        mask = _known(masks, entry["image_id"], place, "image")
        class_id = _known(ids, entry["category_id"], place, "category")
        check_segmentation(entry["segmentation"], mask.height, mask.width, place)
        mask.segments.append((class_id, entry["segmentation"], place))
    where = [place for _, place, _ in files.values()]
    held = {Image: [file for file, _, _ in files.values()], Mask: list(masks.values())}
    values = by_kind(columns, held, source)
    return Table(source, values, lambda row: where[row], ("background", *categories.values()))


def _load(path: Path, source: str) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, source))
    except json.JSONDecodeError as error:
        raise DataError(f"{source}, line {error.lineno}: not JSON ({error.msg}).") from error
    found = list(data) if isinstance(data, dict) else []
    for name in _PARTS:
        if name not in found or not isinstance(data[name], list):
            raise DataError(
                f"{source}: no list {name!r}. Expected COCO's form, an object with the lists {quoted(_PARTS)}. "
                f"Received: {quoted(found)}."
            )
    return data


def _entries(data: dict[str, Any], part: str, needed: tuple[str, ...], source: str) -> Iterator[tuple[str, dict]]:
    """The entries of one list, with the words that name each."""
    for number, entry in enumerate(data[part], start=1):
        place = f"{source}, {part}, item {number}"
        if not isinstance(entry, dict):
            raise DataError(f"{place}: expected an object. Received: {str(entry)[:60]}.")
        if "id" in entry:
            place += f" (id {entry['id']})"
        for name in needed:
            if name not in entry:
                raise DataError(f"{place}: the entry has no {name!r}. It has {quoted(entry)}.")
        yield place, entry


def _categories(data: dict[str, Any], source: str) -> dict[Any, str]:
    """Category id to name, in the order of the ids."""
    names: dict[Any, str] = {}
    for place, entry in _entries(data, "categories", ("id", "name"), source):
        _add(names, entry["id"], str(entry["name"]), place)
    return dict(sorted(names.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _files(data: dict[str, Any], path: Path, source: str) -> dict[Any, tuple[Path, str, dict]]:
    """Image id to its file, the words that name it, and its entry."""
    entries: dict[Any, dict] = {}
    for place, entry in _entries(data, "images", ("id", "file_name"), source):
        _add(entries, entry["id"], entry, place)
    names = {key: str(entry["file_name"]) for key, entry in entries.items()}
    if not names:
        raise DataError(f"{source} has no images.")
    folder = _folder(path, list(names.values()), source)
    return {key: (folder / name, f"{source}, image {name!r}", entries[key]) for key, name in names.items()}


def _folder(path: Path, names: list[str], source: str) -> Path:
    """Where the images lie. Single ones may be missing; that is said when they are opened."""
    beside, part = path.parent, path.stem.rpartition("_")[2]
    places = [beside / "images", beside, beside.parent / part, beside.parent / "images"]
    for place in places:
        if any((place / name).is_file() for name in names):
            return place
    raise DataError(
        f"{source}: none of its {len(names)} images is there, {names[0]!r} for one. Looked in "
        f"{quoted(map(str, places))}."
    )


def _add(entries: dict, key: Any, value: Any, place: str) -> None:
    if not isinstance(key, (int, str)):
        raise DataError(f"{place}: the id must be a number. Received: {str(key)[:60]}.")
    if key in entries:
        raise DataError(f"{place}: the id is there twice. Each must have one of its own.")
    entries[key] = value


def _known(entries: dict, key: Any, place: str, kind: str) -> Any:
    if not isinstance(key, (int, str)) or key not in entries:
        raise DataError(f"{place}: there is no {kind} with the id {str(key)[:60]}.")
    return entries[key]


def _numbers(bbox: Any, place: str) -> list[float]:
    if not isinstance(bbox, list) or len(bbox) != 4 or any(type(number) not in (int, float) for number in bbox):
        raise DataError(f"{place}: `bbox` must be [x, y, width, height] in pixels. Received: {str(bbox)[:60]}.")
    return bbox
