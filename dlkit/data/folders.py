"""Folders of files: a folder for each class, files alone, or files beside a table of their labels or annotations."""

from __future__ import annotations

import collections
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlkit.columns import Boxes, Column, Image, Label, Labels, Mask, Text
from dlkit.data.files import decode, read_file
from dlkit.data.match import quoted, wants
from dlkit.data.table import Table
from dlkit.errors import DataError

SUFFIXES = {Image: (".jpg", ".jpeg", ".png", ".bmp", ".gif"), Text: (".txt",)}
# Not .json: a folder downloaded with a description often brings a metadata.json that is no table of files.
_TABLES = tuple(
    f"{stem}{suffix}" for stem in ("labels", "metadata") for suffix in (".csv", ".tsv", ".jsonl", ".parquet")
)
IMAGES, MASKS = "images", "masks"  # the folders of a segmenter's training data
SPLITS = {"train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"}


def read_folder(path: Path, source: str, columns: dict[str, Column], rename: dict[str, str]) -> Table:
    """One row a file, in sorted order.

    With a label among the columns, the label is the folder on the first level: `cat/2019/x.jpg` is a cat.
    Without one, every file below counts; of `images/` beside `masks/`, the images. A table `labels` or `metadata`
    (csv, tsv, jsonl, parquet) in the folder goes before either; its column `image` or `file_name` holds the files'
    paths. Where boxes or masks are wanted, `read_annotated` reads a folder without a table. Hidden files are passed
    over. Files of other kinds are passed over too, and a warning counts them.
    """
    table = _table_in(path, source)
    if table is not None:
        also = {name: ("image", "file_name") for name, column in columns.items() if isinstance(column, Image)}
        return read_file(table, f"{source.rstrip('/')}/{table.name}", columns, rename, also=also)
    if wants(columns, Boxes) or wants(columns, Mask):
        from dlkit.data.annotated import read_annotated

        return read_annotated(path, source, columns)
    content, target = _roles(columns, source)
    suffixes = SUFFIXES[type(columns[content])]
    if target is None:
        beside_masks = suffixes is SUFFIXES[Image] and (path / IMAGES).is_dir() and (path / MASKS).is_dir()
        files, skipped = files_in(path / IMAGES if beside_masks else path, suffixes)
        if not files:
            raise DataError(f"{source} holds no {_kind(suffixes)}{_list_skipped(skipped)}.")
        labels = None
    else:
        files, labels, skipped = _classes(path, source, suffixes)
    if skipped:
        place = "" if target is None else " in class folders"
        message = f"{source}: passed over {count_files(skipped)}. Only {_kind(suffixes)}{place} are read."
        warnings.warn(message, stacklevel=5)  # where `read` was called
    values: dict[str, Any] = {content: files if suffixes is SUFFIXES[Image] else [_text(file) for file in files]}
    if target is not None and labels is not None:
        values[target] = labels
    return Table(source, values, lambda row: str(files[row]))


def _table_in(path: Path, source: str) -> Path | None:
    found = [path / name for name in _TABLES if (path / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{source} holds several tables: {quoted(table.name for table in found)}. Keep one of them.")
    return found[0] if found else None


def _roles(columns: dict[str, Column], source: str) -> tuple[str, str | None]:
    """The column that files fill and the one that class folders fill."""
    contents = [name for name, column in columns.items() if type(column) in SUFFIXES]
    targets = [name for name, column in columns.items() if isinstance(column, Label)]
    others = [name for name in columns if name not in (*contents, *targets)]
    if len(contents) != 1 or len(targets) > 1 or others:
        several = " A file in a class folder has one label, not several." if _any_labels(columns) else ""
        raise DataError(
            f"{source} is a folder, which holds one image or text a row and its class. Wanted: "
            f"{quoted(columns)}.{several} Put a table labels.csv with these columns and the files' names "
            "(image) into the folder."
        )
    return contents[0], targets[0] if targets else None


def _any_labels(columns: dict[str, Column]) -> bool:
    return any(isinstance(column, Labels) for column in columns.values())


def _classes(path: Path, source: str, suffixes: tuple[str, ...]) -> tuple[list[Path], list[str], collections.Counter]:
    kind, example = _kind(suffixes), f"{source.rstrip('/')}/CLASS/FILE{suffixes[0]}"
    folders = [entry for entry in entries_of(path) if entry.is_dir()]
    if not folders:
        direct, skipped = files_in(path, suffixes)
        state = f"{len(direct)} {kind}" if direct else f"no {kind}{_list_skipped(skipped)}"
        raise DataError(
            f"{source} has no class folders; it holds {state}. Expected a folder for each class: {example}, "
            "or a table labels.csv beside the files."
        )
    if {folder.name.lower() for folder in folders} <= SPLITS:
        raise DataError(
            f"{source} holds the splits {quoted(folder.name for folder in folders)}, not classes. Name one "
            f"of them: {source.rstrip('/')}/{folders[0].name}."
        )
    # Files beside the class folders have no label: they count as passed over, whatever their kind.
    skipped = collections.Counter(entry.suffix.lower() for entry in entries_of(path) if not entry.is_dir())
    files, labels = [], []
    for folder in folders:
        inside, others = files_in(folder, suffixes)
        skipped += others
        if not inside:
            raise DataError(
                f"the class folder {folder} holds no {kind}{_list_skipped(others)}. Expected {example}; "
                "fill it, or remove it."
            )
        files += inside
        labels += [folder.name] * len(inside)
    return files, labels, skipped


def files_in(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], collections.Counter]:
    """Files of the wanted kind at any depth, sorted, and how many there are of each other suffix."""
    files: list[Path] = []
    skipped: collections.Counter[str] = collections.Counter()
    for file in _walk(folder, set()):
        if file.suffix.lower() in suffixes:
            files.append(file)
        else:
            skipped[file.suffix.lower()] += 1
    return files, skipped


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:  # a link back up would give every file many times
        return
    seen.add(real)
    for entry in entries_of(folder):
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry


def entries_of(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}.") from error


def _text(file: Path) -> str:
    try:
        return decode(file.read_bytes(), str(file))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}.") from error


def _kind(suffixes: tuple[str, ...]) -> str:
    return f"{'images' if suffixes is SUFFIXES[Image] else 'texts'} ({', '.join(suffixes)})"


def _list_skipped(skipped: collections.Counter) -> str:
    return f", only {count_files(skipped)}" if skipped else ""


def count_files(skipped: collections.Counter) -> str:
    total = sum(skipped.values())
    counts = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in skipped.most_common(5))
    return f"{total} file{'' if total == 1 else 's'} ({counts}{', ...' if len(skipped) > 5 else ''})"
