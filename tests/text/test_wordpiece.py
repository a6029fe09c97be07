import csv

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from dlkit.text.vocabulary import read_vocabulary
from dlkit.text.wordpiece import WordPiece

# Whole words, pieces of several lengths (so that greedy differs from other ways to cut), letters as the last resort.
PIECES = "the film un ##aff ##able ##ab ##le a ##bc ab c cafe strasse 你 ... . , ! ' ½ don ##t 한국 mov ##ie ##ies"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES.split()]
VOCABULARY += [piece for piece in (*"bdeghijklmnopqrstuvwxyzé0123456789$-",) if piece not in VOCABULARY]
VOCABULARY += ["##" + piece for piece in "abcdefghijklmnopqrsuvwxyzé0123456789"]
HAND_MADE = [
    "unaffable film, the Movies!",
    "",
    "   ",
    "😀👍🏽 ok ❤️",
    "你好 hello世界",
    "a\x01b\tc\u200bd\u00ade\ufefff",
    "12345 $3.14 ² ½",
    "Straße İstanbul ΟΔΟΣ Café",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 60,
    "…!?¿¡«»'quoted'",
    "´x¨y x\u00a0y",
    "한국어 테스트",
    "[CLS] [MASK] ##ing ## #",
    "ＡＢＣ ﬁne ≠ 🇩🇪 __init__ 𝒽𝑒",
    "no such piece: яблоко",
]


def kerashub_ids(texts, vocabulary, lowercase, strip_accents, max_tokens):
    tokenizer = keras_hub.tokenizers.BertTokenizer(
        vocabulary=vocabulary, lowercase=lowercase, strip_accents=strip_accents
    )
    packer = keras_hub.layers.StartEndPacker(
        max_tokens, start_value=tokenizer.cls_token_id, end_value=tokenizer.sep_token_id, pad_value=0
    )
    return tf.function(lambda text: packer(tokenizer(text)))(tf.constant(texts)).numpy()


@pytest.mark.parametrize("max_tokens", [5, 160])
@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, True), (True, False), (False, False)])
def test_hand_made_texts_get_kerashubs_ids(lowercase, strip_accents, max_tokens):
    ours = WordPiece(VOCABULARY, max_tokens, lowercase, strip_accents, nfc=False)(HAND_MADE)
    expected = kerashub_ids(HAND_MADE, VOCABULARY, lowercase, strip_accents, max_tokens)
    np.testing.assert_array_equal(ours["token_ids"], expected)
    np.testing.assert_array_equal(ours["padding_mask"], expected != 0)


def test_real_sentences_get_kerashubs_ids(real_data):
    with (real_data / "movie_reviews/train.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    with (real_data / "en_es/train.tsv").open(encoding="utf-8") as file:
        texts += [line.split("\t")[1] for _, line in zip(range(4000), file, strict=False)]
    ours = WordPiece(VOCABULARY, 128, nfc=False)(texts)["token_ids"].numpy()
    expected = kerashub_ids(texts, VOCABULARY, True, True, 128)
    assert (ours != expected).any(1).sum() == 0
    assert len(texts) == 12056


def tokens_of(text, **options):
    layer = WordPiece(VOCABULARY, 16, **options)
    out = layer([text])
    return [VOCABULARY[number] for number in out["token_ids"][0][: int(out["padding_mask"].numpy().sum())]]


def test_pieces_by_hand():
    assert tokens_of("Unaffable.") == ["[CLS]", "un", "##aff", "##able", ".", "[SEP]"]
    # Greedy: the longest `ab` first, which leaves `c`; `a` + `##bc` is not tried.
    assert tokens_of("abc") == ["[CLS]", "ab", "##c", "[SEP]"]
    assert tokens_of("CAFÉ cafe") == ["[CLS]", "cafe", "cafe", "[SEP]"]
    assert tokens_of("яблоко film") == ["[CLS]", "[UNK]", "film", "[SEP]"]
    assert tokens_of("") == ["[CLS]", "[SEP]"]
    assert tokens_of("a\x00film") == ["[CLS]", "a", "film", "[SEP]"]


def test_vocabulary_files_keep_odd_tokens_and_their_lines(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\r\n\u2028\né\n".encode())
    assert read_vocabulary(path) == ["[PAD]", "\u2028", "é"]
    path.write_bytes(b"a\n\nb\n")
    with pytest.raises(ValueError, match=r"line 2 of .*vocab.txt is empty"):
        read_vocabulary(path)


def test_invalid_utf8_is_unknown_and_cuts_keep_the_end():
    ids = WordPiece(VOCABULARY, 4)([b"\xff film", "the film the film"])["token_ids"].numpy()
    film, the = VOCABULARY.index("film"), VOCABULARY.index("the")
    np.testing.assert_array_equal(ids, [[2, 1, film, 3], [2, the, film, 3]])


def test_the_same_from_a_file_and_a_saved_model(tmp_path):
    layer = WordPiece(VOCABULARY, 24, strip_accents=False)
    text = keras.Input((), dtype="string", name="text")
    keras.Model({"text": text}, layer(text)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    archive = keras.export.ExportArchive()
    archive.track(loaded)
    spec = tf.TensorSpec((None,), tf.string, name="text")
    archive.add_endpoint("serve", lambda text: loaded({"text": text}), [spec])
    archive.write_out(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").signatures["serve"]
    together = layer(HAND_MADE)["token_ids"].numpy()
    np.testing.assert_array_equal(served(tf.constant(HAND_MADE))["token_ids"], together)
    for row, alone in enumerate(HAND_MADE):
        np.testing.assert_array_equal(served(tf.constant([alone]))["token_ids"][0], together[row])


@pytest.mark.parametrize(
    ("vocabulary", "max_tokens", "message"),
    [
        (["[PAD]", "[CLS]", "[SEP]"], 8, "Received: none of [UNK]."),
        (
            ["[UNK]", "[PAD]", "[CLS]", "[SEP]"],
            8,
            "`vocabulary` must begin with [PAD]. Received: '[UNK]' first.",
        ),
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]"], 2, "Received: max_tokens=2."),
    ],
)
def test_errors_say_what_was_received(vocabulary, max_tokens, message):
    with pytest.raises(ValueError) as error:
        WordPiece(vocabulary, max_tokens)
    assert message in str(error.value)
