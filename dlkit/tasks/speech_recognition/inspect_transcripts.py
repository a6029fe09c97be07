"""Facts and warnings about what is said in recordings: lengths, rare characters, texts of both parts of the data."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.audio.wav_file import read_wav_header
from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report

MAX_CHARACTERS_PER_SECOND = 30.0  # fast speech has 20
RARE_CHARACTER = 10  # characters that occur in fewer texts are hardly learned
MAX_KNOWN_TEXTS = 0.2  # share of the validation texts that may occur in training without a warning
MIN_TEXTS = 50  # fewer texts say little about rare characters


def inspect_transcripts(
    report: Report, table: Table, validation: Table | None, column: Column, seconds_per_output: float
) -> None:
    """Add facts and warnings about texts and the recordings that they belong to.

    Args:
        report: the report to add to.
        table, validation: training and validation rows, with the columns `audio` and `text`.
        column: the column of texts.
        seconds_per_output: time between two outputs of the network.
    """
    texts = [text.decode() for text in table.raw_column("text", column)]
    lengths = np.array([len(text) for text in texts])
    words = collections.Counter(word for text in texts for word in text.split())
    report.statistics["characters of a text"] = f"{int(np.median(lengths))} median, {lengths.max()} maximum"
    report.statistics["words"] = f"{words.total()}, {len(words)} of them distinct"
    report.statistics["distinct texts"] = len(set(texts))
    counts = collections.Counter(character for text in texts for character in set(text))
    report.statistics["characters"] = "".join(sorted(counts)).replace(" ", "␣")
    rare = sorted(character for character, count in counts.items() if count < RARE_CHARACTER)
    if rare and len(texts) >= MIN_TEXTS:
        report.add_warning(
            f"{len(rare)} of {len(counts)} characters occur in fewer than {RARE_CHARACTER} texts, and are hardly "
            f"learned: {', '.join(f'{character!r} {counts[character]}' for character in rare[:20])}",
            cure="Write such texts out in words, or add examples.",
        )
    _inspect_durations(report, table, texts, seconds_per_output)
    if validation is not None:
        _inspect_known_texts(report, validation, set(texts), column)


def count_ctc_outputs(text: str) -> int:
    """Return how many outputs a text needs with CTC: one for each character, and a blank between two equal ones.

    Examples:
        >>> count_ctc_outputs("hello")
        6
    """
    return len(text) + sum(first == second for first, second in itertools.pairwise(text))


def _inspect_durations(report: Report, table: Table, texts: Sequence[str], seconds_per_output: float) -> None:
    """Warn of texts that are too long for their recordings: for CTC, or for anybody to say."""
    too_long, too_fast, count = [], [], 0
    for row in report.sample(len(table), 0.5):
        try:
            header = read_wav_header(table.raw(row, {"audio": Audio()})["audio"])
        except DataError:
            continue  # named with the recordings
        if header is None or not header.seconds:
            continue
        count += 1
        place = f"{table.where(row)}: {len(texts[row])} characters in {header.seconds:.2f} seconds"
        if count_ctc_outputs(texts[row]) > header.seconds / seconds_per_output:
            too_long.append(place)
        elif len(texts[row]) > MAX_CHARACTERS_PER_SECOND * header.seconds:
            too_fast.append(place)
    if too_long:
        report.add_warning(
            f"{len(too_long)} of {count} texts are too long for their recordings, of which the network has an output "
            f"every {seconds_per_output:g} seconds",
            too_long,
            "They are excluded from training. Check whether text and recording belong together.",
        )
    if too_fast:
        report.add_warning(
            f"{len(too_fast)} of {count} texts have more than {MAX_CHARACTERS_PER_SECOND:g} characters per second",
            too_fast,
            "Nobody speaks so fast: check whether text and recording belong together.",
        )


def _inspect_known_texts(report: Report, validation: Table, known: set[str], column: Column) -> None:
    held_out = [text.decode() for text in validation.raw_column("text", column)]
    both = [row for row, text in enumerate(held_out) if text in known]
    report.statistics["known texts"] = f"{len(both)} of {len(held_out)} validation texts also occur in training"
    if len(both) > MAX_KNOWN_TEXTS * len(held_out):
        report.add_warning(
            f"{len(both)} of {len(held_out)} validation texts also occur in the training data",
            map(validation.where, both),
            "Error rates on them are lower than on new sentences, above all with a language model of the training "
            "texts. Hold out texts as a whole, unless requests will repeat them.",
        )
