"""Folders in the form of YOLO: a text file of objects beside each image, in shares of its size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dlkit.columns import Column, Image
from dlkit.data.bytes import decode, read_text
from dlkit.data.listing import files_in
from dlkit.data.reading import Reading
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.object_detection.boxes import BoxedImage, box_table

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "classes.names", "obj.names")


def find_yolo(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels: in the folder, or `.../labels/train` for the folder `.../images/train`."""
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return folder / "images", folder / "labels"
    parts = folder.absolute().parts
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        labels = Path(*parts[:last], "labels", *parts[last + 1 :])
        if labels.is_dir():
            return folder, labels
    return None


def read_yolo(places: tuple[Path, Path], source: str, columns: Mapping[str, Column], how: Reading) -> Table:
    """One row an image, in sorted order. An image without a file of labels, or with an empty one, is a negative.

    A line is `class x_centre y_centre width height` in shares of the image; the outline of YOLO's segmentation, `class
    x y x y ...`, becomes the box around it. The classes' names stand in `data.yaml` or `classes.txt`, in the folder or
    one above; without them a class goes by its number. Files of labels without an image are passed over, and a
    remark counts them.

    Raises:
        DataError: names the file, the line and what is wrong with it.
    """
    images, labels = places
    names = _names([labels, images, *images.absolute().parents[:2]])
    files, _ = files_in(images, Image.suffixes)
    if not files:
        raise DataError(f"{source}: there are no images in {images}.")
    boxed, used = [], set()
    for file in files:
        row = BoxedImage(file, str(file))
        text = labels / file.relative_to(images).with_suffix(".txt")
        used.add(text)
        if text.is_file():
            _read_labels(text, names, row)
        boxed.append(row)
    alone = [file for file in files_in(labels, (".txt",))[0] if file not in used and file.name not in _LISTS]
    table = box_table(source, boxed, columns, how, tuple(names.values()), relative=True)
    if alone:
        table.remarks = [
            *table.remarks,
            f"passed over {len(alone)} files of labels without an image, {alone[0]} for one",
        ]
    return table


def _read_labels(file: Path, names: dict[int, str], row: BoxedImage) -> None:
    for number, line in enumerate(decode(file.read_bytes(), str(file)).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            class_id, *numbers = int(line.split()[0]), *map(float, line.split()[1:])
        except ValueError as error:
            raise DataError(f"{place}: expected a class number and numbers. Received: {line[:60]!r}.") from error
        if class_id < 0 or (names and class_id not in names):
            raise DataError(f"{place}: class {class_id} has no name; there are {len(names)}: {list(names.values())}.")
        row.add(_box(numbers, place), names.get(class_id, str(class_id)), place)


def _box(numbers: list[float], place: str) -> tuple[float, float, float, float]:
    if len(numbers) == 4:
        x, y, width, height = numbers
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(
            f"{place}: expected a class number and four numbers (x_centre, y_centre, width, height), or an outline of "
            f"three points or more. Received: {len(numbers)} numbers after the class."
        )
    xs, ys = numbers[0::2], numbers[1::2]
    return min(ys), min(xs), max(ys), max(xs)


def _names(folders: list[Path]) -> dict[int, str]:
    """Class number to name, from the first file of names there is; none without one."""
    for folder in folders:
        for name in _YAML:
            if (folder / name).is_file():
                return _from_yaml(folder / name)
        for name in _LISTS:
            if (folder / name).is_file():
                lines = read_text(folder / name, str(folder / name)).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def _from_yaml(path: Path) -> dict[int, str]:
    try:
        import yaml
    except ImportError as error:
        raise DataError(
            f"{path}: reading yaml needs PyYAML. Install it (pip install pyyaml), or write the names of the classes "
            f"into {path.with_name('classes.txt')}, one a line."
        ) from error
    try:
        data = yaml.safe_load(read_text(path, str(path)))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({' '.join(str(error).split())[:200]}).") from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        raise DataError(f"{path}: expected `names`, a list of the classes' names, or number: name. Received: {names}.")
    return {key: str(name) for key, name in sorted(names.items())}
