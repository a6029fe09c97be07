"""Subwords: nothing is lost in any language, pieces are the longest that fit, and what is cut is told."""

import csv
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.translation.subwords import BYTE, END, PIECE, JoinSubwords, Subwords, learn_pieces, split

PIECES = [" th", "the", " the", " there", "re", "er", "é", " 你好", "好世"]
TEXTS = [
    "",
    " ",
    "the",
    "there, the  end.\n\tNew  line \r\n",
    " leading and trailing ",
    "¿Qué? ¡Año Ñandú!",
    "你好世界。これは本だ。",
    "עברית: שלום! العربية؟ مرحبا",
    "ภาษาไทยไม่มีช่องว่าง",
    "👩‍👩‍👧 🇩🇪 e\u0301 a\x00b \x07 \u200b \ufeff \uffff ▁▁",
    "12,345.67 $3 snake_case__x don't",
    "\u00a0no\u3000break\u2028line",
    "x" * 300,
]


def ids_of(layer, text):
    made = layer([text])
    return made["token_ids"].numpy()[0][made["padding_mask"].numpy()[0]].tolist()


def by_hand(text):
    """Greedy longest pieces of a text, character by character, bytes where none fits."""
    words = [word.decode() for word in split([text]).flat_values.numpy()]
    ids = []
    for word in words:
        while word:
            piece = max((piece for piece in PIECES if word.startswith(piece)), key=len, default=None)
            if piece is None:
                ids += [BYTE + byte for byte in word[0].encode()]
                word = word[1:]
            else:
                ids.append(PIECE + PIECES.index(piece))
                word = word[len(piece) :]
    return [*ids, END]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_longest_pieces_and_give_the_text_back(text):
    layer = Subwords(PIECES, 2048)
    ids = ids_of(layer, text)
    assert ids == by_hand(text)
    assert JoinSubwords(PIECES)(tf.constant([ids])).numpy()[0].decode() == text


def test_rows_do_not_depend_on_each_other():
    layer, join = Subwords(PIECES, 2048), JoinSubwords(PIECES)
    made = layer(TEXTS)
    for row, text in enumerate(TEXTS):
        assert made["token_ids"].numpy()[row][made["padding_mask"].numpy()[row]].tolist() == ids_of(layer, text)
    assert [text.decode() for text in join(made["token_ids"]).numpy()] == TEXTS
    assert not made["truncated"].numpy().any()


def test_every_character_comes_back():
    codes = [code for code in range(0, 0x30000, 7) if not 0xD800 <= code < 0xE000]
    texts = ["".join(map(chr, codes[start : start + 50])) for start in range(0, len(codes), 50)]
    made = Subwords(PIECES, 300)(texts)
    assert [text.decode() for text in JoinSubwords(PIECES)(made["token_ids"]).numpy()] == texts


def test_words_keep_the_space_before_them():
    words = split(["Hello,  world: it's 42\n"]).flat_values.numpy()
    assert [word.decode() for word in words] == [" Hello", ",", " ", " world", ":", " it", "'", "s", " 4", "2", "\n"]


@pytest.mark.parametrize(("room", "truncated"), [(4, True), (5, False), (6, False)])
def test_what_is_cut_is_told(room, truncated):
    made = Subwords(PIECES, room)(["the the the the", "a"])
    assert made["truncated"].numpy().tolist() == [truncated, False]
    assert made["token_ids"].numpy()[0, :5].tolist()[-1] == END
    assert made["token_ids"].shape == (2, room)


def test_a_very_long_text_costs_no_more_than_its_beginning():
    layer = tf.function(Subwords(PIECES, 16))
    for text in ("there " * 200_000, "x" * 1_000_000, "你" * 300_000):
        layer(tf.constant([text[:9]]))
        begun = time.process_time()
        made = layer(tf.constant([text]))
        assert time.process_time() - begun < 0.5
        assert made["truncated"].numpy().tolist() == [True]
        assert made["padding_mask"].numpy().all()


def test_bytes_that_make_no_character_become_a_mark():
    layer, join = Subwords(PIECES, 64), JoinSubwords(PIECES)
    assert join(layer(tf.constant([b"a\xffb\xe4\xbd"]))["token_ids"]).numpy()[0].decode() == "a\ufffdb\ufffd"
    assert join(tf.constant([[BYTE + 0xE4, END]])).numpy()[0].decode() == "\ufffd"


def test_pieces_are_learned():
    pytest.importorskip("tokenizers")
    texts = ["the cat sat on the mat", "el gato en la mesa", "the cats"] * 50
    pieces = learn_pieces(texts, PIECE + 12)
    assert len(pieces) == 12
    assert len(set(pieces)) == 12
    assert " the" in pieces
    assert all(len(piece.encode()) > 1 for piece in pieces)
    assert learn_pieces(texts, PIECE + 12) == pieces
    assert all(" " not in piece[1:] for piece in learn_pieces(texts, 1000))  # no piece goes over a word's end
    with pytest.raises(ValueError, match="more than 259"):
        learn_pieces(texts, 259)


def test_learning_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(Exception, match=r"dlkit-keras\[translation\]"):
        learn_pieces(["a"], 300)


@pytest.mark.slow
def test_the_layers_need_no_trainer():
    program = (
        "import sys; sys.modules['tokenizers'] = None; from dlkit.tasks.translation.subwords import *;"
        "print(JoinSubwords([' ab'])(Subwords([' ab'], 9)(['ab c'])['token_ids']).numpy()[0].decode())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ab c"


def test_a_layer_from_its_config_gives_the_same():
    layer = Subwords(PIECES, 32)
    again = Subwords.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(TEXTS)["token_ids"], again(TEXTS)["token_ids"])


def test_real_sentences_come_back_and_words_are_mostly_whole(real_data):
    pytest.importorskip("tokenizers")
    with (real_data / "en_es" / "test.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    texts = [row[side] for row in rows for side in ("source", "target")]
    pieces = learn_pieces(texts, 4000)
    made = Subwords(pieces, 512)(texts)
    assert [text.decode() for text in JoinSubwords(pieces)(made["token_ids"]).numpy()] == texts
    words = split(texts).flat_values.shape[0]
    assert made["padding_mask"].numpy().sum() - len(texts) < 1.3 * words
