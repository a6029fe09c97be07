"""Folders of recordings with texts, as data sets for speech recognition are laid out."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlkit.audio.columns import Audio
from dlkit.audio.segment import Segment, find_clip
from dlkit.columns import Column, Label, Text
from dlkit.data.bytes import read_text
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.listing import SPLITS, describe_counts, list_entries, list_files, suggest_split
from dlkit.data.match import match_kinds, quote_names
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.table import Table
from dlkit.errors import DataError

LJSPEECH_TABLE, LJSPEECH_CLIPS = "metadata.csv", "wavs"
KALDI_RECORDINGS, KALDI_TEXTS, KALDI_SEGMENTS = "wav.scp", "text", "segments"
LIBRISPEECH_SUFFIX = ".trans.txt"
TEXT_SUFFIXES = (".txt", ".lab")  # of a text beside its recording
Clip = tuple[Path | Segment, str, str]
"""A recording, what is said in it, and where that is written."""


def is_ljspeech(path: Path) -> bool:
    """Return whether a file is the table of LJSpeech: lines of an id and texts, separated by `|`, beside `wavs/`."""
    if path.name != LJSPEECH_TABLE or not (path.parent / LJSPEECH_CLIPS).is_dir():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().count("|") in (1, 2)


def read_ljspeech(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read LJSpeech's `metadata.csv`: id, text, and the text with numbers and abbreviations in words, which is used.

    Source: Ito and Johnson, The LJ Speech Dataset, 2017, https://keithito.com/LJ-Speech-Dataset/.
    """
    clips, wrong = list[Clip](), list[str]()
    for place, line in _lines(path, source):
        fields = line.split("|")
        if len(fields) < 2:
            wrong.append(f"{place}: expected id|text|normalized text")
            continue
        clips.append(
            (find_clip(path.parent / LJSPEECH_CLIPS, fields[0].strip(), Audio.suffixes), fields[-1].strip(), place)
        )
    return build_clip_table(clips, wrong, source, columns, how, path.parent)


def find_librispeech(path: Path) -> list[Path]:
    """Return the files of transcripts, `84-121123.trans.txt`, at any depth, sorted."""
    return [file for file in list_files(path, (".txt",))[0] if file.name.endswith(LIBRISPEECH_SUFFIX)]


def read_librispeech(
    files: Sequence[Path], path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions
) -> Table:
    """Read LibriSpeech: lines of an id and a text, with recordings of these names next to their file.

    Source: Panayotov et al., LibriSpeech, ICASSP 2015, https://www.openslr.org/12.
    """
    clips: list[Clip] = []
    for file in files:
        for place, line in _lines(file, str(file)):
            name, _, text = line.strip().partition(" ")
            clips.append((find_clip(file.parent, name, Audio.suffixes), text.strip(), place))
    return build_clip_table(clips, [], source, columns, how, path)


