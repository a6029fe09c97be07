"""Comparison of answers and the file of reference_examples, by hand-made arrays."""

import numpy as np
import pytest

from dlkit.serving.compare import describe_difference
from dlkit.serving.prove import make_invalid_requests, make_mixed_batches
from dlkit.serving.reference_examples import as_array, load_reference_examples, save_reference_examples, split_into_rows

RANKED = {
    "labels": {"ranked_by": "scores"},
    "label": {"ranked_by": "scores"},
    "scores": {"atol": 1e-3, "rtol": 0},
}


def strings(*values):
    return np.array([list(values)], object)


def test_floats_within_and_beyond_the_tolerance():
    want = {"y": np.array([[1.0, np.nan, np.inf, 0.0]])}
    assert describe_difference("y", {"y": np.array([[1.00005, np.nan, np.inf, 1e-6]])}, want, {}) is None
    text = describe_difference("y", {"y": np.array([[1.5, np.nan, np.inf, 0.0]])}, want, {})
    assert "1.5 at [0, 0]" in text and "off by 0.5" in text and "1 of 4" in text
    assert "inf" in describe_difference("y", {"y": np.array([[1.0, 2.0, np.inf, 0.0]])}, want, {})
    assert describe_difference("y", {"y": np.array([[1.5, np.nan, np.inf, 0.0]])}, want, {"y": {"atol": 1}}) is None


def test_strings_integers_and_shapes_must_be_equal():
    assert describe_difference("s", {"s": strings(b"a")}, {"s": strings(b"a")}, {}) is None
    assert "b'a'" in describe_difference("s", {"s": strings(b"b")}, {"s": strings(b"a")}, {})
    assert "is 2" in describe_difference("n", {"n": np.array([2])}, {"n": np.array([1])}, {})
    assert "shape" in describe_difference("n", {"n": np.ones((1, 2))}, {"n": np.ones((1, 3))}, {})


@pytest.mark.parametrize(
    ("got", "scores", "allowed"),
    [
        ((b"b", b"a", b"c"), (0.5, 0.4999, 0.1), True),  # a tie
        ((b"b", b"a", b"c"), (0.6, 0.3, 0.1), False),
        ((b"c", b"b", b"a"), (0.5, 0.4999, 0.1), False),  # beyond the tie
        ((b"b", b"c", b"a"), (0.3337, 0.3333, 0.333), True),  # a run of ties
        ((b"x", b"a", b"c"), (0.5, 0.4999, 0.1), False),  # a stranger
    ],
)
def test_only_ties_may_swap(got, scores, allowed):
    want = {"labels": strings(b"a", b"b", b"c"), "scores": np.array([scores])}
    result = describe_difference("labels", {"labels": strings(*got), "scores": want["scores"]}, want, RANKED)
    assert (result is None) == allowed


@pytest.mark.parametrize(("scores", "allowed"), [((0.1, 0.4999, 0.5), True), ((0.1, 0.3, 0.6), False)])
def test_the_winner_may_swap_with_an_equal(scores, allowed):
    want = {"label": np.array([b"a"], object), "scores": np.array([scores])}
    assert (describe_difference("label", {"label": np.array([b"b"], object)}, want, RANKED) is None) == allowed


def test_reference_examples_survive_the_file(tmp_path):
    text = np.array([[b"a\0\0", b""], ["ä".encode(), b"\xff"]], object)
    pairs = {"s": [({"t": text}, {"y": np.float32([1, 2])}), ({"t": text[:1]}, {"y": np.float32([3])})]}
    save_reference_examples(tmp_path / "g.npz", pairs)
    loaded = load_reference_examples(tmp_path / "g.npz")
    assert len(loaded["s"]) == 2
    np.testing.assert_array_equal(loaded["s"][0][0]["t"], text)
    assert loaded["s"][1][1]["y"].dtype == np.float32
    assert [(index, row) for index, row, *_ in split_into_rows(loaded["s"])] == [(0, 0), (0, 1), (1, 0)]


def test_text_becomes_utf8_bytes():
    assert as_array(["ä", b"\xff"], "string").tolist() == ["ä".encode(), b"\xff"]
    assert as_array(np.array("a"), "string").shape == ()


def test_mixed_batches_hold_equal_shapes_reversed_and_padded():
    def item(index, width):
        return (index, 0, {"x": np.zeros((1, width))}, {"y": np.zeros(1)})

    batches = make_mixed_batches([item(0, 2), item(1, 3), item(2, 2)])
    assert [[index for index, *_ in batch] for batch in batches] == [[2, 0, 0], [1, 1]]


def test_wrong_requests_cover_ranks_sizes_and_rows():
    good = {"a": np.zeros((1, 4)), "b": np.array([b"x"], object)}
    shapes = [(key, np.shape(value)) for key, value, _ in make_invalid_requests({"a": [None, 4], "b": [None]}, good)]
    assert shapes[:5] == [("a", (1, 1, 4)), ("a", ()), ("a", (4,)), ("a", (1, 5)), ("a", (2, 4))]
    assert shapes[5:] == [("b", (1, 1)), ("b", ()), ("b", (2,))]
