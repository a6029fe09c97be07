"""Folders in the format of YOLO: a text file for each image, with boxes relative to its size."""

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
from dlkit.tasks.object_detection.boxes import AnnotatedImage, build_box_table

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASS_LISTS = ("classes.txt", "classes.names", "obj.names")


def find_yolo(folder: Path) -> tuple[Path, Path] | None:
    """Find the folders of images and labels.

    Args:
        folder: folder with `images/` and `labels/`; or `.../images/train`, with labels in `.../labels/train`; or a
            folder with label files next to images.

    Returns:
        The two folders, or None.
    """
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


def read_yolo(folders: tuple[Path, Path], source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read folders of images and labels into a table with one row per image, sorted by name.

    A line is `class x_center y_center width height`, relative to the image size. A polygon of YOLO's segmentation
    format, `class x y x y ...`, becomes its bounding box; keypoints of a pose are ignored. Class names are read from
    `data.yaml` or `classes.txt`, in the folder or above it; without them, classes are named by their numbers. Images
    without a label file, or with an empty one, are images without objects. Label files without an image are skipped and
    counted.

    Args:
        folders: folder of images, and folder of labels.
        source: name of the source in messages.
        columns: columns to read.
        how: options of reading.

    Returns:
        The table, with the class names.

    Raises:
        DataError: a line is not valid; names the file and the line.
    """
    images, labels = folders
    names, num_pose_values = _read_class_names([labels, images, *images.absolute().parents[:2]])
    files, _ = list_files(images, Image.suffixes)
    if not files:
        raise DataError(f"{source}: there are no images in {images}.")
    annotated, used = [], set()
    for file in files:
        row = AnnotatedImage(file, str(file))
        text = labels / file.relative_to(images).with_suffix(".txt")
        used.add(text)
        if text.is_file():
            _read_labels(text, names, num_pose_values, row)
        annotated.append(row)
    unused = [file for file in list_files(labels, (".txt",))[0] if file not in used and file.name not in _CLASS_LISTS]
    table = build_box_table(source, annotated, columns, how, tuple(names.values()), relative=True)
    if unused:
        table.remarks = [
            *table.remarks,
            f"skipped {len(unused)} label files without an image, such as {unused[0]}",
        ]
    return table


def _read_labels(file: Path, names: dict[int, str], num_pose_values: int, row: AnnotatedImage) -> None:
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        location = f"{file}, line {number}"
        try:
            class_id, *numbers = int(line.split()[0]), *map(float, line.split()[1:])
        except (ValueError, OverflowError) as error:
            raise DataError(f"{location}: expected a class number and numbers. Received: {line[:60]!r}.") from error
        if class_id < 0 or (names and class_id not in names):
            raise DataError(
                f"{location}: class {class_id} has no name; there are {len(names)}: {list(names.values())}."
            )
        row.add(_parse_box(numbers, num_pose_values, location), names.get(class_id, str(class_id)), location)


def _lines(file: Path) -> list[str]:
    with as_data_error(file):
        return decode_utf8(file.read_bytes(), str(file)).splitlines()


def _parse_box(numbers: list[float], num_pose_values: int, location: str) -> tuple[float, float, float, float]:
    """Parse numbers to ymin, xmin, ymax, xmax; `num_pose_values` numbers of keypoints may follow a box."""
    if len(numbers) == 4 + num_pose_values or _is_pose(numbers):
        numbers = numbers[:4]
    if any(abs(number - 0.5) > 0.5 + _MAX_OUTSIDE for number in numbers):
        raise DataError(
            f"{location}: YOLO coordinates must be relative to the image size, between 0 and 1. Received: "
            f"{', '.join(f'{number:g}' for number in numbers[:6])}. Divide pixels by the width and height."
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(
            f"{location}: expected a class number and four numbers (x_center, y_center, width, height), or a polygon "
            f"of three or more points. Received: {len(numbers)} numbers after the class."
        )
    xs, ys = numbers[0::2], numbers[1::2]
    return min(ys), min(xs), max(ys), max(xs)


_MAX_OUTSIDE = 1.0  # how far coordinates may lie outside of [0, 1]


def _is_pose(numbers: list[float]) -> bool:
    """Return whether keypoints (x, y, visibility) follow the box.

    The third number of each must be 0, 1 or 2; and at least one is 2, or the numbers cannot be a polygon.
    """
    visibility = numbers[6::3]
    if len(numbers) < 7 or (len(numbers) - 4) % 3 or any(number not in (0, 1, 2) for number in visibility):
        return False
    return 2 in visibility or len(numbers) % 2 == 1


def explain_yaml(path: Path, source: str) -> DataError:
    """Explain that `data.yaml` names several splits, and which folders they are.

    Args:
        path: path of the yaml file.
        source: name of the source in messages.

    Returns:
        The error to raise.
    """
    data = _load_yaml(path)
    splits = {name: data[name] for name in ("train", "val", "valid", "test") if isinstance(data.get(name), str)}
    root = path.parent / str(data.get("path") or "")
    folders = {name: _split_folder(root, path.parent, folder) for name, folder in splits.items()}
    listed = ", ".join(f"{name}: {folder}" for name, folder in folders.items()) or "none"
    return DataError(
        f"{source} names several splits, {listed}. Give the folder of one: that of `train` as {option('data')}, "
        f"that of `val` as {option('validation')}."
    )


def _split_folder(root: Path, yaml_folder: Path, folder: str) -> Path:
    """Resolve the folder of a split; the paths of Roboflow start one folder too high."""
    candidates = [root / folder, yaml_folder / folder, yaml_folder / folder.removeprefix("../")]
    return next((path for path in candidates if path.exists()), candidates[0])


def _read_class_names(folders: list[Path]) -> tuple[dict[int, str], int]:
    """Read class names by number from the first file that has them, and the number of keypoint values after a box."""
    for folder in folders:
        for name in _YAML:
            if (folder / name).is_file():
                return _class_names_from_yaml(folder / name)
        for name in _CLASS_LISTS:
            if (folder / name).is_file():
                lines = read_text(folder / name, str(folder / name)).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip())), 0
    return {}, 0


def _load_yaml(path: Path) -> dict[str, Any]:
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
            if root is not None and _count_yaml_values(root, {}) > _MAX_YAML_VALUES:
                raise DataError(
                    f"{path}: its aliases (*name) expand to more than {_MAX_YAML_VALUES} values, or to themselves. "
                    "Write out the values."
                )
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    return data if isinstance(data, dict) else {}


_MAX_YAML_VALUES = 1_000_000


def _count_yaml_values(node: Any, counted: dict[int, float]) -> float:
    """Count the values of a YAML node, with aliases expanded."""
    if id(node) not in counted:
        counted[id(node)] = math.inf  # if it contains itself
        inside = node.value if isinstance(node.value, list) else []
        pairs = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        counted[id(node)] = 1 + sum(_count_yaml_values(part, counted) for part in pairs)
    return counted[id(node)]


def _class_names_from_yaml(path: Path) -> tuple[dict[int, str], int]:
    data = _load_yaml(path)
    names, keypoint_shape = data.get("names"), data.get("kpt_shape") or [0, 0]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(
        isinstance(key, int) and not isinstance(name, (dict, list)) for key, name in names.items()
    ):
        raise DataError(
            f"{path}: expected `names`, a list of the classes' names, or number: name. Received: {str(names)[:100]}."
        )
    if not isinstance(keypoint_shape, list) or not all(
        isinstance(number, int) and 0 <= number < 1000 for number in keypoint_shape
    ):
        raise DataError(
            f"{path}: `kpt_shape` must be the number of points and the values per point, such as [17, 3]. Received: "
            f"{str(keypoint_shape)[:60]}."
        )
    return {key: str(name) for key, name in sorted(names.items())}, math.prod(keypoint_shape)
