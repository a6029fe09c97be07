"""Nothing in, nothing out; blanks at the end; Unicode forms; and why a written text ended."""

import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.tasks.translation import token_generator
from dlkit.tasks.translation.sample import make_sentences
from dlkit.tasks.translation.token_generator import TokenGenerator
from dlkit.text.subword_tokenizer import END_ID, FIRST_BYTE_ID, SubwordDetokenizer, SubwordTokenizer
from dlkit.training.prepare import build_task

NOTHING = ["", " ", "\n", " \t \r\n", "\u00a0\u3000", "\u200b\ufeff", "\u2028"]
SMALL = {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 12}


@pytest.fixture(scope="module")
def model():
    """Not trained: what it makes of nothing would be made up."""
    keras.utils.set_random_seed(1)  # weights with which a text is not empty
    task = dlkit.Translator(**SMALL)
    build_task(task, task.read(make_sentences()["train"]))
    return task


def alike(one, other):
    return {**one, "score": 0} == {**other, "score": 0} and one["score"] == pytest.approx(other["score"], rel=1e-4)


def test_nothing_in_nothing_out(model):
    for answer in model.predict(NOTHING):
        assert answer == {"translation": "", "score": 1.0, "truncated": False, "finish_reason": "stop"}
    for options in ({}, {"temperature": 1.5}, {"beam_width": 1}, {"max_tokens": 1}):
        for answer in model.generate(NOTHING, **options):
            assert (answer["translation"], answer["finish_reason"]) == ("", "stop")
    mixed = model.predict(["", "The house is white.", " "])  # others beside it
    assert alike(mixed[1], model.predict("The house is white."))
    assert [answer["translation"] for answer in mixed[::2]] == ["", ""]
    assert mixed[1]["translation"]


def test_blanks_at_the_end_and_forms_of_unicode_change_nothing(model):
    plain, *others = model.predict(
        ["¿Qué año?", "¿Qué año? ", "¿Qué año?\r\n", unicodedata.normalize("NFD", "¿Qué año?")]
    )
    for other in others:
        assert alike(other, plain)
    fill = "x" * 10  # with the end as many tokens as there is room for
    assert [answer["truncated"] for answer in model.predict([fill, fill + "  ", fill + "y"])] == [False, False, True]


def test_subwords_of_what_is_left():
    layer, detokenizer = SubwordTokenizer([" caf", "fé"], 32), SubwordDetokenizer([" caf", "fé"])
    texts = ["cafe\u0301 \n", "", "  ", " a  b"]
    made = layer(texts)
    assert [text.decode() for text in detokenizer(made["token_ids"]).numpy()] == ["café", "", "", " a  b"]
    assert made["token_ids"][1].numpy().tolist() == [END_ID] + [0] * 31
    long = SubwordTokenizer([" caf"], 4)([unicodedata.normalize("NFD", "ṩ") * 9_999])
    assert long["token_ids"][0, :2].numpy().tolist() == [FIRST_BYTE_ID + ord(" "), FIRST_BYTE_ID + 0xE1]
    assert long["truncated"].numpy().tolist() == [True]


class Script:
    """Stands for a network: each row ends after as many tokens as its first id says, never at 0."""

    def __init__(self, network, max_tokens):
        del network, max_tokens

    def begin(self, token_ids, padding_mask, num_beams):
        return {"ends": tf.repeat(token_ids[:, 0], num_beams)}, [tf.zeros([tf.shape(token_ids)[0] * num_beams, 1])]

    def cache_shapes(self):
        return [tf.TensorShape([None, 1])]

    def step(self, ids, position, encoded, cache):
        ending = (position + 1 >= encoded["ends"]) & (encoded["ends"] > 0)
        logits = tf.where(ending[:, tf.newaxis], [[0.0, 0.0, 9.0, 0.0, 0.0]], [[0.0, 0.0, float("-inf"), 9.0, 0.0]])
        return logits, cache


@pytest.mark.parametrize("beams", [1, 3])
def test_why_a_text_ended(beams, monkeypatch):
    monkeypatch.setattr(token_generator, "make_incremental_decoder", Script)
    layer = TokenGenerator(None, 5, beams)
    ids = tf.constant([[3], [9], [1], [5], [6]])
    generated = layer(ids, tf.ones_like(ids, tf.bool))
    assert generated["finish_reason"].numpy().tolist() == [b"stop", b"length", b"stop", b"stop", b"length"]
    np.testing.assert_array_equal(generated["generated_ids"][0, :3], [3, 3, END_ID])
    limited = layer.generate(
        ids, tf.ones_like(ids, tf.bool), tf.fill([5], 3), tf.fill([5], beams), tf.ones([5]), num_beams=beams
    )
    assert limited["finish_reason"].numpy().tolist() == [b"stop", b"length", b"stop", b"length", b"length"]
