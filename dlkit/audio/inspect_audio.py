"""Facts and warnings about the recordings of a table: durations, rates, channels, silence, clipping, duplicates."""

from __future__ import annotations

import collections
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.audio.wav import Wav, read_wav
from dlkit.audio.wav_file import SILENCE_PEAK, WavHeader, read_wav_header
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import tf
from dlkit.report import Report, most_common
from dlkit.tracing import trace_function

CLIPPED_PEAK, CLIPPED_SAMPLES = 0.5, 10  # a peak that is reached this often by two neighboring samples was cut off
MAX_INSPECTED_SECONDS = 3600.0  # longer recordings are not decoded
_STREAMED = 2**31 - 2**16  # announced bytes of files whose size was unknown when their header was written


@dataclass(frozen=True)
class _Recording:
    row: int
    header: WavHeader
    flags: tuple[str, ...]
    digest: bytes  # of the samples


def inspect_audio(report: Report, table: Table, validation: Table | None, name: str, share: float = 0.4) -> None:
    """Add facts and warnings about a table's recordings to a report.

    Args:
        report: the report to add to.
        table, validation: training and validation rows.
        name: the column of recordings.
        share: share of the report's time limit; half as much for the validation rows.
    """
    unreadable: list[str] = []
    recordings = list(_read(report, table, name, share, unreadable))
    count = len(recordings) + len(unreadable)
    if unreadable:
        report.add_warning(
            f"{len(unreadable)} of {count} recordings cannot be read", unreadable, "They are excluded from training."
        )
    if not recordings:
        return
    seconds = np.array([recording.header.seconds for recording in recordings])
    hours = f", about {seconds.mean() * len(table) / 3600:.2g} hours in all"
    report.statistics["seconds"] = f"{np.median(seconds):.2f} median, {seconds.min():.2f} to {seconds.max():.2f}{hours}"
    rates = collections.Counter(f"{recording.header.rate} Hz" for recording in recordings)
    report.statistics["sample rates"] = most_common(dict(rates))
    channels = collections.Counter(recording.header.channels for recording in recordings)
    if set(channels) != {1}:
        report.statistics["channels"] = most_common({f"{number}": channels[number] for number in sorted(channels)})
    if len(rates) > 1:
        rare = rates.most_common()[-1][0]
        report.add_warning(
            f"the recordings have {len(rates)} sample rates",
            (table.where(recording.row) for recording in recordings if f"{recording.header.rate} Hz" == rare),
            "They are resampled to one rate. Recordings of a lower rate lack high frequencies: make sure that rates do "
            "not go with texts or labels.",
        )
    _warn_of_flags(report, table, recordings)
    _warn_of_duplicates(report, table, recordings)
    if validation is not None:
        _warn_of_overlap(report, validation, recordings, _read(report, validation, name, share / 2, []))


def _read(report: Report, table: Table, name: str, share: float, unreadable: list[str]) -> Iterator[_Recording]:
    """Yield recordings as far as the time of the report allows; adds those that cannot be read to `unreadable`."""
    column, read = Audio(), _reading()
    for row in report.sample(len(table), share):
        try:
            data = table.raw(row, {name: column})[name]
        except DataError as error:
            unreadable.append(str(error))
            continue
        wav, header = Wav(*(value.numpy() for value in read(tf.constant(data)))), read_wav_header(data)
        if wav.error or header is None:
            unreadable.append(f"{table.where(row)}: {wav.error.decode()}")
            continue
        flags = [*_find_flags(wav.samples), *(["cut"] if header.size < header.announced < _STREAMED else [])]
        yield _Recording(row, header, tuple(flags), hashlib.sha256(wav.samples.tobytes()).digest())


@functools.cache
def _reading() -> Callable[..., Any]:
    specification = tf.TensorSpec([], tf.string)
    return trace_function(lambda data: tuple(read_wav(data, MAX_INSPECTED_SECONDS)), specification)


def _find_flags(samples: np.ndarray) -> list[str]:
    """Return what is wrong with the level of a recording."""
    size = np.abs(samples)
    peak = size.max()
    if peak < SILENCE_PEAK:
        return ["silent"]
    flat = (samples[1:] == samples[:-1]) & (size[1:] >= 0.999 * peak)
    return ["clipped"] if peak > CLIPPED_PEAK and flat.sum() >= CLIPPED_SAMPLES else []


def _warn_of_flags(report: Report, table: Table, recordings: Sequence[_Recording]) -> None:
    said = {
        "silent": (f"are silent (no sample is above {SILENCE_PEAK:g} of full scale)", "Remove them, or check them."),
        "clipped": ("are clipped: their loudest parts are cut off", "Record at a lower level, if you can."),
        "cut": ("are shorter than their header says", "Check whether the files were copied completely."),
    }
    for flag, (what, cure) in said.items():
        places = [table.where(recording.row) for recording in recordings if flag in recording.flags]
        if places:
            report.add_warning(f"{len(places)} of {len(recordings)} recordings {what}", places, cure)


def _warn_of_duplicates(report: Report, table: Table, recordings: Sequence[_Recording]) -> None:
    first: dict[bytes, int] = {}
    duplicates = []
    for recording in recordings:
        if recording.digest in first:
            duplicates.append(f"{table.where(recording.row)} is {table.where(first[recording.digest])}")
        first.setdefault(recording.digest, recording.row)
    if duplicates:
        report.add_warning(
            f"{len(duplicates)} of {len(recordings)} recordings are duplicates of others, sample by sample",
            duplicates,
            "Remove them, above all if their texts or labels differ.",
        )


def _warn_of_overlap(
    report: Report, validation: Table, train: Sequence[_Recording], held_out: Iterator[_Recording]
) -> None:
    known, rows = {recording.digest for recording in train}, [*held_out]
    both = [validation.where(recording.row) for recording in rows if recording.digest in known]
    if both:
        report.add_warning(
            f"{len(both)} of {len(rows)} validation recordings also occur in the training data",
            both,
            "Metrics on them measure overfitting, not generalization: remove them from one of the two sets.",
        )
