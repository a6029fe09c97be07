"""Folders of files: one folder per class, files only, or files with a table of labels or annotations."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Image, Label, Labels
from dlkit.data.files import read_file
from dlkit.data.listing import FILE_KINDS, SPLITS, describe_counts, list_entries, list_files, suggest_split
from dlkit.data.match import quote_names
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.errors import DataError

# Not .json: a folder downloaded with a description often brings a metadata.json that is no table of files.
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz")
_TABLES = tuple(f"{stem}{suffix}" for stem in ("labels", "metadata") for suffix in _SUFFIXES)


def read_folder(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a folder: one row per file, in sorted order.

    With a label among the columns, the folder on the first level is the label: `cat/2019/x.jpg` is a cat; an optional
    label may lack such folders. Without one, every file at any depth is read; with `images/` next to `masks/`, the
    images. A table `labels` or `metadata` (csv, tsv, jsonl, parquet) in the folder takes precedence; its column `image`
    or `file_name` holds the paths of the files. A folder without a table is first offered to the readers of the
    columns. Hidden files are skipped; files of other kinds and unreadable texts are skipped with a remark.
    """
    table = _table_in(path, source)
    if table is not None:
        alternatives = {name: ("image", "file_name") for name, column in columns.items() if isinstance(column, Image)}
        return read_file(table, f"{source.rstrip('/')}/{table.name}", columns, how, alternatives=alternatives)
    for reader in readers_of(columns):
        result = reader.folder(path, source, columns, how)
        if result is not None:
            return result
    content, target = _assign_columns(columns, source)
    if target is not None and columns[target].optional and not any(entry.is_dir() for entry in list_entries(path)):
        target = None
    column = columns[content]
    labels: list[str] | None = None
    if target is None:
        has_masks = isinstance(column, Image) and (path / "images").is_dir() and (path / "masks").is_dir()
        files, skipped = list_files(path / "images" if has_masks else path, column.suffixes)
        if not files:
            raise DataError(f"{source} holds no {_describe_kind(column)}{_list_skipped(skipped)}.")
    else:
        files, labels, skipped = _read_classes(path, source, column)
    remarks = []
    if skipped:
        where_read = "" if target is None else " in class folders"
        remarks.append(f"skipped {describe_counts(skipped)}. Only {_describe_kind(column)}{where_read} are read")
    read, reasons = [], []
    for row, file in enumerate(files):
        try:
            read.append((row, column.from_file(file)))
        except DataError as error:
            reasons.append(str(error))
    if not read:
        raise DataError(f"{source}: none of its {len(files)} files can be read. The first: {reasons[0]}")
    remarks += report_skipped(reasons, len(files), "files", how.strict)
    values: dict[str, Any] = {content: [value for _, value in read]}
    if target is not None and labels is not None:
        values[target] = [labels[row] for row, _ in read]
    return Table(source, values, lambda row: str(files[read[row][0]]), remarks=remarks)


def _table_in(path: Path, source: str) -> Path | None:
    found = [path / name for name in _TABLES if (path / name).is_file()]
    if len(found) > 1:
        raise DataError(
            f"{source} holds several tables: {quote_names(table.name for table in found)}. Keep one of them."
        )
    return found[0] if found else None


def _assign_columns(columns: Mapping[str, Column], source: str) -> tuple[str, str | None]:
    """Return the column that files fill and the one that class folders fill."""
    contents = [name for name, column in columns.items() if column.suffixes]
    targets = [name for name, column in columns.items() if isinstance(column, Label)]
    others = [name for name, column in columns.items() if name not in (*contents, *targets) and not column.optional]
    if len(contents) != 1 or len(targets) > 1 or others:
        several = " A file in a class folder has a single label." if _any_labels(columns) else ""
        raise DataError(
            f"{source} is a folder, which provides one image or text per row and its class. Required: "
            f"{quote_names(columns)}.{several} Add a table labels.csv with these columns and the file names (image) to "
            "the folder."
        )
    return contents[0], targets[0] if targets else None


def _any_labels(columns: Mapping[str, Column]) -> bool:
    return any(isinstance(column, Labels) for column in columns.values())


def _read_classes(path: Path, source: str, column: Column) -> tuple[list[Path], list[str], collections.Counter]:
    suffixes = column.suffixes
    kind, example = _describe_kind(column), f"{source.rstrip('/')}/CLASS/FILE{suffixes[0]}"
    folders = [entry for entry in list_entries(path) if entry.is_dir()]
    if not folders:
        direct, skipped = list_files(path, suffixes)
        state = f"{len(direct)} {kind}" if direct else f"no {kind}{_list_skipped(skipped)}"
        raise DataError(
            f"{source} has no class folders; it contains {state}. Expected one folder per class: {example}, or a "
            "table labels.csv next to the files."
        )
    named = [folder for folder in folders if folder.name.lower() in SPLITS | FILE_KINDS]
    if named:
        splits = [folder for folder in named if folder.name.lower() in SPLITS]
        kind = "splits" if splits else "kinds of files"
        hint = suggest_split([Path(source) / folder.name for folder in splits]) if splits else f"Expected {example}."
        raise DataError(
            f"{source} holds {kind}, not classes: {quote_names(folder.name for folder in named)} among "
            f"{quote_names(folder.name for folder in folders)}. {hint} If it is a class, rename it, or list the "
            "files in a table labels.csv."
        )
    # Files beside the class folders have no label: they count as passed over, whatever their kind.
    skipped = collections.Counter(entry.suffix.lower() for entry in list_entries(path) if not entry.is_dir())
    files, labels = [], []
    for folder in folders:
        inside, others = list_files(folder, suffixes)
        skipped += others
        if not inside:
            raise DataError(
                f"the class folder {folder} holds no {kind}{_list_skipped(others)}. Expected {example}; add some, "
                "or remove the folder."
            )
        files += inside
        labels += [folder.name] * len(inside)
    return files, labels, skipped


def _describe_kind(column: Column) -> str:
    return f"{column.kind}s ({', '.join(column.suffixes)})"


def _list_skipped(skipped: collections.Counter) -> str:
    return f", only {describe_counts(skipped)}" if skipped else ""
