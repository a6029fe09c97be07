"""Tokens of texts that are taken as they are: every byte comes back, and texts can be cut where tokens begin."""

import pytest
import tensorflow as tf

from dlkit.text.subword_tokenizer import (
    FIRST_BYTE_ID,
    SubwordDetokenizer,
    SubwordTokenizer,
    drop_incomplete_character,
    learn_subwords,
    make_spellings,
)

SUBWORDS = [" th", "the", " the", "re", "é", " 你好", "\n\n"]
TEXTS = [
    "",
    " ",
    "the",
    " there\n\n\tthe  end. \r\n \n",
    "e\u0301 Ñandú 你好世界 👩‍👩‍👧\u200b\ufeff",
    "a\x00b\x07 ",
    "x" * 300,
]


@pytest.mark.parametrize("subwords", [SUBWORDS, []], ids=["subwords", "bytes"])
def test_every_byte_comes_back_whatever_the_length(subwords):
    tokenizer = SubwordTokenizer(subwords, 4, exact=True)  # of which only `call` takes notice
    ids = tf.function(tokenizer.tokenize)(tf.constant(TEXTS))
    texts = SubwordDetokenizer(subwords, exact=True)(ids.to_tensor()).numpy().tolist()
    assert [text.decode() for text in texts] == TEXTS
    assert ids.row_lengths().numpy().tolist()[0] == 0
    if not subwords:
        assert ids[2].numpy().tolist() == [FIRST_BYTE_ID + byte for byte in b"the"]


def test_texts_of_no_bytes_have_no_bytes_as_tokens():
    assert SubwordTokenizer([], 4, exact=True).tokenize(["", ""]).to_list() == [[], []]


def test_a_text_from_a_token_on_has_the_tokens_from_there_on():
    text = "there the other the\n the 你好 there" * 3
    tokenizer = SubwordTokenizer(SUBWORDS, 4, exact=True)
    ids = tokenizer.tokenize([text])[0].numpy().tolist()
    sizes = [len(spelling) for spelling in make_spellings(SUBWORDS)]
    start = 0
    for place, token in enumerate(ids):
        rest = text.encode()[start:]
        if (rest[0] & 0xC0) != 0x80:  # where a character begins
            assert tokenizer.tokenize([rest])[0].numpy().tolist() == ids[place:]
        start += sizes[token]


@pytest.mark.parametrize("text", ["a", "é", "ab€", "x🎉", "日本"])
def test_a_character_that_is_not_complete_is_left_out(text):
    data = text.encode()
    for size in range(len(data) + 1):
        kept = drop_incomplete_character(tf.constant([data[:size]])).numpy()[0]
        assert kept == data[:size].decode(errors="ignore").encode()


def test_bytes_that_are_no_text_are_replaced_inside_and_left_out_at_the_end():
    ids = tf.constant([[FIRST_BYTE_ID + byte for byte in b"a\xc3b\xe2\x82"]])
    assert SubwordDetokenizer([], exact=True)(ids).numpy()[0].decode() == "a\ufffdb"


def test_subwords_are_learned_of_the_texts_as_they_are():
    assert learn_subwords(["abab"], 264, exact=True)[:1] == ["ab"]
    assert " ab" in learn_subwords(["abab ab"] * 2, 264)
    with pytest.raises(ValueError, match="exact=True"):
        SubwordTokenizer(SUBWORDS, 4).tokenize(["the"])
