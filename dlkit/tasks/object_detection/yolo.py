"""Folders in the form of YOLO: a text file of objects beside each image, in shares of its size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Image
from dlkit.data.bytes import decode_utf8, read_text
from dlkit.data.listing import list_files
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.tasks.object_detection.boxes import BoxedImage, box_table

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "classes.names", "obj.names")


def find_yolo(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels: in the folder, or `.../labels/train` for the folder `.../images/train`; or
    the folder itself, where labels lie beside images."""
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return folder / "images", folder / "labels"
    parts = folder.absolute().parts
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        labels = Path(*parts[:last], "labels", *parts[last + 1 :])
        if labels.is_dir():
            return folder, labels
    images = (file for file in list_files(folder, Image.suffixes)[0] if not file.with_suffix(".xml").is_file())
    return (folder, folder) if any(file.with_suffix(".txt").is_file() for file in images) else None


def read_yolo(places: tuple[Path, Path], source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """One row an image, in sorted order. An image without a file of labels, or with an empty one, is a negative.

    A line is `class x_centre y_centre width height` in shares of the image; the outline of YOLO's segmentation, `class
    x y x y ...`, becomes the box around it, and of a pose its box is taken. The classes' names stand in `data.yaml` or
    `classes.txt`, in the folder or one above; without them a class goes by its number. Files of labels without an image
    are passed over, and a remark counts them.

    Raises:
        DataError: names the file, the line and what is wrong with it.
    """
    images, labels = places
    names, pose = _names([labels, images, *images.absolute().parents[:2]])
    files, _ = list_files(images, Image.suffixes)
    if not files:
        raise DataError(f"{source}: there are no images in {images}.")
    boxed, used = [], set()
    for file in files:
        row = BoxedImage(file, str(file))
        text = labels / file.relative_to(images).with_suffix(".txt")
        used.add(text)
        if text.is_file():
            _read_labels(text, names, pose, row)
        boxed.append(row)
    alone = [file for file in list_files(labels, (".txt",))[0] if file not in used and file.name not in _LISTS]
    table = box_table(source, boxed, columns, how, tuple(names.values()), relative=True)
    if alone:
        table.remarks = [
            *table.remarks,
            f"skipped {len(alone)} label files without an image, such as {alone[0]}",
        ]
    return table


def _read_labels(file: Path, names: dict[int, str], pose: int, row: BoxedImage) -> None:
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            class_id, *numbers = int(line.split()[0]), *map(float, line.split()[1:])
        except (ValueError, OverflowError) as error:
            raise DataError(f"{place}: expected a class number and numbers. Received: {line[:60]!r}.") from error
        if class_id < 0 or (names and class_id not in names):
            raise DataError(f"{place}: class {class_id} has no name; there are {len(names)}: {list(names.values())}.")
        row.add(_box(numbers, pose, place), names.get(class_id, str(class_id)), place)


def _lines(file: Path) -> list[str]:
    with as_data_error(file):
        return decode_utf8(file.read_bytes(), str(file)).splitlines()


def _box(numbers: list[float], pose: int, place: str) -> tuple[float, float, float, float]:
    """ymin, xmin, ymax, xmax; `pose` is how many numbers of points follow a box, where `data.yaml` says so."""
    if len(numbers) == 4 + pose or _is_pose(numbers):
        numbers = numbers[:4]
    if any(abs(number - 0.5) > 0.5 + _BEYOND for number in numbers):
        raise DataError(
            f"{place}: YOLO coordinates must be relative to the image size, between 0 and 1. Received: "
            f"{', '.join(f'{number:g}' for number in numbers[:6])}. Divide pixels by the width and height."
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(
            f"{place}: expected a class number and four numbers (x_center, y_center, width, height), or a polygon "
            f"of three or more points. Received: {len(numbers)} numbers after the class."
        )
    xs, ys = numbers[0::2], numbers[1::2]
    return min(ys), min(xs), max(ys), max(xs)


_BEYOND = 1.0  # outlines and boxes may reach beyond the image a little


def _is_pose(numbers: list[float]) -> bool:
    """Whether a box is followed by points (x, y, visible): the third number of each is 0, 1 or 2, and once 2, or the
    numbers are no outline's."""
    seen = numbers[6::3]
    if len(numbers) < 7 or (len(numbers) - 4) % 3 or any(number not in (0, 1, 2) for number in seen):
        return False
    return 2 in seen or len(numbers) % 2 == 1


def explain_yaml(path: Path, source: str) -> DataError:
    """What is said of `data.yaml` itself, which names the data of training and of validation at once."""
    data = _yaml(path)
    splits = {name: data[name] for name in ("train", "val", "valid", "test") if isinstance(data.get(name), str)}
    root = path.parent / str(data.get("path") or "")
    places = {name: _place(root, path.parent, folder) for name, folder in splits.items()}
    listed = ", ".join(f"{name}: {place}" for name, place in places.items()) or "none"
    return DataError(
        f"{source} names several splits, {listed}. Give the folder of one: that of `train` as {option('data')}, "
        f"that of `val` as {option('validation')}."
    )


def _place(root: Path, beside: Path, folder: str) -> Path:
    """Where a part lies; Roboflow's paths begin a folder too high."""
    candidates = [root / folder, beside / folder, beside / folder.removeprefix("../")]
    return next((place for place in candidates if place.exists()), candidates[0])


def _names(folders: list[Path]) -> tuple[dict[int, str], int]:
    """Class number to name, from the first file of names there is, none without one; and how many numbers of points
    follow a box."""
    for folder in folders:
        for name in _YAML:
            if (folder / name).is_file():
                return _from_yaml(folder / name)
        for name in _LISTS:
            if (folder / name).is_file():
                lines = read_text(folder / name, str(folder / name)).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip())), 0
    return {}, 0


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise DataError(
            f"{path}: reading yaml needs PyYAML. Install it (pip install pyyaml), or write the names of the classes "
            f"into {path.with_name('classes.txt')}, one per line."
        ) from error
    text = read_text(path, str(path))
    with as_data_error(path, "YAML"):
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is not None and _size(root, {}) > _MOST_VALUES:
                raise DataError(
                    f"{path}: its aliases (*name) expand to more than {_MOST_VALUES} values, or to themselves. "
                    "Write out the values."
                )
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    return data if isinstance(data, dict) else {}


_MOST_VALUES = 1_000_000


def _size(node: Any, known: dict[int, float]) -> float:
    """How many values a node of YAML stands for, what its aliases stand for counted each time."""
    if id(node) not in known:
        known[id(node)] = math.inf  # as it is met again inside itself
        inside = node.value if isinstance(node.value, list) else []
        pairs = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in pairs)
    return known[id(node)]


def _from_yaml(path: Path) -> tuple[dict[int, str], int]:
    data = _yaml(path)
    names, points = data.get("names"), data.get("kpt_shape") or [0, 0]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(
        isinstance(key, int) and not isinstance(name, (dict, list)) for key, name in names.items()
    ):
        raise DataError(
            f"{path}: expected `names`, a list of the classes' names, or number: name. Received: {str(names)[:100]}."
        )
    if not isinstance(points, list) or not all(isinstance(number, int) and 0 <= number < 1000 for number in points):
        raise DataError(
            f"{path}: `kpt_shape` must be the number of points and the values per point, such as [17, 3]. Received: "
            f"{str(points)[:60]}."
        )
    return {key: str(name) for key, name in sorted(names.items())}, math.prod(points)
