"""The report on texts of recordings: planted faults are found, and ordinary texts have none."""

import numpy as np
import pytest

from dlkit.audio.wav_file import encode_wav
from dlkit.columns import Text
from dlkit.data.table import Table
from dlkit.report import Report
from dlkit.tasks.speech_recognition.inspect_transcripts import count_ctc_outputs, inspect_transcripts

ONE_SECOND = encode_wav(np.zeros(8000), 8000)


def report_on(texts, validation=None, clips=None):
    def table_of(texts, name, clips=None):
        columns = {"audio": clips or [ONE_SECOND] * len(texts), "text": texts}
        return Table(name, columns, lambda row: f"{name} {row}")

    report = Report("data")
    held_out = None if validation is None else table_of(validation, "validation")
    inspect_transcripts(report, table_of(texts, "row", clips), held_out, Text(), 0.04)
    return report


def test_ordinary_texts_have_no_warning():
    report = report_on(["a bad cab"] * 30 + ["add a cab"] * 30, ["a bad cab", *(["cab cab"] * 9)])
    assert report.warnings == []
    assert report.statistics == {
        "characters of a text": "9 median, 9 maximum",
        "words": "180, 4 of them distinct",
        "distinct texts": 2,
        "characters": "␣abcd",
        "known texts": "1 of 10 validation texts also occur in training",
    }


def test_planted_faults_are_found():
    texts = ["a cab"] * 58 + ["abcdefghijklmnopqrstuvwxy", "a" * 14]
    report = report_on(texts, ["a cab", "new"], [ONE_SECOND] * 60)
    rare, too_long, known = report.warnings
    assert rare.startswith("22 of 26 characters occur in fewer than 10 texts, and are hardly learned: 'd' 1, 'e' 1")
    assert too_long.startswith(
        "1 of 60 texts are too long for their recordings, of which the network has an output every 0.04 seconds "
        "(row 59: 14 characters in 1.00 seconds)"
    )
    assert known.startswith("1 of 2 validation texts also occur in the training data (validation 0).")


def test_texts_that_nobody_can_say():
    report = Report("data")
    table = Table("rows", {"audio": [ONE_SECOND], "text": ["abcdefghij" * 4]}, lambda row: f"row {row}")
    inspect_transcripts(report, table, None, Text(), 0.02)
    assert report.warnings == [
        "1 of 1 texts have more than 30 characters per second (row 0: 40 characters in 1.00 seconds). Nobody speaks so "
        "fast: check whether text and recording belong together."
    ]


def test_recordings_that_cannot_be_read_are_left_to_the_report_on_sound():
    assert report_on(["a" * 100], clips=[b"no sound"]).warnings == []


@pytest.mark.parametrize(("text", "outputs"), [("", 0), ("a", 1), ("aa", 3), ("hello", 6), ("aaaa", 7)])
def test_outputs_that_a_text_needs(text, outputs):
    assert count_ctc_outputs(text) == outputs
