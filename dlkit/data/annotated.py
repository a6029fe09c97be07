"""Which form of boxes or masks a folder or a file has."""

from __future__ import annotations

from pathlib import Path

from dlkit.columns import Boxes, Column
from dlkit.data.box_rows import read_box_rows
from dlkit.data.coco import find_coco, read_coco
from dlkit.data.files import is_object
from dlkit.data.folders import IMAGES, MASKS, SPLITS, entries_of
from dlkit.data.mask_folder import read_mask_folder
from dlkit.data.match import quoted, wants
from dlkit.data.table import Table
from dlkit.data.voc import is_voc, read_voc, read_voc_list
from dlkit.data.yolo import find_yolo, read_yolo
from dlkit.errors import DataError


def read_annotated(path: Path, source: str, columns: dict[str, Column]) -> Table:
    """Reads a folder of images with boxes (COCO, Pascal VOC or YOLO) or masks (`images/` and `masks/`, or COCO).

    Raises:
        DataError: it has none of these forms.
    """
    coco = find_coco(path)
    named = f"{source.rstrip('/')}/{coco.relative_to(path)}" if coco else source
    if not wants(columns, Boxes):
        if (path / MASKS).is_dir():
            return read_mask_folder(path, source, columns)
        if coco:
            return read_coco(coco, named, columns)
        raise _no_form(path, source, f"{IMAGES}/ and {MASKS}/ with files of the same names, or COCO's annotations.json")
    if coco:
        return read_coco(coco, named, columns)
    if is_voc(path):
        return read_voc(path, source, columns)
    yolo = find_yolo(path)
    if yolo:
        _check_splits(yolo[0], source)
        return read_yolo(yolo, source, columns)
    raise _no_form(
        path,
        source,
        "COCO's annotations.json with images/, Pascal VOC's Annotations/*.xml with JPEGImages/, YOLO's images/ with "
        "labels/, or a table labels.csv of image,xmin,ymin,xmax,ymax,label",
    )


def read_annotated_file(path: Path, source: str, columns: dict[str, Column], rename: dict[str, str]) -> Table | None:
    """Reads a file of boxes or masks that is no table of one image a row; None if it is one."""
    suffix = path.suffix.lower()
    if suffix == ".json" and is_object(path):
        return read_coco(path, source, columns)
    if suffix in (".csv", ".tsv") and wants(columns, Boxes):
        return read_box_rows(path, source, columns, rename)
    if suffix == ".txt" and wants(columns, Boxes):
        return read_voc_list(path, source, columns)
    return None


def _no_form(path: Path, source: str, expected: str) -> DataError:
    _check_splits(path, source)
    held = quoted(entry.name for entry in entries_of(path))
    return DataError(f"{source}: cannot tell how the images are annotated. Expected {expected}. It holds {held}.")


def _check_splits(path: Path, source: str) -> None:
    folders = [entry for entry in entries_of(path) if entry.is_dir()]
    if folders and {folder.name.lower() for folder in folders} <= SPLITS:
        raise DataError(
            f"{source} holds the splits {quoted(folder.name for folder in folders)}. Name one of them: {folders[0]}."
        )
