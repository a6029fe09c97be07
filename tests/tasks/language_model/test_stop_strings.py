"""Stop strings: found where a reader byte by byte would stop, and as early in the loop."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.language_model.stop_strings import StopStringFinder, find_stop


def stop_by_hand(text, stops):
    """Where the first stop string begins that is complete, reading byte by byte; -1 if there is none."""
    for end in range(1, len(text) + 1):
        ended = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ended:
            return end - max(map(len, ended))
    return -1


def test_stops_are_those_of_a_reader_of_bytes():
    random = np.random.default_rng(0)
    texts = [bytes(random.choice(list(b"abc"), random.integers(0, 12))) for _ in range(200)]
    stops = [[bytes(random.choice(list(b"abc"), random.integers(0, 4))) for _ in range(3)] for _ in texts]
    found = find_stop(tf.constant(texts), tf.constant(stops)).numpy().tolist()
    assert found == [stop_by_hand(text, each) for text, each in zip(texts, stops, strict=True)]
    assert -1 in found
    assert len(set(found)) > 4


@pytest.mark.parametrize("stop", [b"", b"bc", b"abab", b"c\xc3\xa9"])
def test_the_loop_stops_at_the_token_that_completes_a_stop_string(stop):
    spellings = [b"", b"a", b"b", b"ab", b"bc", b"\xc3", b"\xa9", b"c"]
    every = [
        ids
        for ids in itertools.product(range(1, 8), repeat=3)
        if not stop or stop not in b"".join(spellings[token] for token in ids[:-1])
    ]
    texts = [b"".join(spellings[token] for token in ids) for ids in every]
    finder = StopStringFinder(spellings, tf.constant([[stop]] * len(every)))
    is_stopped = [bool(stop) and stop in text for text in texts]
    assert finder.is_stopped(tf.constant(every)).numpy().tolist() == is_stopped
    cut, is_cut = finder.cut(tf.constant(texts))
    assert cut.numpy().tolist() == [text.partition(stop)[0] if stop else text for text in texts]
    assert is_cut.numpy().tolist() == is_stopped


def test_without_rows_or_stops_nothing_stops():
    assert find_stop(tf.zeros([0], tf.string), tf.zeros([0, 2], tf.string)).shape == (0,)
    finder = StopStringFinder([b"a"], tf.zeros([2, 0], tf.string))
    assert finder.is_stopped(tf.zeros([2, 3], tf.int32)).numpy().tolist() == [False, False]
