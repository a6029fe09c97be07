"""Folders in the form of Pascal VOC: an xml file of objects for each image.

Everingham et al., 2010, "The Pascal Visual Object Classes (VOC) Challenge".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from dlkit.columns import Column, Image
from dlkit.data.bytes import read_text
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.listing import list_entries
from dlkit.data.match import quote_names
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error
from dlkit.tasks.object_detection.boxes import BoxedImage, box_table

_ANNOTATIONS = ("Annotations", "annotations")
_IMAGES = ("JPEGImages", "images")
_CORNERS = ("ymin", "xmin", "ymax", "xmax")


def is_voc(folder: Path) -> bool:
    """Whether the folder has xml files in `Annotations/`, or beside its images."""
    return any(next((folder / name).glob("*.xml"), None) is not None for name in _ANNOTATIONS) or _is_beside(folder)


def _is_beside(folder: Path) -> bool:
    images = (entry for entry in list_entries(folder) if entry.suffix.lower() in Image.suffixes)
    return any(image.with_suffix(".xml").is_file() for image in images)


def read_voc(
    folder: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, stems: list[str] | None = None
) -> Table:
    """One row an xml file, in sorted order, or in the order of `stems`; one without objects is a negative.

    Images lie in `JPEGImages/` or `images/`, or the xml files beside them. Coordinates are taken as they stand, as
    torchvision, KerasCV and TFDS do: VOC's own count pixels from 1, which puts its boxes up to a pixel to the lower
    right; most tools that write this form count from 0. Objects that are `difficult` or `truncated` are like others.

    Raises:
        DataError: names the xml file, the object and what is wrong with it.
    """
    annotations = next((folder / name for name in _ANNOTATIONS if (folder / name).is_dir()), folder)
    places = [folder / name for name in _IMAGES if (folder / name).is_dir()] if annotations != folder else [folder]
    if not places:
        raise DataError(f"{source}: no image folder next to {annotations.name}/. Expected {_IMAGES[0]}/.")
    files = sorted(annotations.glob("*.xml")) if stems is None else [annotations / f"{stem}.xml" for stem in stems]
    inside = FolderGuard(how, folder)
    boxed = [_image(inside(file, source), places[0], inside) for file in files]
    return box_table(source, boxed, columns, how)


def read_voc_list(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """The images that a list names, one a line: `VOC2012/ImageSets/Main/train.txt`."""
    folder = path.absolute().parent.parent.parent
    if not is_voc(folder):
        raise DataError(
            f"{source}: expected an image set of Pascal VOC, FOLDER/ImageSets/Main/NAME.txt, next to "
            f"FOLDER/Annotations/*.xml. Looked in {folder}."
        )
    return read_voc(
        folder, source, columns, how, [line.split()[0] for line in read_text(path, source).splitlines() if line.strip()]
    )


def _image(file: Path, images: Path, inside: FolderGuard) -> BoxedImage:
    with as_data_error(file, "XML"):
        root = ElementTree.parse(file).getroot()
    boxed = BoxedImage(inside(_file(root, file, images), str(file)), str(file), size=_size(root))
    for number, element in enumerate(root.findall("object"), start=1):
        place = f"{file}, object {number}"
        label = (element.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{place}: no <name>. Expected the name of its class.")
        boxed.add(_box(element, place), label, place)
    return boxed


def _size(root: ElementTree.Element) -> tuple[int, int]:
    """The height and width that the file tells; 0 for what is no number."""
    height, width = (root.findtext(f"size/{side}", "").strip() for side in ("height", "width"))
    return int(height) if height.isdecimal() else 0, int(width) if width.isdecimal() else 0


def _box(element: ElementTree.Element, place: str) -> list[float]:
    texts = {corner: element.findtext(f"bndbox/{corner}") for corner in _CORNERS}
    try:
        return [float(texts[corner] or "") for corner in _CORNERS]
    except ValueError as error:
        raise DataError(
            f"{place}: <bndbox> must hold the numbers {quote_names(_CORNERS)}. Received: {texts}."
        ) from error


def _file(root: ElementTree.Element, file: Path, images: Path) -> Path:
    """The image that `filename` names, without the folders of another machine; else that called as the xml file."""
    named = re.split(r"[\\/]", (root.findtext("filename") or "").strip())[-1]
    candidates = [named] if Path(named).suffix.lower() in Image.suffixes else []
    candidates += [f"{file.stem}{suffix}" for suffix in (*Image.suffixes, *map(str.upper, Image.suffixes))]
    there = (images / name for name in candidates if (images / name).is_file())
    return next(there, images / candidates[0])  # a missing one is told of when it is opened
