"""COCO annotations: one JSON file of images, categories and annotations, with boxes and outlines.

Lin et al., 2014, arXiv:1405.0312; the format: https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlkit.data.bytes import read_json_file
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.match import quote_names
from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError

ANNOTATION_FILES = ("annotations.json", "_annotations.coco.json")
_PARTS = ("images", "categories", "annotations")


@dataclass(frozen=True)
class Coco:
    """An annotation file, with its ids resolved.

    Attributes:
        source: its name in messages.
        data: the parsed file.
        categories: category names by id, in the order of the ids.
        files: by image id its file, the words that name it in messages, and its entry; in the file's order.
    """

    source: str
    data: dict[str, Any]
    categories: dict[Any, str]
    files: dict[Any, tuple[Path, str, dict[str, Any]]]

    def annotations(self, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the annotations, with the words that name each in messages. Raise DataError for a missing key."""
        return _entries(self.data, "annotations", needed, self.source)

    def known(self, entries: Mapping[Any, Any], key: Any, place: str, kind: str) -> Any:
        """Look up the id of an annotation. Raise DataError, which names `place`, if there is no such entry."""
        if not isinstance(key, (int, str)) or key not in entries:
            raise DataError(f"{place}: there is no {kind} with the id {str(key)[:60]}.")
        return entries[key]


def find_coco(folder: Path) -> Path | None:
    """Find the annotation file of a folder; None if there is none. Raise DataError if there are several."""
    for name in ANNOTATION_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted([*folder.glob("instances*.json"), *folder.glob("annotations/instances*.json")])
    if len(found) > 1:
        raise DataError(
            f"{folder} holds several annotation files. Specify one of them: {quote_names(map(str, found))}."
        )
    return found[0] if found else None


def read_size(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return the height and width in an image's entry; 0 for a value that is not a positive number."""
    height, width = (entry.get(name) for name in ("height", "width"))
    return tuple(side if isinstance(side, int) and side > 0 else 0 for side in (height, width))  # type: ignore[return-value]


def load_coco(path: Path, source: str, how: ReadOptions) -> Coco:
    """Load an annotation file.

    The images are in the folder `images/` next to the file, or in the folder of the file; those of
    `annotations/instances_NAME.json` may be in `NAME/` next to `annotations/`.

    Raises:
        DataError: an entry is not valid; the message names the file and the entry.
    """
    data = _load(path, source)
    return Coco(source, data, _categories(data, source), _files(data, path, source, how))


def _load(path: Path, source: str) -> dict[str, Any]:
    data = read_json_file(path, source)
    found = list(data) if isinstance(data, dict) else []
    for name in _PARTS:
        if name not in found or not isinstance(data[name], list):
            raise DataError(
                f"{source}: no list {name!r}. Expected the COCO format, an object with the lists {quote_names(_PARTS)}. "
                f"Received: {quote_names(found)}."
            )
    return data


def _entries(data: dict[str, Any], part: str, needed: tuple[str, ...], source: str) -> Iterator[tuple[str, dict]]:
    """Yield the entries of one list, with the words that name each in messages."""
    for number, entry in enumerate(data[part], start=1):
        place = f"{source}, {part}, item {number}"
        if not isinstance(entry, dict):
            raise DataError(f"{place}: expected an object. Received: {str(entry)[:60]}.")
        if "id" in entry:
            place += f" (id {entry['id']})"
        for name in needed:
            if name not in entry:
                raise DataError(f"{place}: the entry has no {name!r}. It has {quote_names(entry)}.")
        yield place, entry


def _categories(data: dict[str, Any], source: str) -> dict[Any, str]:
    """Return category names by id, in the order of the ids."""
    names: dict[Any, str] = {}
    for place, entry in _entries(data, "categories", ("id", "name"), source):
        _add(names, entry["id"], str(entry["name"]), place)
    return dict(sorted(names.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _files(data: dict[str, Any], path: Path, source: str, how: ReadOptions) -> dict[Any, tuple[Path, str, dict]]:
    """Return for each image id its file, the words that name it in messages, and its entry."""
    entries: dict[Any, dict] = {}
    for place, entry in _entries(data, "images", ("id", "file_name"), source):
        _add(entries, entry["id"], entry, place)
    names = {key: str(entry["file_name"]) for key, entry in entries.items()}
    if not names:
        raise DataError(f"{source} has no images.")
    folder = _folder(path, list(names.values()), source)
    inside = FolderGuard(how, path.parent, folder)
    files = {}
    for key, name in names.items():
        place = f"{source}, image {name!r}"
        files[key] = inside(folder / name, place), place, entries[key]
    return files


def _folder(path: Path, names: list[str], source: str) -> Path:
    """Return the folder of the images. Single ones may be missing; this is reported when they are opened."""
    beside, part = path.parent, path.stem.rpartition("_")[2]
    places = [beside / "images", beside, beside.parent / part, beside.parent / "images"]
    for place in places:
        if any("\0" not in name and (place / name).is_file() for name in names):
            return place
    raise DataError(
        f"{source}: none of its {len(names)} images was found, such as {names[0]!r}. Searched in "
        f"{quote_names(map(str, places))}."
    )


def _add(entries: dict, key: Any, value: Any, place: str) -> None:
    if not isinstance(key, (int, str)):
        raise DataError(f"{place}: the id must be a number. Received: {str(key)[:60]}.")
    if key in entries:
        raise DataError(f"{place}: duplicate id. Ids must be unique.")
    entries[key] = value
