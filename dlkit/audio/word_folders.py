"""Folders of spoken words, `yes/1.wav`, with lists of the files to validate and test on: Speech Commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dlkit.audio.columns import Audio
from dlkit.audio.corpora import build_clip_table
from dlkit.columns import Column
from dlkit.data.bytes import read_text
from dlkit.data.listing import list_entries, list_files
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table

LISTS = ("testing_list.txt", "validation_list.txt")
NOISE_FOLDER = "_background_noise_"


def read_word_folders(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
    """Read the training part of Speech Commands: what its lists do not name; None for a folder without lists.

    Source: Warden, Speech Commands, 2018, arXiv:1804.03209.
    """
    lists = [path / name for name in LISTS if (path / name).is_file()]
    if not lists:
        return None
    listed = {line.strip() for file in lists for line in read_text(file, str(file)).splitlines()}
    clips, held_out = [], 0
    for folder in list_entries(path):
        if not folder.is_dir() or folder.name == NOISE_FOLDER:
            continue
        for file in list_files(folder, Audio.suffixes)[0]:
            if file.relative_to(path).as_posix() in listed:
                held_out += 1
            else:
                clips.append((file, folder.name, str(file)))
    table = build_clip_table(clips, [], source, columns, how, path)
    names, verb = " and ".join(file.name for file in lists), "list" if len(lists) > 1 else "lists"
    remark = (
        f"{held_out} of {held_out + len(clips)} recordings are left out, because {names} {verb} them: use the lists as "
        "test and validation data"
    )
    noise = [f"the folder {NOISE_FOLDER} is no class and is left out"] if (path / NOISE_FOLDER).is_dir() else []
    table.remarks = [*table.remarks, remark, *noise]
    return table


def is_file_list(path: Path) -> bool:
    """Return whether a file is a list of recordings in folders of words, which lie beside it."""
    return path.name in LISTS


def read_file_list(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read the recordings that a list names, such as `bed/0c40e715_nohash_0.wav`; their folders are the labels."""
    lines = [line.strip() for line in read_text(path, source).splitlines() if line.strip()]
    clips = [
        (path.parent / line, Path(line).parent.name, f"{source}, line {number}")
        for number, line in enumerate(lines, start=1)
    ]
    return build_clip_table(clips, [], source, columns, how, path.parent)
