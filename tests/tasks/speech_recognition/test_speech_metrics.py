"""Error rates of transcripts, against jiwer."""

import numpy as np
import pytest

from dlkit.tasks.speech_recognition.metrics import count_errors, score_transcripts


def random_texts(seed, count=40):
    generator = np.random.default_rng(seed)
    words = ["please", "hang", "up", "now", "then", "a"]
    return [" ".join(generator.choice(words, generator.integers(1, 9))) for _ in range(count)]


def test_rates_are_those_of_jiwer():
    jiwer = pytest.importorskip("jiwer")
    true, found = random_texts(0), random_texts(1)
    found[3] = ""
    metrics = score_transcripts([text.encode() for text in true], [text.encode() for text in found])
    assert metrics["wer"] == pytest.approx(jiwer.wer(true, found), abs=1e-12)
    assert metrics["cer"] == pytest.approx(jiwer.cer(true, found), abs=1e-12)


def test_errors_are_counted_by_hand():
    assert count_errors("kitten", "sitting") == 3
    assert count_errors("", "abc") == 3 and count_errors("abc", "") == 3 and count_errors("", "") == 0
    metrics = score_transcripts([b"one two", b"yes", b"yes"], [b"one", b"yes", b"no"])
    assert metrics["wer"] == 0.5 and metrics["word_accuracy"] == 0.5
    assert metrics["cer"] == pytest.approx((4 + 0 + 3) / 13)
    assert metrics["sentence_accuracy"] == pytest.approx(1 / 3)
    assert metrics["baseline_word_accuracy"] == pytest.approx(0.5)  # "yes" everywhere: two of four words
    assert (metrics["words"], metrics["rows"]) == (4, 3)


def test_the_baseline_is_never_worse_than_no_answer():
    metrics = score_transcripts([b"a b c d e f", b"a b c d e f", b"x", b"y", b"z"], [b""] * 5)
    assert metrics["baseline_word_accuracy"] >= 0.0 == metrics["word_accuracy"]
