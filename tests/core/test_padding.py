"""Padding: what a batch loses of it, and by what length rows are bucketed."""

import numpy as np
import tensorflow as tf

from dlkit.padding import Padding, row_lengths, trim
from dlkit.training.store import Store

MASK = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1] * 9 + [0] * 3], bool)
IDS = np.arange(24).reshape(2, 12)


def shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_a_batch_keeps_its_longest_row_rounded_up():
    tensors = {"ids": tf.constant(IDS), "padding_mask": tf.constant(MASK), "wide": tf.zeros([2, 12, 5])}
    assert shapes(trim(tensors, [Padding()])) == {"ids": (2, 12), "padding_mask": (2, 12), "wide": (2, 12, 5)}
    made = trim(tensors, [Padding(tensors=("ids", "padding_mask"), multiple=2)])
    assert shapes(made) == {"ids": (2, 10), "padding_mask": (2, 10), "wide": (2, 12, 5)}
    np.testing.assert_array_equal(made["ids"], IDS[:, :10])
    short = {name: values[:1] for name, values in tensors.items()}
    assert shapes(trim(short, [Padding()])) == {"ids": (1, 8), "padding_mask": (1, 8), "wide": (1, 8, 5)}


def test_padding_on_the_left_goes_there_and_rows_of_nothing_keep_something():
    history = tf.constant([[0] * 9 + [4, 0, 5], [0] * 12])
    made = trim({"history": history}, [Padding("history", left=True, multiple=4)])
    np.testing.assert_array_equal(made["history"], [[0, 4, 0, 5], [0, 0, 0, 0]])
    assert trim({"history": history[1:]}, [Padding("history", left=True)])["history"].shape == (1, 8)


def test_several_masks_trim_their_own_and_one_that_is_not_there_nothing():
    tensors = {"read": tf.constant(MASK), "written": tf.constant(MASK[::-1] & MASK)}
    paddings = [Padding("read", ("read",), 1), Padding("written", ("written",), 1), Padding("other")]
    assert shapes(trim(tensors, paddings)) == {"read": (2, 9), "written": (2, 3)}


def test_lengths_are_those_told_else_those_of_the_first_mask_for_buckets():
    plain, told = Store(2, 1), Store(2, 1)
    plain.append(({"padding_mask": MASK}, {}))
    told.append(({"padding_mask": MASK}, {}), lengths=[5, 4])
    assert row_lengths(plain, [Padding()]).tolist() == [3, 9]
    assert row_lengths(told, [Padding()]).tolist() == [5, 4]
    assert row_lengths(plain, [Padding(buckets=False)]) is None
    assert row_lengths(plain, [Padding("other")]) is None
    assert row_lengths(plain, []) is None
