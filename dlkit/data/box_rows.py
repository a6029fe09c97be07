"""csv and tsv files of boxes, one a row: `image,xmin,ymin,xmax,ymax,label`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dlkit.columns import Boxes, Column, Image, Labels
from dlkit.data.boxes import BoxedImage, box_table
from dlkit.data.delimited import read_delimited
from dlkit.data.match import match_names
from dlkit.data.table import Table
from dlkit.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ALSO = {Image: ("image", "file_name", "filename", "image_path"), Labels: ("label", "labels", "class")}


def read_box_rows(path: Path, source: str, columns: dict[str, Column], rename: dict[str, str]) -> Table:
    """One row an image, in the order in which they first appear; a row of the file whose box is blank has no object.

    Boxes are in pixels. The files' names may also stand in `file_name`, `filename` or `image_path`, the labels in
    `labels` or `class`.

    Raises:
        DataError: names the file, the line and what is wrong with it.
    """
    roles: dict[str, Column] = {name: column for name, column in columns.items() if not isinstance(column, Boxes)}
    also: Mapping[str, Sequence[str]] = {
        name: names for name, column in roles.items() for kind, names in _ALSO.items() if isinstance(column, kind)
    }
    wanted = roles | dict.fromkeys(_CORNERS, Boxes())
    cells, where = read_delimited(
        path, source, lambda found, hint: match_names(wanted, found, rename, source, also=also, hint=hint)
    )
    image, label = (next((cells[n] for n in roles if isinstance(roles[n], kind)), None) for kind in (Image, Labels))
    if image is None:
        raise DataError(f"{source} holds boxes of images, but no image is wanted. Wanted: {', '.join(columns)}.")
    images: dict[str, BoxedImage] = {}
    for row, name in enumerate(image):
        place = where(row)
        if not name.strip():
            raise DataError(f"{place}: the name of the image is empty. Fill it, or leave the row out.")
        boxed = images.setdefault(name, BoxedImage(path.parent / name, place))
        named = "" if label is None else label[row].strip()
        box = _box([cells[corner][row].strip() for corner in _CORNERS], place)
        if box is None and named:
            raise DataError(f"{place}: the label {named!r} has no box. Fill {', '.join(_CORNERS)}, or empty the label.")
        if box is not None and label is not None and not named:
            raise DataError(f"{place}: the box has no label. Fill it, or leave the row out.")
        if box is not None:
            boxed.add(box, named, place)
    return box_table(source, list(images.values()), columns)


def _box(cells: list[str], place: str) -> tuple[float, float, float, float] | None:
    """ymin, xmin, ymax, xmax; None where all cells are blank."""
    if not any(cells):
        return None
    try:
        xmin, ymin, xmax, ymax = map(float, cells)
    except ValueError as error:
        raise DataError(f"{place}: expected numbers in {', '.join(_CORNERS)}. Received: {', '.join(cells)}.") from error
    return ymin, xmin, ymax, xmax
