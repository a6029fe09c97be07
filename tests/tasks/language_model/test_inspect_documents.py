"""What `dlkit check` finds in documents, and metrics of samples."""

import collections

import numpy as np
import pytest

from dlkit.data.table import Table
from dlkit.report import Report
from dlkit.tasks.language_model.compression import lzma_bits
from dlkit.tasks.language_model.inspect_documents import describe_scripts, inspect_documents, share_ngrams
from dlkit.tasks.language_model.sample_metrics import distinct_ngrams, repetition


def table_of(*texts):
    return Table("texts", {"text": list(texts)}, lambda row: f"text {row}")


def report_on(*texts, validation=()):
    report = Report("texts")
    inspect_documents(report, table_of(*texts), table_of(*validation) if validation else None, "text")
    return report


def words(first, last):
    return " ".join(f"word{number}" for number in range(first, last))


def test_scripts_are_shares_of_letters():
    counts = collections.Counter("Hello мир 漢字 123 !?")
    assert describe_scripts(counts) == {"latin": "50%", "cyrillic": "30%", "cjk": "20%"}


def test_plain_documents_give_statistics_and_no_warning():
    report = report_on("One text.\n\tWith a tab.\r\n", "Another text.")
    assert not report.warnings
    assert report.statistics["bytes"] == {"total": 37, "median": 18, "maximum": 24}
    assert report.statistics["scripts"] == {"latin": "100%"}


def test_duplicates_blank_documents_and_no_text_are_reported_with_their_place():
    report = report_on("a  b\nc", "other", "a b c ", "  ", "bad\x00\x00\x07", "lost \ufffd")
    (duplicates,) = (text for text in report.warnings if "duplicate" in text)
    assert "1 of 6" in duplicates and "text 2 is text 0" in duplicates
    assert any("1 of 6 documents are blank (text 3)" in text for text in report.warnings)
    (no_text,) = (text for text in report.warnings if "no text" in text)
    assert "2 of 6" in no_text and "text 4" in no_text and "U+0000 2 times" in no_text


def test_copied_passages_are_found_across_case_and_white_space():
    train = f"{words(0, 50)}"
    shares = share_ngrams([train], [words(10, 30).upper().replace(" ", "\n"), words(10, 22), words(40, 60)])
    np.testing.assert_allclose(shares, [1.0, 0.0, 0.0])
    mixed = share_ngrams([train], [f"{words(100, 120)} {words(20, 40)}"])
    assert mixed == pytest.approx([0.5])


def test_text_without_spaces_is_compared_by_characters():
    text = "".join(chr(0x4E00 + number * 7 % 500) for number in range(200))
    other = "".join(chr(0x5000 + number * 11 % 500) for number in range(100))
    np.testing.assert_allclose(share_ngrams([text], [text[20:120], other]), [1.0, 0.0])


def test_overlap_of_training_and_validation_is_a_warning():
    report = report_on(words(0, 100), validation=[words(50, 90), words(200, 240)])
    assert any("47% of the validation text" in text and "text 0" in text for text in report.warnings)
    clean = report_on(words(0, 100), validation=[words(200, 240)])
    assert not clean.warnings
    assert clean.statistics["overlap"].startswith("0.00%")


def test_distinct_and_repetition_by_hand():
    assert distinct_ngrams(["a b a b", "a b"], 1) == pytest.approx(2 / 6)
    assert distinct_ngrams(["a b a b", "a b"], 2) == pytest.approx(2 / 4)
    assert distinct_ngrams(["a"], 2) == 0
    assert repetition(["a b c d a b c d"]) == pytest.approx(1 / 5)
    assert repetition(["a b c d e", "a b c d e"]) == 0
    assert repetition([""]) == 0


def test_lzma_knows_the_training_text():
    text = np.random.default_rng(0).bytes(2000)
    assert lzma_bits(b"", text) > 8 * 2000
    assert lzma_bits(text, text) < 8 * 200
