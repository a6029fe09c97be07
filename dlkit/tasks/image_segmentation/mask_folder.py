"""Folders of images and masks, `images/a.jpg` beside `masks/a.png`, and the names of the masks' classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column, Image
from dlkit.data.bytes import file_type, is_json_object, read_json_file
from dlkit.data.listing import list_entries, list_files, refuse_splits
from dlkit.data.match import match_kinds, quote_names
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.data.tfds_features import Leaf
from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.coco_masks import read_coco
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.image_segmentation.mask_png import colours
from dlkit.vision.coco import find_coco

IMAGES, MASKS = "images", "masks"  # the folders of training data
CLASSES = "classes.json"
_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")
_NO_CLASS = "255"
_MASK_FEATURES = ("mask", "segmentation_mask", "segmentation_label", "segmentation", "label")


class MaskReader(Reader):
    """Reads images with masks."""

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
        """`images/` and `masks/`, or COCO. Raises DataError where the folder has neither form."""
        if (path / MASKS).is_dir():
            return read_mask_folder(path, source, columns)
        coco = find_coco(path)
        if coco:
            return read_coco(coco, f"{source.rstrip('/')}/{coco.relative_to(path)}", columns, how)
        refuse_splits(path, source)
        raise DataError(
            f"{source}: unknown annotation format. Expected {IMAGES}/ and {MASKS}/ with files of the same names, or "
            f"COCO's annotations.json. It holds {quote_names(entry.name for entry in list_entries(path))}."
        )

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """COCO's json; None for a table."""
        return read_coco(path, source, columns, how) if file_type(path) == ".json" and is_json_object(path) else None

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        return with_classes(table, columns, [folder])

    def features(
        self, tfds: Any, info: Any, found: Mapping[str, Leaf], columns: Mapping[str, Column]
    ) -> dict[str, Any]:
        images = [name for name, leaf in found.items() if isinstance(leaf.feature, tfds.features.Image)]
        masks = [name for name in _MASK_FEATURES if name in images]
        masks = (masks or [name for name in images if hasattr(found[name].feature, "names")])[:1]
        also: dict[str, Any] = {}
        for name, column in columns.items():
            if isinstance(column, (Mask, Image)):
                names = masks if isinstance(column, Mask) else [key for key in images if key not in masks]
                also[name] = names if len(names) == 1 else ()
        return also


reader = MaskReader()


def read_mask_folder(path: Path, source: str, columns: Mapping[str, Column]) -> Table:
    """One row an image, in sorted order, with the mask of the same name; the suffix may differ.

    `classes.json`, if there is one in the folder or above it, names the classes (see `read_classes`).

    Raises:
        DataError: an image without a mask, or a mask without an image: names the file.
    """
    remarks: list[str] = []
    images = _by_stem(path / IMAGES, Image.suffixes, source, remarks)
    masks = _by_stem(path / MASKS, _SUFFIXES, source, remarks)
    for stem, image in images.items():
        if stem not in masks:
            raise DataError(f"{image} has no mask. Expected {path / MASKS / stem}.png; add it, or remove the image.")
    for stem, mask in masks.items():
        if stem not in images:
            raise DataError(f"the mask {mask} has no image. Expected {path / IMAGES / stem}.png (or .jpg, ...).")
    files = list(images.values())
    held: dict[type[Column], Any] = {Image: files, Mask: [masks[stem] for stem in images]}
    table = Table(source, match_kinds(columns, held, source), lambda row: str(files[row]), remarks=remarks)
    return with_classes(table, columns, [path, path.parent])


def with_classes(table: Table, columns: Mapping[str, Column], folders: Sequence[Path]) -> Table:
    """The table with the names, and the ids of the colours, of the first `classes.json` in the folders."""
    file = next((folder / CLASSES for folder in folders if (folder / CLASSES).is_file()), None)
    if file is None:
        return table
    names, ids = read_classes(file)
    values = dict(table.columns)
    for name, column in columns.items():
        if ids and isinstance(column, Mask):
            values[name] = [ColouredMask(mask, ids) for mask in values[name]]
    return dataclasses.replace(table, columns=values, classes=names)


def read_classes(file: Path) -> tuple[tuple[str, ...], dict[tuple[int, ...], int]]:
    """The names of the class ids 0, 1, ..., and the id of each colour, (red, green, blue), if the file has colours.

    The file holds a list of names; or an object of ids and names, `{"0": "background", "1": "road"}`; or an object of
    names and colours in the order of the ids, `{"road": [128, 64, 128]}`. In both the key "255" is no class.
    """
    data = read_json_file(file, str(file))
    if isinstance(data, list) and data and all(isinstance(name, str) for name in data):
        return tuple(data), {}
    if isinstance(data, dict):
        named = {key: value for key, value in data.items() if key != _NO_CLASS}
        if data and all(_is_colour(value) for value in data.values()):
            ids = {tuple(value): number for number, value in enumerate(named.values())}
            if len(ids) == len(named):
                return tuple(named), ids | ({tuple(data[_NO_CLASS]): int(_NO_CLASS)} if _NO_CLASS in data else {})
        elif named and set(named) == set(map(str, range(len(named)))) and all(map(_is_name, named.values())):
            return tuple(named[str(key)] for key in range(len(named))), {}
    raise DataError(
        f'{file}: expected a list of names, ids from 0 without gaps and names {{"0": "background", ...}}, or names '
        f'with distinct colors, {{"road": [128, 64, 128], ...}}. Received: {str(data)[:100]}.'
    )


class ColouredMask:
    """A mask whose classes are colours. Its ids are made when they are asked for, by `numpy.asarray`."""

    def __init__(self, mask: Any, ids: dict[tuple[int, ...], int]):
        """`mask`: a path or encoded bytes; `ids`: the class id of each colour, (red, green, blue) in [0, 255]."""
        self.mask, self.ids = mask, ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        pixels = _packed(colours(Image().raw(self.mask)))
        known, ids = _packed(np.array(list(self.ids))), np.array(list(self.ids.values()))
        order = np.argsort(known)
        place = order[np.minimum(np.searchsorted(known[order], pixels), len(known) - 1)]
        wrong = known[place] != pixels
        if wrong.any():
            colour = [int(pixels[wrong][0]) >> shift & 255 for shift in (16, 8, 0)]
            raise DataError(
                f"the mask has {int(wrong.sum())} pixels of colors that are not in {CLASSES}, such as {colour}. It "
                f"has {quote_names(map(str, self.ids))}."
            )
        return ids[place].astype(dtype or np.uint8)


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Colours, (..., 3) in [0, 255], as one number each."""
    wide = rgb.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _by_stem(folder: Path, suffixes: tuple[str, ...], source: str, remarks: list[str]) -> dict[str, Path]:
    """Path inside the folder, without the suffix, to the file; adds a remark on what was passed over."""
    if not folder.is_dir():
        raise DataError(f"{source}: there is no folder {folder.name}/. Expected {IMAGES}/ and {MASKS}/.")
    files, skipped = list_files(folder, suffixes)
    if skipped:
        listed = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in skipped.most_common(5))
        remarks.append(f"{folder}: skipped {listed}. Only {', '.join(suffixes)} are read")
    found: dict[str, Path] = {}
    for file in files:
        stem = file.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"two files have the same name: {found[stem]} and {file}. Keep one of them.")
        found[stem] = file
    if not found:
        raise DataError(f"{source}: {folder.name}/ holds no files of the kinds {', '.join(suffixes)}.")
    return found
