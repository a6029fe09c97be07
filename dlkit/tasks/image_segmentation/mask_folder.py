"""Folders of images and masks, `images/a.jpg` and `masks/a.png`, and files of class names."""

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
from dlkit.tasks.image_segmentation.mask_png import read_colors
from dlkit.vision.coco import find_coco

IMAGES, MASKS = "images", "masks"  # the folders of a data set
CLASSES = "classes.json"
_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")
_IGNORE_KEY = "255"
_MASK_FEATURES = ("mask", "segmentation_mask", "segmentation_label", "segmentation", "label")


class MaskReader(Reader):
    """Reader of images with masks."""

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
        """Read a folder with `images/` and `masks/`, or COCO annotations. Raises DataError for other folders."""
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
        """Read COCO annotations from a json file; None for a table."""
        return read_coco(path, source, columns, how) if file_type(path) == ".json" and is_json_object(path) else None

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        return add_class_names(table, columns, [folder])

    def features(
        self, tfds: Any, info: Any, found: Mapping[str, Leaf], columns: Mapping[str, Column]
    ) -> dict[str, Any]:
        images = [name for name, leaf in found.items() if isinstance(leaf.feature, tfds.features.Image)]
        masks = [name for name in _MASK_FEATURES if name in images]
        masks = (masks or [name for name in images if hasattr(found[name].feature, "names")])[:1]
        features: dict[str, Any] = {}
        for name, column in columns.items():
            if isinstance(column, (Mask, Image)):
                names = masks if isinstance(column, Mask) else [key for key in images if key not in masks]
                features[name] = names if len(names) == 1 else ()
        return features


reader = MaskReader()


def read_mask_folder(path: Path, source: str, columns: Mapping[str, Column]) -> Table:
    """Read a folder of images and masks into a table, sorted by name.

    Masks have the name of their image; the suffix may differ. `classes.json` in the folder or its parent folder names
    the classes, see `read_classes`.

    Args:
        path: folder with `images/` and `masks/`.
        source: name of the source in messages.
        columns: columns to read.

    Returns:
        The table, with one row per image.

    Raises:
        DataError: an image without a mask, or a mask without an image: names the file.
    """
    remarks: list[str] = []
    images = _files_by_stem(path / IMAGES, Image.suffixes, source, remarks)
    masks = _files_by_stem(path / MASKS, _SUFFIXES, source, remarks)
    for stem, image in images.items():
        if stem not in masks:
            raise DataError(f"{image} has no mask. Expected {path / MASKS / stem}.png; add it, or remove the image.")
    for stem, mask in masks.items():
        if stem not in images:
            raise DataError(f"the mask {mask} has no image. Expected {path / IMAGES / stem}.png (or .jpg, ...).")
    files = list(images.values())
    values_by_kind: dict[type[Column], Any] = {Image: files, Mask: [masks[stem] for stem in images]}
    table = Table(source, match_kinds(columns, values_by_kind, source), lambda row: str(files[row]), remarks=remarks)
    return add_class_names(table, columns, [path, path.parent])


def add_class_names(table: Table, columns: Mapping[str, Column], folders: Sequence[Path]) -> Table:
    """Add class names, and the colors of color masks, from the first `classes.json` in the folders."""
    file = next((folder / CLASSES for folder in folders if (folder / CLASSES).is_file()), None)
    if file is None:
        return table
    names, ids = read_classes(file)
    values = dict(table.columns)
    for name, column in columns.items():
        if ids and isinstance(column, Mask):
            values[name] = [ColorMask(mask, ids) for mask in values[name]]
    return dataclasses.replace(table, columns=values, classes=names)


def read_classes(file: Path) -> tuple[tuple[str, ...], dict[tuple[int, ...], int]]:
    """Read class names, and the color of each class if the file has colors.

    The file holds a list of names; or an object from ids to names, `{"0": "background", "1": "road"}`; or an object
    from names to colors, in the order of the ids, `{"road": [128, 64, 128]}`. In both objects, the key "255" is the
    ignored class.

    Args:
        file: path of `classes.json`.

    Returns:
        The names of the class ids 0, 1, ..., and a dict from color, (red, green, blue), to class id.

    Raises:
        DataError: the file has another content.
    """
    data = read_json_file(file, str(file))
    if isinstance(data, list) and data and all(isinstance(name, str) for name in data):
        return tuple(data), {}
    if isinstance(data, dict):
        named = {key: value for key, value in data.items() if key != _IGNORE_KEY}
        if data and all(_is_color(value) for value in data.values()):
            ids = {tuple(value): number for number, value in enumerate(named.values())}
            if len(ids) == len(named):
                return tuple(named), ids | ({tuple(data[_IGNORE_KEY]): int(_IGNORE_KEY)} if _IGNORE_KEY in data else {})
        elif named and set(named) == set(map(str, range(len(named)))) and all(map(_is_name, named.values())):
            return tuple(named[str(key)] for key in range(len(named))), {}
    raise DataError(
        f'{file}: expected a list of names, ids from 0 without gaps and names {{"0": "background", ...}}, or names '
        f'with distinct colors, {{"road": [128, 64, 128], ...}}. Received: {str(data)[:100]}.'
    )


class ColorMask:
    """A mask whose classes are colors, which are converted to class ids by `numpy.asarray`."""

    def __init__(self, mask: Any, ids: dict[tuple[int, ...], int]):
        """Initialize from a path or encoded bytes, and the class id of each color, (red, green, blue)."""
        self.mask, self.ids = mask, ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        pixels = _pack_rgb(read_colors(Image().raw(self.mask)))
        colors, ids = _pack_rgb(np.array(list(self.ids))), np.array(list(self.ids.values()))
        order = np.argsort(colors)
        index = order[np.minimum(np.searchsorted(colors[order], pixels), len(colors) - 1)]
        unknown = colors[index] != pixels
        if unknown.any():
            color = [int(pixels[unknown][0]) >> shift & 255 for shift in (16, 8, 0)]
            raise DataError(
                f"the mask has {int(unknown.sum())} pixels of colors that are not in {CLASSES}, such as {color}. It "
                f"has {quote_names(map(str, self.ids))}."
            )
        return ids[index].astype(dtype or np.uint8)


def _pack_rgb(rgb: np.ndarray) -> np.ndarray:
    """Pack colors, (..., 3) in [0, 255], into one integer each."""
    channels = rgb.astype(np.int32)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in value)
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _files_by_stem(folder: Path, suffixes: tuple[str, ...], source: str, remarks: list[str]) -> dict[str, Path]:
    """Map relative paths without suffix to files; adds a remark on skipped files."""
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
