"""Unicode's canonical composition in the graph, against Python's own."""

import random
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from dlkit.text.compose import _compositions, compose, compose_text
from dlkit.text.words import Words

BY_HAND = {
    "cafe\u0301": "café",
    "\u212b \u2126": "Å Ω",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8": "한국",
    "\uac00\u11a8": "각",
    "e\u0302\u0301\u0323": "ệ\u0301",  # marks below stand before those above
    "\u0dd9\u0dcf\u0dca": "\u0ddd",  # by way of what the first two make
    "x\u0301\u0323": "x\u0323\u0301",
    "\u0958": "\u0915\u093c",  # excluded from composition
    "\u0301e": "\u0301e",
    "": "",
}


def composed(texts):
    return [text.decode() for text in compose_text(tf.constant(texts)).numpy()]


def test_texts_by_hand():
    assert composed(list(BY_HAND)) == list(BY_HAND.values())
    assert composed(["e", "\u0301", "\u1100", "\u1161"]) == ["e", "\u0301", "\u1100", "\u1161"]  # rows stay apart


def test_every_character_alone_and_before_an_accent():
    codes = [code for code in range(0, 0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(map(chr, codes[begin : begin + 500])) for begin in range(0, len(codes), 500)]
    texts += [chr(code) + "\u0323\u0301" for code in codes if code < 0x3000]
    assert composed(texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_random_sequences_of_what_may_join():
    rng = random.Random(0)
    pairs = list(_compositions())
    marks = [code for code in range(0x30000) if unicodedata.combining(chr(code))]
    hangul = [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A7, 0x11C3), 0xAC00, 0xAC01]
    pools = [marks, [one for pair in pairs for one in pair], list(_compositions().values()), hangul, [0x61, 0x20]]
    texts = ["".join(chr(rng.choice(rng.choice(pools))) for _ in range(rng.randrange(12))) for _ in range(4000)]
    assert composed(texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_origins_ascend_and_are_where_characters_begin():
    codes = tf.constant([ord(letter) for letter in "ae\u0301be\u0323\u0302c"])
    made, origin, row = compose(codes, tf.constant([0, 0, 0, 1, 1, 1, 1, 1]))
    assert "".join(map(chr, made.numpy())) == "aébệc"
    assert origin.numpy().tolist() == [0, 1, 3, 4, 7]
    assert row.numpy().tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_places_in_a_text_count_its_own_characters(form):
    text = unicodedata.normalize(form, "Zoé, l’été à Việt Nam 한국 é")
    made = Words.learn([text], 99, 8, nfc=True).locate([text])
    under = [text[a:b] for a, b in zip(made["starts"][0].numpy(), made["ends"][0].numpy(), strict=True)]
    assert under == [
        unicodedata.normalize(form, word) for word in ["Zoé", ",", "l’été", "à", "Việt", "Nam", "한국", "é"]
    ]
    assert [word.decode() for word in made["surface"][0].numpy()] == [
        "Zoé",
        ",",
        "l'été",
        "à",
        "Việt",
        "Nam",
        "한국",
        "é",
    ]
    np.testing.assert_array_equal(made["ids"][0] > 1, True)
