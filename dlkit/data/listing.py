"""What a folder holds: its files by kind, and its entries."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlkit.data.match import quote_names
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error

FILE_KINDS = {"images", "masks", "labels"}  # folders of one kind of files
_TRAINING = ("train", "training")
SPLITS = {"train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"}


def list_files(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], collections.Counter]:
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
    for entry in list_entries(folder):
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry


def list_entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, less what is hidden. Raises DataError."""
    with as_data_error(f"the folder {folder}"):
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def refuse_splits(path: Path, source: str) -> None:
    """Raises DataError for a folder that holds nothing but the splits of a data set."""
    folders = [entry for entry in list_entries(path) if entry.is_dir()]
    if folders and {folder.name.lower() for folder in folders} <= SPLITS:
        raise DataError(
            f"{source} holds the splits {quote_names(folder.name for folder in folders)}. {suggest_split(folders)}"
        )


def suggest_split(folders: Sequence[Path]) -> str:
    """A sentence that asks for one of the splits: the one to train on, and never that of the test."""
    training = [folder for folder in folders if folder.name.lower() in _TRAINING]
    return f"Specify one of them: {training[0]}." if training else "Specify the one to use."


def describe_counts(skipped: collections.Counter) -> str:
    """How many files there are of each suffix, in words."""
    total = sum(skipped.values())
    counts = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in skipped.most_common(5))
    return f"{total} file{'' if total == 1 else 's'} ({counts}{', ...' if len(skipped) > 5 else ''})"
