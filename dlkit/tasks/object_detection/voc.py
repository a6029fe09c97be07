"""Folders in the format of Pascal VOC: an xml file of objects for each image.

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
from dlkit.tasks.object_detection.boxes import AnnotatedImage, build_box_table

_ANNOTATIONS = ("Annotations", "annotations")
_IMAGES = ("JPEGImages", "images")
_CORNER_TAGS = ("ymin", "xmin", "ymax", "xmax")


def is_voc(folder: Path) -> bool:
    """Return whether a folder has xml files in `Annotations/`, or next to its images."""
    return any(
        next((folder / name).glob("*.xml"), None) is not None for name in _ANNOTATIONS
    ) or _has_xml_beside_images(folder)


def _has_xml_beside_images(folder: Path) -> bool:
    images = (entry for entry in list_entries(folder) if entry.suffix.lower() in Image.suffixes)
    return any(image.with_suffix(".xml").is_file() for image in images)


def read_voc(
    folder: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, stems: list[str] | None = None
) -> Table:
    """Read a folder into a table with one row per xml file, sorted by name, or in the order of `stems`.

    An xml file without objects is an image without objects. Images are in `JPEGImages/` or `images/`, or next to the
    xml files. Coordinates are not shifted, as in torchvision, KerasCV and TFDS: VOC itself counts pixels from 1, which
    moves its boxes by up to a pixel; most tools that write this format count from 0. Objects that are `difficult` or
    `truncated` are treated as others.

    Args:
        folder: folder with the annotations.
        source: name of the source in messages.
        columns: columns to read.
        how: options of reading.
        stems: names of the xml files without suffix; None for all.

    Returns:
        The table.

    Raises:
        DataError: an object is not valid; names the xml file and the object.
    """
    annotations = next((folder / name for name in _ANNOTATIONS if (folder / name).is_dir()), folder)
    folders = [folder / name for name in _IMAGES if (folder / name).is_dir()] if annotations != folder else [folder]
    if not folders:
        raise DataError(f"{source}: no image folder next to {annotations.name}/. Expected {_IMAGES[0]}/.")
    files = sorted(annotations.glob("*.xml")) if stems is None else [annotations / f"{stem}.xml" for stem in stems]
    inside = FolderGuard(how, folder)
    annotated = [_read_annotation(inside(file, source), folders[0], inside) for file in files]
    return build_box_table(source, annotated, columns, how)


def read_voc_list(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read the images of an image set, one per line, such as `VOC2012/ImageSets/Main/train.txt`."""
    folder = path.absolute().parent.parent.parent
    if not is_voc(folder):
        raise DataError(
            f"{source}: expected an image set of Pascal VOC, FOLDER/ImageSets/Main/NAME.txt, next to "
            f"FOLDER/Annotations/*.xml. Looked in {folder}."
        )
    return read_voc(
        folder, source, columns, how, [line.split()[0] for line in read_text(path, source).splitlines() if line.strip()]
    )


def _read_annotation(file: Path, images: Path, inside: FolderGuard) -> AnnotatedImage:
    with as_data_error(file, "XML"):
        root = ElementTree.parse(file).getroot()
    annotated = AnnotatedImage(
        inside(_find_image(root, file, images), str(file)), str(file), size=_annotated_size(root)
    )
    for number, element in enumerate(root.findall("object"), start=1):
        location = f"{file}, object {number}"
        label = (element.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{location}: no <name>. Expected the name of its class.")
        annotated.add(_parse_box(element, location), label, location)
    return annotated


def _annotated_size(root: ElementTree.Element) -> tuple[int, int]:
    """Read height and width from the xml file, in pixels; 0 if they are missing or not numbers."""
    height, width = (root.findtext(f"size/{side}", "").strip() for side in ("height", "width"))
    return int(height) if height.isdecimal() else 0, int(width) if width.isdecimal() else 0


def _parse_box(element: ElementTree.Element, location: str) -> list[float]:
    texts = {corner: element.findtext(f"bndbox/{corner}") for corner in _CORNER_TAGS}
    try:
        return [float(texts[corner] or "") for corner in _CORNER_TAGS]
    except ValueError as error:
        raise DataError(
            f"{location}: <bndbox> must hold the numbers {quote_names(_CORNER_TAGS)}. Received: {texts}."
        ) from error


def _find_image(root: ElementTree.Element, file: Path, images: Path) -> Path:
    """Find the image that `filename` names, ignoring folders, or else the image with the name of the xml file."""
    named = re.split(r"[\\/]", (root.findtext("filename") or "").strip())[-1]
    candidates = [named] if Path(named).suffix.lower() in Image.suffixes else []
    candidates += [f"{file.stem}{suffix}" for suffix in (*Image.suffixes, *map(str.upper, Image.suffixes))]
    existing = (images / name for name in candidates if (images / name).is_file())
    return next(existing, images / candidates[0])  # a missing file is reported when it is opened
