"""The CTC loss, and texts as its targets."""

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.tasks.speech_recognition.character_accuracy import CharacterAccuracy
from dlkit.tasks.speech_recognition.ctc_loss import CtcLoss, close_padded_frames
from dlkit.tasks.speech_recognition.transcripts import Transcript, encode_characters, learn_characters, normalize


def test_the_loss_is_that_of_all_paths():
    logits = tf.constant(np.random.default_rng(0).normal(size=(1, 3, 3)), tf.float32)
    a, b, blank = (np.exp(tf.nn.log_softmax(logits)[0].numpy().astype(float)).T[key] for key in (0, 1, 2))
    paths = a[0] * b[1] * b[2] + a[0] * a[1] * b[2] + blank[0] * a[1] * b[2] + a[0] * blank[1] * b[2]
    paths += a[0] * b[1] * blank[2]
    assert float(CtcLoss(2.0)(tf.constant([[0, 1, -1]]), logits)) == pytest.approx(-np.log(paths) / 2, rel=1e-5)


def test_padded_frames_change_neither_loss_nor_gradient():
    logits = tf.Variable(np.random.default_rng(0).normal(size=(2, 7, 4)), dtype=tf.float32)
    mask = tf.sequence_mask([5, 7], 7)
    ids = tf.constant([[0, 1, 1], [2, -1, -1]])
    with tf.GradientTape() as tape:
        losses = CtcLoss().call(ids, close_padded_frames(logits, mask))
    gradient = tape.gradient(losses, logits)
    assert not gradient.numpy()[0, 5:].any()
    alone = CtcLoss().call(ids[:1], close_padded_frames(logits[:1, :5], mask[:1, :5]))
    assert float(losses[0]) == pytest.approx(float(alone[0]), rel=1e-5)


def test_a_text_that_does_not_fit_has_no_loss():
    logits = tf.Variable(tf.random.stateless_normal([3, 3, 3], [0, 1]))
    mask = tf.sequence_mask([2, 2, 3], 3)  # "aa" needs three frames
    with tf.GradientTape() as tape:
        losses = CtcLoss().call(tf.constant([[0, 0], [0, 1], [0, 0]]), close_padded_frames(logits, mask))
    gradient = tape.gradient(losses, logits).numpy()
    assert float(losses[0]) == 0 and not gradient[0].any()
    assert all(float(loss) > 0 for loss in losses[1:]) and np.isfinite(gradient).all() and gradient[2].any()


def test_an_empty_text_is_blanks_only():
    losses = CtcLoss().call(tf.constant([[-1, -1], [0, -1]]), tf.zeros([2, 4, 3]))
    assert float(losses[0]) == pytest.approx(4 * np.log(3), rel=1e-5)
    assert np.isfinite(losses.numpy()).all()


def test_texts_are_normalized():
    assert normalize("  Call-Forward\non NO\tanswer… ") == "call forward on no answer"
    assert normalize("don’t 'quote' 'tis dogs'") == "don't quote tis dogs"
    assert normalize("e\u0301t\u00e9") == "\u00e9t\u00e9"
    assert normalize("Hello, World!", lowercase=False, punctuation=True) == "Hello, World!"
    assert normalize("§ — !") == ""
    assert Transcript(lowercase=False).raw("A b.") == b"A b"


def test_ids_leave_out_unknown_characters_and_count_frames():
    characters = learn_characters(["abc", "ca é"])
    assert characters == [" ", "a", "b", "c", "é"]
    ids, frames = encode_characters(tf.constant(["aab", "xéx", "", "a" * 9]), characters, 5)
    assert ids.numpy().tolist() == [[1, 1, 2, -1, -1], [4, -1, -1, -1, -1], [-1] * 5, [1] * 5]
    assert frames.numpy().tolist() == [4, 1, 0, 17]


def test_accuracy_counts_edits():
    metric = CharacterAccuracy()
    heard = 9.0 * tf.one_hot([[0, 3, 1, 3], [2, 3, 3, 3]], 4)  # "ab" and "c"
    metric.update_state(tf.constant([[0, 1, 2], [2, -1, -1]]), heard)
    assert float(metric.result()) == pytest.approx(0.75)
    metric.update_state(tf.constant([[0, 1, 2], [1, -1, -1]]), heard, sample_weight=[0.0, 1.0])
    assert float(metric.result()) == pytest.approx(1 - 2 / 5)
