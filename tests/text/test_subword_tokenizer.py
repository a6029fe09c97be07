"""Subwords: nothing is lost in any language, the longest ones are used, and truncation is reported."""

import csv
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from dlkit.text.subword_tokenizer import (
    END_ID,
    FIRST_BYTE_ID,
    FIRST_SUBWORD_ID,
    SubwordDetokenizer,
    SubwordTokenizer,
    learn_subwords,
    pretokenize,
)

SUBWORDS = [" th", "the", " the", " there", "re", "er", "é", " 你好", "好世"]
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


def normalized(text):
    """In Unicode's NFC, without blanks and invisible characters at its end."""
    text = unicodedata.normalize("NFC", text)
    while text and (text[-1].isspace() or unicodedata.category(text[-1]) in ("Cc", "Cf", "Zs")):
        text = text[:-1]
    return text


def ids_of(layer, text):
    made = layer([text])
    return made["token_ids"].numpy()[0][made["padding_mask"].numpy()[0]].tolist()


def by_hand(text):
    """Greedy longest subwords of a text, character by character, bytes where none fits."""
    words = [word.decode() for word in pretokenize([text]).flat_values.numpy()]
    ids = []
    for word in words:
        while word:
            subword = max((subword for subword in SUBWORDS if word.startswith(subword)), key=len, default=None)
            if subword is None:
                ids += [FIRST_BYTE_ID + byte for byte in word[0].encode()]
                word = word[1:]
            else:
                ids.append(FIRST_SUBWORD_ID + SUBWORDS.index(subword))
                word = word[len(subword) :]
    return [*ids, END_ID]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_longest_pieces_and_give_the_text_back(text):
    layer = SubwordTokenizer(SUBWORDS, 2048)
    ids = ids_of(layer, text)
    assert ids == by_hand(normalized(text))
    assert SubwordDetokenizer(SUBWORDS)(tf.constant([ids])).numpy()[0].decode() == normalized(text)


def test_rows_do_not_depend_on_each_other():
    layer, detokenizer = SubwordTokenizer(SUBWORDS, 2048), SubwordDetokenizer(SUBWORDS)
    made = layer(TEXTS)
    for row, text in enumerate(TEXTS):
        assert made["token_ids"].numpy()[row][made["padding_mask"].numpy()[row]].tolist() == ids_of(layer, text)
    assert [text.decode() for text in detokenizer(made["token_ids"]).numpy()] == list(map(normalized, TEXTS))
    assert not made["truncated"].numpy().any()


def test_every_character_comes_back():
    codes = [code for code in range(0, 0x30000, 7) if not 0xD800 <= code < 0xE000]
    texts = ["".join(map(chr, codes[start : start + 50])) for start in range(0, len(codes), 50)]
    made = SubwordTokenizer(SUBWORDS, 300)(texts)
    assert [text.decode() for text in SubwordDetokenizer(SUBWORDS)(made["token_ids"]).numpy()] == list(
        map(normalized, texts)
    )


def test_words_keep_the_space_before_them():
    words = pretokenize(["Hello,  world: it's 42\n"]).flat_values.numpy()
    assert [word.decode() for word in words] == [" Hello", ",", " ", " world", ":", " it", "'", "s", " 4", "2", "\n"]


@pytest.mark.parametrize(("room", "truncated"), [(4, True), (5, False), (6, False)])
def test_what_is_cut_is_told(room, truncated):
    made = SubwordTokenizer(SUBWORDS, room)(["the the the the", "a"])
    assert made["truncated"].numpy().tolist() == [truncated, False]
    assert made["token_ids"].numpy()[0, :5].tolist()[-1] == END_ID
    assert made["token_ids"].shape == (2, room)


def test_a_very_long_text_costs_no_more_than_its_beginning():
    layer = tf.function(SubwordTokenizer(SUBWORDS, 16))
    for text in ("there " * 200_000, "x" * 1_000_000, "你" * 300_000):
        layer(tf.constant([text[:9]]))
        begun = time.process_time()
        made = layer(tf.constant([text]))
        assert time.process_time() - begun < 0.5
        assert made["truncated"].numpy().tolist() == [True]
        assert made["padding_mask"].numpy().all()


def test_bytes_that_make_no_character_become_a_mark():
    layer, detokenizer = SubwordTokenizer(SUBWORDS, 64), SubwordDetokenizer(SUBWORDS)
    assert detokenizer(layer(tf.constant([b"a\xffb\xe4\xbd"]))["token_ids"]).numpy()[0].decode() == "a\ufffdb\ufffd"
    assert detokenizer(tf.constant([[FIRST_BYTE_ID + 0xE4, END_ID]])).numpy()[0].decode() == "\ufffd"


def test_pieces_are_learned():
    pytest.importorskip("tokenizers")
    texts = ["the cat sat on the mat", "el gato en la mesa", "the cats"] * 50
    subwords = learn_subwords(texts, FIRST_SUBWORD_ID + 12)
    assert len(subwords) == 12
    assert len(set(subwords)) == 12
    assert " the" in subwords
    assert all(len(subword.encode()) > 1 for subword in subwords)
    assert learn_subwords(texts, FIRST_SUBWORD_ID + 12) == subwords
    assert all(" " not in subword[1:] for subword in learn_subwords(texts, 1000))  # no subword goes over a word's end
    with pytest.raises(ValueError, match="more than 259"):
        learn_subwords(texts, 259)


def test_learning_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(Exception, match=r"dlkit-keras\[translation\]"):
        learn_subwords(["a"], 300)


@pytest.mark.slow
def test_the_layers_need_no_trainer():
    program = (
        "import sys; sys.modules['tokenizers'] = None; from dlkit.text.subword_tokenizer import *;"
        "print(SubwordDetokenizer([' ab'])(SubwordTokenizer([' ab'], 9)(['ab c'])['token_ids']).numpy()[0].decode())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ab c"


def test_a_layer_from_its_config_gives_the_same():
    layer = SubwordTokenizer(SUBWORDS, 32)
    again = SubwordTokenizer.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(TEXTS)["token_ids"], again(TEXTS)["token_ids"])


def test_real_sentences_come_back_and_words_are_mostly_whole(real_data):
    pytest.importorskip("tokenizers")
    with (real_data / "en_es" / "test.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    texts = [row[side] for row in rows for side in ("source", "target")]
    subwords = learn_subwords(texts, 4000)
    made = SubwordTokenizer(subwords, 512)(texts)
    assert [text.decode() for text in SubwordDetokenizer(subwords)(made["token_ids"]).numpy()] == list(
        map(normalized, texts)
    )
    words = pretokenize(list(map(normalized, texts))).flat_values.shape[0]
    assert made["padding_mask"].numpy().sum() - len(texts) < 1.3 * words
