"""COCO's annotations: one json file of images, categories and annotations, with boxes and outlines.

Lin et al., 2014, arXiv:1405.0312; the format: https://cocodataset.org/#format-data.
"""

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
    """A file of annotations, with its ids looked up.

    Attributes:
        source: what the user called it.
        data: the whole file.
        categories: category id to name, in the order of the ids.
        files: image id to its file, the words that name it, and its entry; in the file's order.
    """

    source: str
    data: dict[str, Any]
    categories: dict[Any, str]
    files: dict[Any, tuple[Path, str, dict[str, Any]]]

    def annotations(self, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The annotations, with the words that name each. Raises DataError where one lacks what is needed."""
        return _entries(self.data, "annotations", needed, self.source)

    def known(self, entries: Mapping[Any, Any], key: Any, place: str, kind: str) -> Any:
        """What an annotation's id stands for. Raises DataError, which names `place`, where it stands for nothing."""
        if not isinstance(key, (int, str)) or key not in entries:
            raise DataError(f"{place}: there is no {kind} with the id {str(key)[:60]}.")
        return entries[key]


def find_coco(folder: Path) -> Path | None:
    """The folder's file of annotations, if there is one. DataError where there are several."""
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
    """The height and width that an entry of an image tells; 0 for what is no number above it."""
    height, width = (entry.get(name) for name in ("height", "width"))
    return tuple(side if isinstance(side, int) and side > 0 else 0 for side in (height, width))  # type: ignore[return-value]


def load_coco(path: Path, source: str, how: ReadOptions) -> Coco:
    """Reads a file of annotations.

    The images lie in `images/` beside the file, or beside it; those of `annotations/instances_NAME.json` may lie in
    `NAME/` beside `annotations/`.

    Raises:
        DataError: names the file, the entry and what is wrong with it.
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
    """The entries of one list, with the words that name each."""
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
    """Category id to name, in the order of the ids."""
    names: dict[Any, str] = {}
    for place, entry in _entries(data, "categories", ("id", "name"), source):
        _add(names, entry["id"], str(entry["name"]), place)
    return dict(sorted(names.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _files(data: dict[str, Any], path: Path, source: str, how: ReadOptions) -> dict[Any, tuple[Path, str, dict]]:
    """Image id to its file, the words that name it, and its entry."""
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
    """Where the images lie. Single ones may be missing; that is said when they are opened."""
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
