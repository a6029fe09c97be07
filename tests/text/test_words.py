import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.sentiment.character_tokenizer import CharacterTokenizer
from dlkit.tasks.sentiment.ngram_tokenizer import NgramTokenizer
from dlkit.tasks.sentiment.term_weights import (
    compute_inverse_document_frequency,
    compute_log_odds,
    compute_term_weights,
    count_texts,
)
from dlkit.text.words import Words, split_words


def words_of(text, lowercase=True):
    return [token.decode() for token in split_words([text], lowercase).to_list()[0]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't go, it’s 3.5!", ["don't", "go", ",", "it's", "3", ".", "5", "!"]),
        ("'quoted' rock'n'roll'", ["'", "quoted", "'", "rock'n'roll", "'"]),
        ("ÜBER naïve", ["über", "naïve"]),
        ("你好 world", ["你", "好", "world"]),
        ("👍🏽❤️", ["👍", "🏽", "❤"]),
        ("ﬁne… ＡＢ", ["fine", "...", "ab"]),
        ("a\u200db\u00a0c\td\x00e", ["ab", "c", "d", "e"]),
        ("x...y", ["x", ".", ".", ".", "y"]),
        (b"ok\xffok", ["ok", "\ufffd", "ok"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_of_a_text(text, tokens):
    assert words_of(text) == tokens


def test_case_is_kept_when_asked():
    assert words_of("The FILM", lowercase=False) == ["The", "FILM"]


def test_rows_stay_apart():
    # An apostrophe or a word at a row's end must not join the next row's beginning.
    rows = split_words(["don'", "t a", "", "b"], True).to_list()
    assert rows == [[b"don", b"'"], [b"t", b"a"], [], [b"b"]]


def test_word_ids_by_hand():
    words = Words(["film", "good", "."], 4)
    out = words(["Good film.", "", "a good good good film"])
    np.testing.assert_array_equal(out["token_ids"], [[3, 2, 4, 0], [0, 0, 0, 0], [1, 3, 3, 3]])
    np.testing.assert_array_equal(out["padding_mask"], [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert (out["token_ids"].dtype, out["padding_mask"].dtype) == (tf.int32, tf.bool)


def test_learn_takes_the_most_frequent_and_breaks_ties_by_code_point():
    words = Words.learn(["b c é a", "c", "B"], size=5, max_tokens=4)
    assert words.vocabulary == ["b", "c", "a"]
    assert words.vocabulary_size == 5
    assert Words.learn(iter(["b b a"]), 9, 4, min_count=2).vocabulary == ["b"]


def test_character_ids_by_hand():
    characters = CharacterTokenizer(["a", "é", " "], 5)
    out = characters(["aé A", "é" * 9, b"\xff", ""])
    expected = [[2, 3, 4, 1, 0], [3, 3, 3, 3, 3], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(out["token_ids"], expected)
    np.testing.assert_array_equal(out["padding_mask"], np.array(expected) > 0)
    assert CharacterTokenizer.learn(["bba", "AA"], 9, 5, lowercase=True).vocabulary == ["a", "b"]


def test_ngram_ids_by_hand():
    ngrams = NgramTokenizer(["good", "film", "good film", "c:<fi", "c:lm>", "c:ood"], 6, character_ngrams=(3, 3))
    out = ngrams(["Good film", "good good, film", "", "nothing"])
    expected = [[2, 3, 4, 7, 5, 6], [2, 3, 7, 5, 6, 0], [0] * 6, [0] * 6]
    np.testing.assert_array_equal(out["token_ids"], expected)
    repeated = NgramTokenizer(["good", "film"], 3, word_ngrams=1, distinct=False)
    np.testing.assert_array_equal(repeated(["good good film"])["token_ids"], [[2, 2, 3]])


def test_ngrams_learn_words_before_characters():
    ngrams = NgramTokenizer.learn(["ab ab", "ab"], 20, 9, word_ngrams=2, character_ngrams=(2, 2), min_count=1)
    assert ngrams.vocabulary == ["ab", "ab ab", "c:<a", "c:ab", "c:b>"]


def test_inverse_document_frequency_by_hand():
    ngrams = NgramTokenizer(["a", "b"], 4, word_ngrams=1)
    found = count_texts(ngrams, ["a b", "a", "a"], np.ones((3, 1)))[:, 0]
    weights = compute_inverse_document_frequency(found, 3)
    np.testing.assert_allclose(weights[[0, 2, 3]], [0, 1, np.log(4 / 2) + 1], rtol=1e-6)


TOKENIZERS = {
    "words": lambda: Words(["good", "film", "naïve", "你"], 6),
    "characters": lambda: CharacterTokenizer(list("agod é你"), 6, lowercase=True),
    "ngrams": lambda: NgramTokenizer(["good", "good film", "c:<fi"], 6, character_ngrams=(3, 4)),
}
TEXTS = ["Good film", "", "naïve 你", b"\xff\xfe bad", "a longer good film of many words"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_same_from_a_file_a_saved_model_and_a_dataset(name, tmp_path):
    layer = TOKENIZERS[name]()
    text = keras.Input((), dtype="string", name="text")
    model = keras.Model({"text": text}, layer(text))
    expected = {key: value.numpy() for key, value in layer(TEXTS).items()}

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    archive = keras.export.ExportArchive()
    archive.track(loaded)
    spec = tf.TensorSpec((None,), tf.string, name="text")
    archive.add_endpoint("serve", lambda text: loaded({"text": text}), [spec])
    archive.write_out(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").signatures["serve"]
    dataset = tf.data.Dataset.from_tensors(tf.constant(TEXTS)).map(layer)

    for answers in (loaded({"text": tf.constant(TEXTS)}), served(tf.constant(TEXTS)), next(iter(dataset))):
        for key, value in expected.items():
            np.testing.assert_array_equal(answers[key], value)
    for row, alone in enumerate(TEXTS):
        np.testing.assert_array_equal(layer([alone])["token_ids"][0], expected["token_ids"][row])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Words(["a"], 0), "`max_tokens` must be a positive integer. Received: max_tokens=0."),
        (lambda: Words("ab", 3), "`vocabulary` must be a list of strings"),
        (lambda: Words([], 3), "at least one token"),
        (lambda: Words(["a", "a"], 3), "'a' more than once"),
        (lambda: Words.learn(["a"], 2, 3), "`size` must leave room"),
        (lambda: CharacterTokenizer(["ab"], 3), "single characters. Received: 'ab'."),
        (
            lambda: NgramTokenizer(["a"], 3, word_ngrams=0),
            "`word_ngrams` must be a positive integer. Received: word_ngrams=0.",
        ),
        (lambda: NgramTokenizer(["a"], 3, character_ngrams=(4, 3)), "the shorter first"),
    ],
)
def test_errors_say_what_was_received(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


def test_ngrams_of_characters_across_words_by_hand():
    across = {"character_ngrams": (2, 3), "across_words": True}
    ngrams = NgramTokenizer.learn(["ab c", ""], 30, 20, word_ngrams=1, min_character_count=1, **across)
    found = ["c: a", "c: ab", "c: c", "c: c ", "c:ab", "c:ab ", "c:b ", "c:b c", "c:c "]
    assert ngrams.vocabulary == ["ab", "c", *found]
    out = NgramTokenizer(["c:b c", "c: a", "c:  "], 4, **across)(["ab c", "ab. c", ""])  # the dot is a word
    np.testing.assert_array_equal(out["token_ids"], [[3, 2, 0, 0], [3, 0, 0, 0], [0] * 4])
    again = NgramTokenizer.from_config(ngrams.get_config())
    np.testing.assert_array_equal(again(["ab c"])["token_ids"], [[2, 3, 4, 8, 10, 6, 12, 5, 9, 11, 7, *[0] * 9]])


def test_term_weights_by_hand():
    ngrams = NgramTokenizer(["good", "film", "c:oo"], 9, word_ngrams=1, character_ngrams=(2, 2))
    texts, targets = ["good film", "good", "film", "bad"], np.eye(2)[[0, 0, 1, 1]]
    weights = compute_term_weights(ngrams, texts, targets)
    # In both texts of one label and in neither of the other: (2 + 1) / (2 + 2) against (0 + 1) / (2 + 2).
    good = (np.log(5 / 3) + 1) * np.sqrt(np.log(3))
    np.testing.assert_allclose(weights, [0, weights[1], good, 0, good], rtol=1e-6)
    many = NgramTokenizer(["good", "c:oo", "c:od", "c:go", "c:<g"], 9, word_ngrams=1, character_ngrams=(2, 2))
    found = compute_term_weights(many, texts, targets)[2:]
    np.testing.assert_allclose(found, good * np.array([1, *[0.5] * 4]), rtol=1e-6)


def test_log_odds_of_texts_with_several_labels():
    counts = np.array([[2.0, 2.0]])  # the same two of four texts, both with both labels
    odds = compute_log_odds(counts, np.array([2.0]), np.array([2.0, 3.0]), 4)
    np.testing.assert_allclose(odds, [np.log((3 / 4) / (1 / 4))])
