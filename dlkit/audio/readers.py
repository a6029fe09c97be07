"""Reading of data sets of recordings: tables with parts of recordings, and the layouts of speech corpora."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.audio.corpora import (
    KALDI_RECORDINGS,
    LAYOUTS,
    find_librispeech,
    is_ljspeech,
    read_kaldi,
    read_librispeech,
    read_ljspeech,
    read_texts_beside,
    refuse_corpus_splits,
)
from dlkit.audio.segment import Segment
from dlkit.audio.word_folders import is_file_list, read_file_list, read_word_folders
from dlkit.columns import Column, Label, Text, is_missing_number
from dlkit.data.bytes import file_type
from dlkit.data.files import TABLE_SUFFIXES, read_file
from dlkit.data.listing import list_entries
from dlkit.data.match import quote_names, wants_kind
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError

OFFSET, DURATION = "offset", "duration"  # columns with the part of a recording, in seconds, as in manifests of NeMo
_OFFSET_COLUMN, _DURATION_COLUMN = "_offset", "_duration"  # under which they are read


class AudioReader(Reader):
    """Reads data sets of recordings."""

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read a corpus in one of the known layouts; None for a folder of recordings, or of folders of words."""
        wants_text = wants_kind(columns, Text)
        if (path / KALDI_RECORDINGS).is_file():
            return read_kaldi(path, source, columns, how)
        if not wants_text:
            return read_word_folders(path, source, columns, how) if wants_kind(columns, Label) else None
        refuse_corpus_splits(path, source)
        tables = [entry for entry in list_entries(path) if file_type(entry) in TABLE_SUFFIXES]
        if len(tables) > 1:
            raise DataError(
                f"{source} holds several tables: {quote_names(table.name for table in tables)}. Specify one of them, "
                f"such as {tables[0]}."
            )
        if tables:
            return read_file(tables[0], f"{source.rstrip('/')}/{tables[0].name}", columns, how)
        transcripts = find_librispeech(path)
        if transcripts:
            return read_librispeech(transcripts, path, source, columns, how)
        table = read_texts_beside(path, source, columns, how)
        if table is None:
            names = quote_names(entry.name for entry in list_entries(path))
            raise DataError(f"{source}: no texts of recordings found. Expected {LAYOUTS}. It holds {names}.")
        return table

    def header(self, path: Path, source: str) -> list[str] | None:
        """Return no names for the table of LJSpeech and lists of files, which have none; None for another file."""
        return [] if is_ljspeech(path) or is_file_list(path) else None

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read the table of LJSpeech, or a list of files in folders of words; None for another file."""
        if is_ljspeech(path) and not how.delimiter:
            return read_ljspeech(path, source, columns, how)
        return read_file_list(path, source, columns, how) if is_file_list(path) and not how.delimiter else None

    def extra_columns(self, columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
        """Return the columns that tell which part of a recording a row is, if there are some."""
        if not wants_kind(columns, Audio) or OFFSET not in found or OFFSET in columns:
            return {}
        return {_OFFSET_COLUMN: OFFSET, **({_DURATION_COLUMN: DURATION} if DURATION in found else {})}

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        """Replace recordings by their parts, where a table tells them."""
        if _OFFSET_COLUMN not in table.columns:
            return table
        values = dict(table.columns)
        offsets = values.pop(_OFFSET_COLUMN)
        durations = values.pop(_DURATION_COLUMN, [None] * len(offsets))
        name = next(name for name, column in columns.items() if isinstance(column, Audio))
        values[name] = [
            _part(clip, offset, duration, table.where(row))
            for row, (clip, offset, duration) in enumerate(zip(values[name], offsets, durations, strict=True))
        ]
        return dataclasses.replace(table, columns=values)

    def feature_values(
        self, tfds: Any, leaf: Any, column: Column, examples: list[dict[str, Any]], image: Any, source: str
    ) -> list[Any] | None:
        """Return samples of a TFDS data set with their rate."""
        if not isinstance(column, Audio):
            return None
        rate = getattr(leaf.feature, "sample_rate", None)
        if not rate:
            raise DataError(f"{source}: the feature {leaf.key!r} states no sample rate. Received: {leaf.feature}.")
        return [(_full_range(leaf.value_in(example)), rate) for example in examples]


reader = AudioReader()


def _part(clip: Any, offset: Any, duration: Any, place: str) -> Any:
    """Return the part of a recording that starts at an offset, in seconds; the whole of it if there is none."""
    try:
        start = 0.0 if is_missing_number(offset) else float(offset)
        seconds = None if is_missing_number(duration) else float(duration)
    except ValueError:
        raise DataError(
            f"{place}: expected seconds as offset and duration. Received: {offset!r}, {duration!r}."
        ) from None
    if not start and seconds is None:
        return clip
    if not isinstance(clip, Path):
        raise DataError(f"{place}: an offset needs a recording in a file. Received: {type(clip).__name__}.")
    return Segment(clip, start, seconds)


def _full_range(samples: np.ndarray) -> np.ndarray:
    """Return samples of TFDS, which are int64 with the values of 16 bits, in a type of full range."""
    if samples.dtype == np.int64:
        fits = samples.size == 0 or np.abs(samples).max() <= 2**15
        return samples.astype(np.int16) if fits else (samples / 2.0**31).astype(np.float32)
    return samples
