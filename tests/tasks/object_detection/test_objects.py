"""The targets of detectors: letterboxes, crowds and places, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.object_detection.objects import (
    CLIPPED,
    CROWD,
    cell_centers,
    in_crowd,
    is_crowd,
    is_object,
    letterbox_objects,
)


def letterboxed(boxes, labels, size, height, width, most=4):
    return letterbox_objects(
        tf.constant([boxes], tf.float32), tf.constant([labels]), tf.constant([size]), ["a", "b"], height, width, most
    ).numpy()[0]


def test_a_landscape_is_centered_between_black_rows():
    # 100 x 200 into 64 x 64: a third of the size, 32 rows, 16 of them black above
    found = letterboxed([[10, 20, 50, 120, 0]], ["b"], [100, 200], 64, 64)
    np.testing.assert_allclose(found[0], [10 * 0.32 + 16, 20 * 0.32, 50 * 0.32 + 16, 120 * 0.32, 1, 0], rtol=1e-6)
    assert (found[1:, 4] == -1).all()


def test_a_portrait_is_centered_between_black_columns():
    found = letterboxed([[10, 20, 50, 80, 1]], ["a"], [200, 100], 64, 64)
    np.testing.assert_allclose(found[0], [3.2, 20 * 0.32 + 16, 16, 80 * 0.32 + 16, 0, CROWD], rtol=1e-6)


def test_boxes_beyond_the_image_are_cut_and_marked_and_those_outside_vanish():
    boxes = [[-5, 0, 10, 10, 0], [60, 60, 80, 80, 0], [70, 70, 90, 90, 1], [1, 1, 2, 2, 0]]
    found = letterboxed(boxes, ["a", "a", "b", ""], [64, 64], 64, 64)
    np.testing.assert_allclose(found[0], [0, 0, 10, 10, 0, CLIPPED])
    np.testing.assert_allclose(found[1], [60, 60, 64, 64, 0, CLIPPED])
    assert found[2, 4] == -1
    assert found[2, 5] >= CLIPPED  # it is still counted
    assert found[3, 4] == -1


def test_crowds_are_no_objects_whatever_else_is_marked():
    objects = tf.constant([[[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, CROWD], [0, 0, 1, 1, 0, CROWD + CLIPPED],
                            [0, 0, 1, 1, 2, CLIPPED], [0, 0, 1, 1, -1, CROWD]]], tf.float32)  # fmt: skip
    assert is_crowd(objects).numpy().tolist() == [[False, True, True, False, False]]
    assert is_object(objects).numpy().tolist() == [[True, False, False, True, False]]


def test_places_inside_of_a_crowd():
    objects = tf.constant([[[0, 0, 8, 16, 0, CROWD], [8, 8, 16, 16, 0, 0]]], tf.float32)
    centers = cell_centers(16, 16, 8)
    np.testing.assert_array_equal(centers, [[4, 4], [4, 12], [12, 4], [12, 12]])
    assert in_crowd(objects, centers).numpy().tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (37, 64)])
def test_there_and_back_again(size):
    from dlkit.tasks.object_detection.detection_decoder import DetectionDecoder

    boxes = np.float32([[0, 0, *size], [size[0] * 0.2, size[1] * 0.3, size[0] * 0.9, size[1] * 0.5]])
    objects = letterboxed(np.pad(boxes, [(0, 0), (0, 1)]), ["a", "b"], list(size), 64, 96)
    layer = DetectionDecoder("centernet", 64, 96, ["a", "b"], 2, 0.1, 0.5)
    kept = (tf.constant(objects[None, :2, :4]), tf.ones([1, 2]), tf.constant([[0.0, 1.0]]), tf.constant([2]))
    answer = layer._to_detections(kept, tf.constant([size]))
    np.testing.assert_allclose(answer["boxes"][0], boxes, atol=1e-3)
    assert answer["labels"].numpy().tolist() == [[b"a", b"b"]]
