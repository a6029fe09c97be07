"""Nothing in, nothing out; blanks at the end; Unicode forms; and why a written text ended."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.tasks.translation import write_tokens
from dlkit.tasks.translation.sample import sentences
from dlkit.tasks.translation.subwords import BYTE, END, JoinSubwords, Subwords
from dlkit.tasks.translation.write_tokens import WriteTokens
from dlkit.training.prepare import build_task

NOTHING = ["", " ", "\n", " \t \r\n", "\u00a0\u3000", "\u200b\ufeff", "\u2028"]
SMALL = {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 12}


@pytest.fixture(scope="module")
def model():
    """Not trained: what it makes of nothing would be made up."""
    task = dlkit.Translator(**SMALL)
    build_task(task, task.read(sentences()["train"]))
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
    layer, join = Subwords([" caf", "fé"], 32, nfc=True), JoinSubwords([" caf", "fé"])
    texts = ["cafe\u0301 \n", "", "  ", " a  b"]
    made = layer(texts)
    assert [text.decode() for text in join(made["token_ids"]).numpy()] == ["café", "", "", " a  b"]
    assert made["token_ids"][1].numpy().tolist() == [END] + [0] * 31
    assert Subwords([" caf"], 4)([""])["token_ids"][0].numpy().tolist() == [BYTE + ord(" "), END, 0, 0]  # as it was
    long = Subwords([" caf"], 4, nfc=True)([unicodedata.normalize("NFD", "ṩ") * 9_999])
    assert long["token_ids"][0, :2].numpy().tolist() == [BYTE + ord(" "), BYTE + 0xE1]
    assert long["truncated"].numpy().tolist() == [True]


class Script:
    """Stands for a network: each row ends after as many tokens as its first id says, never at 0."""

    def __init__(self, network, max_tokens):
        del network, max_tokens

    def begin(self, token_ids, padding_mask, beams):
        return {"ends": tf.repeat(token_ids[:, 0], beams)}, [tf.zeros([tf.shape(token_ids)[0] * beams, 1])]

    def shapes(self):
        return [tf.TensorShape([None, 1])]

    def step(self, ids, position, fixed, grown):
        ending = (position + 1 >= fixed["ends"]) & (fixed["ends"] > 0)
        logits = tf.where(ending[:, tf.newaxis], [[0.0, 0.0, 9.0, 0.0, 0.0]], [[0.0, 0.0, float("-inf"), 9.0, 0.0]])
        return logits, grown


@pytest.mark.parametrize("beams", [1, 3])
def test_why_a_text_ended(beams, monkeypatch):
    monkeypatch.setattr(write_tokens, "stepper_of", Script)
    layer = WriteTokens(None, 5, beams, tell_finish=True)
    ids = tf.constant([[3], [9], [1], [5], [6]])
    written = layer(ids, tf.ones_like(ids, tf.bool))
    assert written["finish_reason"].numpy().tolist() == [b"stop", b"length", b"stop", b"stop", b"length"]
    np.testing.assert_array_equal(written["written_ids"][0, :3], [3, 3, END])
    limit = layer.write(
        ids, tf.ones_like(ids, tf.bool), tf.fill([5], 3), tf.fill([5], beams), tf.ones([5]), beams=beams
    )
    assert limit["finish_reason"].numpy().tolist() == [b"stop", b"length", b"stop", b"length", b"length"]
    assert "finish_reason" not in WriteTokens(None, 5, beams)(ids, tf.ones_like(ids, tf.bool))
