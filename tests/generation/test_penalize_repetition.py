"""The penalty of repeated tokens."""

import numpy as np
import tensorflow as tf

from dlkit.generation.sample_tokens import penalize_repetition


def test_repeated_tokens_are_penalized_by_hand():
    logits = tf.constant([[1.0, -1.0, 3.0], [1.0, -1.0, 3.0]])
    found = penalize_repetition(logits, tf.constant([[0, 1, 1], [2, 2, 2]]), tf.constant([2.0, 1.5]))
    np.testing.assert_allclose(found, [[0.5, -2.0, 3.0], [1.0, -1.0, 2.0]])
    assert (
        penalize_repetition(logits, tf.zeros([2, 0], tf.int32), tf.ones(2)).numpy().tolist() == logits.numpy().tolist()
    )
