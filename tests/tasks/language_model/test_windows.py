"""Windows of token ids, by hand and by what they must preserve."""

import numpy as np
import pytest

from dlkit.tasks.language_model.windows import WindowCutter

END = 2


def cut(documents, length, stride=None):
    cutter = WindowCutter(length, stride or length, END)
    return cutter.cut([np.array(document) for document in documents]), cutter.counts


def learned(windows):
    return sorted(windows.targets[windows.targets > 0].tolist())


def test_a_short_document_is_one_window_with_padding():
    windows, counts = cut([[7, 8]], 5)
    assert windows.token_ids.tolist() == [[END, 7, 8, 0, 0]]
    assert windows.targets.tolist() == [[7, 8, END, 0, 0]]
    assert windows.segment_ids.tolist() == [[1, 1, 1, 0, 0]]
    assert windows.positions.tolist() == [[0, 1, 2, 0, 0]]
    assert (counts.documents, counts.cut_documents, counts.tokens, counts.windows, counts.read) == (1, 0, 3, 1, 3)


def test_a_long_document_is_cut_and_every_token_is_learned_once():
    windows, counts = cut([range(10, 20)], 4)
    assert windows.token_ids.tolist() == [[END, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 0]]
    assert windows.targets.tolist() == [[10, 11, 12, 13], [14, 15, 16, 17], [18, 19, END, 0]]
    assert counts.cut_documents == 1


def test_windows_that_overlap_learn_a_token_in_the_first_that_has_it():
    windows, _ = cut([range(10, 16)], 4, stride=2)
    assert windows.token_ids.tolist() == [[END, 10, 11, 12], [11, 12, 13, 14], [13, 14, 15, 0]]
    assert windows.targets.tolist() == [[10, 11, 12, 13], [0, 0, 14, 15], [0, 0, END, 0]]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_every_token_is_learned_once_whatever_the_length(size, stride):
    document = list(range(10, 10 + size))
    windows, counts = cut([document, document], 4, stride)
    assert learned(windows) == sorted([*document, END] * 2)
    assert counts.cut_documents == (2 if size > 3 else 0)


@pytest.mark.parametrize("stride", [2, 4])
def test_tokens_are_numbered_over_all_documents(stride):
    documents = [[10, 11], range(12, 25), [25], range(30, 38)]
    windows, _ = cut(documents, 4, stride)
    stream = np.concatenate([[*document, END] for document in documents])
    is_read = windows.segment_ids > 0
    assert (windows.numbers[~is_read] == -1).all()
    has_loss = windows.targets > 0
    np.testing.assert_array_equal(stream[windows.numbers[has_loss]], windows.targets[has_loss])
    inputs = np.concatenate([[END], stream])[windows.numbers[is_read]]
    np.testing.assert_array_equal(inputs, windows.token_ids[is_read])


def test_short_documents_share_a_window_and_are_not_cut():
    rng = np.random.default_rng(0)
    documents = [rng.integers(5, 99, rng.integers(1, 16)) for _ in range(200)]
    windows, counts = cut(documents, 16)
    assert counts.cut_documents == 0
    assert counts.windows <= 1.1 * counts.read / 16
    found = [
        tuple(window[segments == number][1:])
        for window, segments in zip(windows.token_ids, windows.segment_ids, strict=True)
        for number in range(1, segments.max() + 1)
    ]
    assert sorted(found) == sorted(tuple(document) for document in documents)


def test_prompts_are_read_but_not_learned():
    cutter = WindowCutter(8, 8, END)
    cutter.add([5, 6], [False, False], 3)
    cutter.add([7], [True], 3)
    cutter.end_document(3)
    windows = cutter.concatenate(cutter.finish())
    assert windows.token_ids.tolist() == [[END, 5, 6, 7, 0, 0, 0, 0]]
    assert windows.targets.tolist() == [[0, 0, 7, END, 0, 0, 0, 0]]
    assert windows.rows.tolist() == [3]


def test_windows_of_a_prompt_alone_are_left_out():
    cutter = WindowCutter(4, 4, END)
    cutter.add(range(10, 20), np.zeros(10, bool), 0)
    cutter.end_document(0)
    windows = cutter.concatenate(cutter.finish())
    assert windows.targets.tolist() == [[0, 0, END, 0]]


def test_tokens_may_come_in_any_parts():
    document = np.arange(10, 60)
    whole, _ = cut([document], 8, stride=5)
    cutter = WindowCutter(8, 5, END)
    for part in np.array_split(document, 7):
        cutter.add(part, np.ones(len(part), bool), 0)
    cutter.end_document(0)
    for one, other in zip(whole, cutter.concatenate(cutter.finish()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (4, 0), (4, 5)])
def test_impossible_windows_are_refused(length, stride):
    with pytest.raises(ValueError, match="must be"):
        WindowCutter(length, stride, END)
