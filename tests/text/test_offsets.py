"""Characters that tokens stand at: by hand, and that the windows cover a text."""

import json

import numpy as np
import pytest
import tensorflow as tf
from test_wordpiece import HAND_MADE, VOCABULARY

from dlkit.tasks.question_answering.window_packer import WindowPacker
from dlkit.text.wordpiece import WordPiece
from dlkit.text.words import Words


def pieces(tokenizer, text):
    """The text under each token."""
    made = tokenizer.locate([text])
    starts, ends = (made[name][0].numpy().tolist() for name in ("starts", "ends"))
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The unaffable CAFÉ.", ["The", "un", "aff", "able", "CAFÉ", "."]),
        ("  Cafe\u0301 film", ["Cafe\u0301", "film"]),  # the accent of its own belongs to its letter
        ("😀你好a\x01b", ["😀", "你", "好", "a", "b"]),
        ("1½ …", ["1½", "…"]),  # ½ becomes 1⁄2, in one unknown word with the 1
        ("Straße", ["Straße"]),
        ("яблоко, film", ["яблоко", ",", "film"]),  # unknown, and still in its place
        ("", []),
        (" \t\n", []),
    ],
)
def test_word_pieces_by_hand(text, expected):
    assert pieces(WordPiece(VOCABULARY, 64), text) == expected


def test_words_by_hand():
    words = Words.learn(["don't stop the ﬁlm"], 20, 8)
    assert pieces(words, "Don’t stop: the ﬁlm 👩‍👧 你好!") == [
        "Don’t", "stop", ":", "the", "ﬁlm", "👩‍", "👧", "你", "好", "!"
    ]  # fmt: skip
    made = words.locate(["THE film"])
    assert made["surface"].numpy().tolist() == [[b"THE", b"film"]]
    assert made["ids"].numpy().tolist() == words(["THE film"])["token_ids"][:, :2].numpy().tolist()


@pytest.mark.parametrize("strip", [True, False])
def test_located_ids_are_those_of_the_plain_path(strip):
    layer = WordPiece(VOCABULARY, 200, strip_accents=strip)
    plain = layer(HAND_MADE)["token_ids"].numpy()
    located = layer.locate(HAND_MADE)
    for row, text in enumerate(HAND_MADE):
        ids = located["ids"][row].numpy()
        np.testing.assert_array_equal(ids, plain[row][plain[row] != 0][1:-1])
        starts, ends = located["starts"][row].numpy(), located["ends"][row].numpy()
        assert (starts < ends).all(), text
        assert (ends <= len(text)).all(), text
        assert (np.diff(starts) >= 0).all(), text


def make_windows(question, context, **options):
    words = Words.learn([context, question], 500, 64)
    layer = WindowPacker(words, **{"max_tokens": 24, "max_question_tokens": 5, "overlap": 8, **options})
    made = layer(tf.constant([question, "x"]), tf.constant([context, "y z"]))
    return {name: value.numpy() for name, value in made.items()}


@pytest.mark.parametrize("count", [1, 10, 18, 19, 20, 28, 29, 40, 100])
def test_windows_cover_a_context_and_own_each_token_once(count):
    context = " ".join(f"w{number}" for number in range(count))
    made = make_windows("what is it", context)
    is_max_context = made["is_max_context"][made["row_ids"] == 0]
    starts = made["token_starts"][made["row_ids"] == 0]
    owned = np.concatenate([line[mine] for line, mine in zip(starts, is_max_context, strict=True)])
    expected = np.cumsum([0] + [len(f"w{number}") + 1 for number in range(count - 1)])
    np.testing.assert_array_equal(owned, expected)  # each token, in order, once
    assert (made["padding_mask"].sum(1) <= 24).all()
    room = 24 - 3 - 3
    assert len(is_max_context) == max(1, -(-(count - 8) // (room - 8)))
    ends = made["token_ends"][made["row_ids"] == 0]
    for line, mine in zip(
        ends, is_max_context, strict=True
    ):  # a span that starts at a token of maximum context has room to end
        last, held = np.flatnonzero(mine)[-1], np.flatnonzero(line)[-1]
        assert held - last + 1 >= 8 // 2 or line[held] == len(context)


def test_a_window_by_hand():
    made = make_windows("What is it", "it is a big Cat 7", lexical_features=True)
    assert made["row_ids"].tolist() == [0, 1]
    assert made["token_ids"].shape == (2, 16)
    ids = made["token_ids"][0]
    assert ids[0] != ids[4] == ids[11] != 0
    assert ids[12:].tolist() == [0] * 4
    assert made["segment_ids"][0].tolist() == [0] * 5 + [1] * 7 + [0] * 4
    assert made["token_starts"][0, 5:11].tolist() == [0, 3, 6, 8, 12, 16]
    assert made["token_ends"][0, 5:11].tolist() == [2, 5, 7, 11, 15, 17]
    exact, stem, capital, digit = made["lexical_features"][0].T
    assert exact[:12].tolist() == stem[:12].tolist() == [0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0]
    assert capital[:12].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert digit[:12].tolist() == [0] * 10 + [1, 0]


def test_offsets_of_real_passages(real_data):
    """Every gold answer is whole tokens or lies within: the text under its tokens holds it."""
    articles = json.loads((real_data / "squad/test.json").read_text())["data"]
    contexts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    words = Words.learn(contexts[:50], 2000, 64)
    located = words.locate(contexts)
    surface, starts, ends = (located[name].to_list() for name in ("surface", "starts", "ends"))
    for row, text in enumerate(contexts):
        under = [text[start:end] for start, end in zip(starts[row], ends[row], strict=True)]
        plain = [token.decode() for token in surface[row]]
        same = [a == b for a, b in zip(under, plain, strict=True) if b.isascii() and a.isascii()]
        assert all(same)
