"""Alignment of a text to the frames that it was recognized from."""

from __future__ import annotations

from dlkit.lazy import tf
from dlkit.tasks.speech_recognition.ctc_beam_search import IMPOSSIBLE


def align(log_probs: tf.Tensor, characters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the frames of each character on the most probable path of a text.

    Args:
        log_probs: (batch, frames, characters + 1) float32, the blank last; the last frame of each row is a certain
            blank, as all padding is.
        characters: (batch, length) int32, the text of each row, padded with -1.

    Returns:
        Tuple of the first frame of each character and of the frame after its last one, (batch, length) int32 each;
        0 for padding.
    """
    choices = _choose_paths(log_probs, characters)
    places = _trace_paths(choices, tf.reduce_sum(tf.cast(characters >= 0, tf.int32), 1))
    length = tf.shape(characters)[1]
    # Place 2i + 1 on a path is character i; even places are blanks.
    is_at = places[:, :, tf.newaxis] == 2 * tf.range(length) + 1
    times = tf.range(tf.shape(log_probs)[1])[tf.newaxis, :, tf.newaxis]
    first = tf.reduce_min(tf.where(is_at, times, tf.int32.max), 1)
    stop = tf.reduce_max(tf.where(is_at, times + 1, 0), 1)
    return tf.where(stop > 0, first, 0), stop


def _choose_paths(log_probs: tf.Tensor, characters: tf.Tensor) -> tf.TensorArray:
    """Run the Viterbi algorithm; return how many places the best path to each place came from, 0 to 2, by frame."""
    rows, length = tf.shape(characters)[0], tf.shape(characters)[1]
    blank = log_probs.shape[-1] - 1
    # Places: a blank before each character, and one at the end; padding is a blank that no path reaches.
    labels = tf.reshape(tf.stack([tf.fill([rows, length], blank), characters], 2), [rows, 2 * length])
    labels = tf.pad(labels, [[0, 0], [0, 1]], constant_values=blank)
    emitted = tf.gather(log_probs, tf.where(labels < 0, blank, labels), axis=2, batch_dims=1)
    skips = tf.pad(labels[:, 2:] != labels[:, :-2], [[0, 0], [2, 0]]) & (labels != blank)
    places = tf.range(2 * length + 1)
    frames = tf.shape(log_probs)[1]

    def step(time: tf.Tensor, scores: tf.Tensor, choices: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        one, two = (
            tf.pad(scores, [[0, 0], [count, 0]], constant_values=IMPOSSIBLE)[:, : 2 * length + 1] for count in (1, 2)
        )
        from_places = tf.stack([scores, one, tf.where(skips, two, IMPOSSIBLE)], 2)
        choice = tf.argmax(from_places, 2, output_type=tf.int32)
        scores = tf.reduce_max(from_places, 2) + emitted[:, time]
        return time + 1, tf.maximum(scores, 2 * IMPOSSIBLE), choices.write(time, tf.cast(choice, tf.int8))

    start = tf.where(places < 2, 0.0, IMPOSSIBLE) + tf.zeros([rows, 1])
    choices = tf.TensorArray(tf.int8, frames, element_shape=[None, None])
    first = start + emitted[:, 0]
    choices = choices.write(0, tf.zeros([rows, 2 * length + 1], tf.int8))
    *_, choices = tf.while_loop(lambda time, *_: time < frames, step, (1, first, choices), parallel_iterations=1)
    return choices


def _trace_paths(choices: tf.TensorArray, lengths: tf.Tensor) -> tf.Tensor:
    """Follow the choices back from the last blank of each text: to the place at each frame, (batch, frames) int32."""
    frames = choices.size()
    table = choices.stack()

    def step(time: tf.Tensor, at: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        found = found.write(time, at)
        back = tf.cast(tf.gather(table[time], at, batch_dims=1), tf.int32)
        return time - 1, at - back, found

    found = tf.TensorArray(tf.int32, frames, element_shape=[None])
    *_, found = tf.while_loop(lambda time, *_: time >= 0, step, (frames - 1, 2 * lengths, found), parallel_iterations=1)
    return tf.transpose(found.stack())