def read_kaldi(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a data folder of Kaldi: `wav.scp`, `text` (which predictions do not need) and, if there is one, `segments`.

    Relative paths start from the folder. Commands, which Kaldi runs for lines that end in `|`, are not run.

    Source: https://kaldi-asr.org/doc/data_prep.html.

    Raises:
        DataError: `wav.scp` contains commands or archives, or a recording of `segments` is missing.
    """
    recordings = {}
    for place, line in _lines(path / KALDI_RECORDINGS, f"{source}/{KALDI_RECORDINGS}"):
        name, _, file = line.strip().partition(" ")
        file = file.strip()
        if file.endswith("|") or file.startswith("|") or not file or ".ark:" in file:
            raise DataError(
                f"{place}: expected the path of a file. Received: {file[:80]!r}. Commands are not run, and archives "
                "not read. Write the recordings to files, for example with: wav-copy scp:wav.scp ark,scp:..., or sox."
            )
        recordings[name] = path / file
    texts = _read_kaldi_texts(path, source)
    parts = _read_kaldi_segments(path, source, recordings)
    wants_text = any(isinstance(column, (Text, Label)) for column in columns.values())
    clips: list[Clip] = [
        (part, texts.get(name, ""), f"{source}, {name}")
        for name, part in parts.items()
        if name in texts or not wants_text
    ]
    wrong = [f"{source}, {name}: no line in `text`" for name in parts if wants_text and name not in texts]
    wrong += [f"{source}/{KALDI_TEXTS}, {name}: no recording" for name in texts if name not in parts]
    return build_clip_table(clips, wrong, source, columns, how, path)


def _read_kaldi_texts(path: Path, source: str) -> dict[str, str]:
    if not (path / KALDI_TEXTS).is_file():
        return {}
    lines = (line.strip().partition(" ") for _, line in _lines(path / KALDI_TEXTS, f"{source}/{KALDI_TEXTS}"))
    return {name: text.strip() for name, _, text in lines}


def _read_kaldi_segments(path: Path, source: str, recordings: Mapping[str, Path]) -> dict[str, Path | Segment]:
    """Return the recording, or the part of one, of each utterance."""
    if not (path / KALDI_SEGMENTS).is_file():
        return dict(recordings)
    parts: dict[str, Path | Segment] = {}
    for place, line in _lines(path / KALDI_SEGMENTS, f"{source}/{KALDI_SEGMENTS}"):
        fields = line.split()
        try:
            name, recording, start, end = fields[0], fields[1], float(fields[2]), float(fields[3])
        except (IndexError, ValueError):
            raise DataError(f"{place}: expected utterance, recording, start, end. Received: {line[:80]!r}.") from None
        if recording not in recordings:
            raise DataError(f"{place}: the recording {recording!r} is not in {KALDI_RECORDINGS}.")
        parts[name] = Segment(recordings[recording], start, None if end < 0 else end - start)
    return parts


def read_texts_beside(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
    """Read recordings with a text file of the same name next to each: `a.wav` and `a.txt`; None if there is none."""
    files, others = list_files(path, Audio.suffixes)
    texts = {file: _text_beside(file) for file in files}
    if not any(texts.values()):
        return None
    clips = [(file, read_text(text, str(text)), str(file)) for file, text in texts.items() if text]
    wrong = [f"{file}: no text next to it" for file, text in texts.items() if not text]
    table = build_clip_table(clips, wrong, source, columns, how, path)
    unused = collections.Counter({suffix: count for suffix, count in others.items() if suffix not in TEXT_SUFFIXES})
    table.remarks = [*table.remarks, *([f"skipped {describe_counts(unused)}"] if unused else [])]
    return table


def _text_beside(file: Path) -> Path | None:
    texts = (file.with_suffix(suffix) for suffix in TEXT_SUFFIXES)
    return next((text for text in texts if text.is_file() and text.stat().st_size), None)


def refuse_corpus_splits(path: Path, source: str) -> None:
    """Raise DataError for a folder that holds splits, such as `train-clean-100/` and `test-clean/`."""
    folders = [entry for entry in list_entries(path) if entry.is_dir()]
    splits = [folder for folder in folders if folder.name.lower().replace("_", "-").partition("-")[0] in SPLITS]
    if len(splits) > 1:
        names = quote_names(folder.name for folder in splits)
        raise DataError(f"{source} holds the splits {names}. {suggest_split(splits)}")


def build_clip_table(
    clips: Sequence[Clip],
    wrong: Sequence[str],
    source: str,
    columns: Mapping[str, Column],
    how: ReadOptions,
    folder: Path,
) -> Table:
    """Build a table of recordings with their texts, which fill the columns by their kind.

    Args:
        clips: recordings whose text was found. Those whose file is missing are skipped.
        wrong: where further records are, and what is wrong with them: they are skipped.
        source: name of the source in messages.
        columns: wanted columns.
        how: options of reading.
        folder: the files must be inside of it.

    Raises:
        DataError: no recording is left, or a file is outside of the folder.
    """
    guard = FolderGuard(how, folder)
    kept = []
    missing = []
    for clip, text, place in clips:
        file = guard(clip.path if isinstance(clip, Segment) else clip, place)
        if file.is_file():
            kept.append((clip, text, place))
        else:
            missing.append(f"{place}: there is no {file}")
    reasons = [*missing, *wrong]
    if not kept:
        first = f" The first: {reasons[0]}." if reasons else ""
        raise DataError(f"{source}: none of its {len(clips) + len(wrong)} recordings can be used.{first}")
    remarks = report_skipped(reasons, len(clips) + len(wrong), "recordings", how.strict)
    texts = [text for _, text, _ in kept]
    wanted = {name: column for name, column in columns.items() if not column.optional}
    values = match_kinds(wanted, {Audio: [clip for clip, _, _ in kept], Text: texts, Label: texts}, source)
    return Table(source, values, lambda row: kept[row][2], remarks=remarks, strict=how.strict)


def _lines(path: Path, source: str) -> list[tuple[str, str]]:
    """Return the lines of a file that are not blank, each with its place."""
    lines = enumerate(read_text(path, source).split("\n"), start=1)
    return [(f"{source}, line {number}", line.rstrip("\r")) for number, line in lines if line.strip()]


LAYOUTS = (
    "a table with columns such as audio,text; LibriSpeech's *.trans.txt; LJSpeech's metadata.csv with wavs/; "
    "Kaldi's wav.scp with text; Common Voice's tables with clips/; or a .txt file next to each recording"
)
"""The folders that are understood, for an error message."""
