"""The report on recordings: planted faults of every kind are found, and sound recordings have none."""

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.audio.inspect_audio import inspect_audio
from dlkit.audio.wav_file import encode_wav
from dlkit.data.table import Table
from dlkit.report import Report

RATE = 8000
RANDOM = np.random.default_rng(0)


def recording(seconds=0.2, rate=RATE, level=0.1, channels=1):
    return encode_wav(RANDOM.normal(0, level, (round(seconds * rate), channels)).astype(np.float32), rate)


def report_on(recordings, validation=None):
    def table_of(values, name):
        return Table(name, {"audio": values}, lambda row: f"{name} {row}")

    report = Report("data")
    held_out = None if validation is None else table_of(validation, "validation")
    inspect_audio(report, table_of(recordings, "row"), held_out, "audio")
    return report


def test_sound_recordings_have_no_warning():
    loud = np.sin(np.arange(2000) / 3).astype(np.float32)  # up to full scale, but not cut off
    report = report_on([*(recording() for _ in range(8)), encode_wav(loud, RATE)], [recording()])
    assert report.warnings == []
    assert report.statistics == {
        "seconds": "0.20 median, 0.20 to 0.25, about 0.00051 hours in all",
        "sample rates": {"8000 Hz": 9},
    }


def test_planted_faults_are_found():
    shouted = encode_wav(np.clip(RANDOM.normal(0, 2, 2000), -1, 1), RATE)
    good = [recording() for _ in range(6)]
    bad = [b"hello", np.zeros(3), encode_wav(np.full(800, 1e-4), RATE), shouted, recording()[:-100], good[0]]
    report = report_on([*good, *bad, recording(rate=16000, channels=2)], [good[1], recording()])
    expected = [
        "2 of 13 recordings cannot be read (row 6: not a WAV file (5 bytes), row 7, column 'audio': expected a rec",
        "the recordings have 2 sample rates (row 12).",
        "1 of 11 recordings are silent (no sample is above 0.001 of full scale) (row 8).",
        "1 of 11 recordings are clipped: their loudest parts are cut off (row 9).",
        "1 of 11 recordings are shorter than their header says (row 10).",
        "1 of 11 recordings are duplicates of others, sample by sample (row 11 is row 0).",
        "1 of 2 validation recordings also occur in the training data (validation 0).",
    ]
    for warning, beginning in zip(_sorted(report.warnings), _sorted(expected), strict=True):
        assert warning.startswith(beginning)
    assert report.statistics["sample rates"] == {"8000 Hz": 10, "16000 Hz": 1}
    assert report.statistics["channels"] == {"1": 10, "2": 1}


def _sorted(warnings):
    return sorted(warnings, key=lambda text: "".join(filter(str.isalpha, text))[:60])


def test_no_recording_can_be_read():
    report = report_on([b"a", b"b"])
    assert report.warnings[0].startswith("2 of 2 recordings cannot be read")
    assert report.statistics == {}
    assert Audio().kind == "recording"
