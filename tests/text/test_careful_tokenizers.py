"""Options of all tokenizers: Unicode forms that are one text, and which texts were cut."""

import unicodedata

import numpy as np
import pytest

from dlkit.lazy import keras
from dlkit.tasks.sentiment.character_tokenizer import CharacterTokenizer
from dlkit.tasks.sentiment.ngram_tokenizer import NgramTokenizer
from dlkit.text.wordpiece import WordPiece
from dlkit.text.words import Words

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
KINDS = {
    "words": lambda **options: Words.learn(["café été là"], 20, 3, **options),
    "characters": lambda **options: CharacterTokenizer.learn(["café été là"], 20, 3, **options),
    "ngrams": lambda **options: NgramTokenizer.learn(["café été là"], 20, 3, word_ngrams=1, **options),
    "wordpiece": lambda **options: WordPiece([*SPECIAL, "café", "été", "là"], 5, False, False, **options),
}


@pytest.mark.parametrize("kind", KINDS)
def test_forms_of_unicode_are_one_text(kind):
    text = "café" if kind != "characters" else "éà"
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    same = KINDS[kind]()(forms)["token_ids"].numpy()
    np.testing.assert_array_equal(same[0], same[1])
    apart = KINDS[kind](nfc=False)(forms)["token_ids"].numpy()
    assert (apart[0] != apart[1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_is_told(kind):
    texts = ["ééé", "éété"] if kind == "characters" else ["café été là", "café été là café", ""]
    if kind == "ngrams":
        texts[1] = "café été là café nothing"  # each once, and what is unknown not at all
    layer = KINDS[kind]()
    text = keras.Input((), dtype="string")
    assert layer(text)["truncated"].shape == (None,)
    expected = [False, kind != "ngrams", False][: len(texts)]
    assert layer(texts)["truncated"].numpy().tolist() == expected
    copy = type(layer).from_config(layer.get_config())
    assert copy(texts)["truncated"].numpy().tolist() == expected


def test_ngrams_beyond_the_bag_are_told():
    bag = NgramTokenizer.learn(["a b c d"], 20, 3, word_ngrams=1)
    assert bag(["a b c", "a b c d"])["truncated"].numpy().tolist() == [False, True]


@pytest.mark.parametrize("blanks", [" ", "\n\r\n", "\t \u00a0", "\u3000", "\u2028\u200b\ufeff"])
def test_blanks_at_the_end_change_nothing(blanks):
    for kind, make in KINDS.items():
        plain, blank, nothing = (make()([text]) for text in ("là ", "là" + blanks, blanks))
        for name, values in plain.items():
            np.testing.assert_array_equal(values, blank[name], err_msg=f"{kind} {name}")
        assert int(nothing["padding_mask"].numpy().sum()) == (2 if kind == "wordpiece" else 0)
