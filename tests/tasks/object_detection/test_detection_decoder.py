"""From predictions to answers: suppression, thresholds, padding, and every row for itself."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.object_detection.centernet import STRIDE
from dlkit.tasks.object_detection.detection_decoder import DetectionDecoder

HEIGHT, WIDTH, LABELS = 64, 96, ["cat", "dog"]


def predictions(*rows):
    """What centernet says where it sees (box, class, score)."""
    grid = np.full((len(rows), HEIGHT // STRIDE, WIDTH // STRIDE, len(LABELS) + 4), -30.0, np.float32)
    for row, found in enumerate(rows):
        for (top, left, bottom, right), number, score in found:
            y, x = int((top + bottom) / 2 / STRIDE), int((left + right) / 2 / STRIDE)
            center_y, center_x = (y + 0.5) * STRIDE, (x + 0.5) * STRIDE
            sides = np.array([center_y - top, center_x - left, bottom - center_y, right - center_x]) / STRIDE
            grid[row, y, x, number] = np.log(score / (1 - score))
            grid[row, y, x, 2:] = np.log(sides)
    return tf.constant(grid.reshape(len(rows), -1, len(LABELS) + 4))


def layer(**hparams):
    return DetectionDecoder("centernet", HEIGHT, WIDTH, LABELS,
                         **{"max_detections": 4, "score_threshold": 0.1, "iou_threshold": 0.5, **hparams})  # fmt: skip


SIZE = [[HEIGHT, WIDTH]]


def test_the_worse_of_two_overlapping_boxes_of_a_class_goes():
    seen = [([10, 10, 50, 50], 0, 0.9), ([18, 10, 58, 50], 0, 0.8), ([18, 18, 58, 58], 1, 0.7)]
    answer = layer()(predictions(seen), tf.constant(SIZE))
    assert answer["num_detections"].numpy().tolist() == [2]
    assert answer["labels"].numpy().tolist() == [[b"cat", b"dog", b"", b""]]
    np.testing.assert_allclose(answer["scores"], [[0.9, 0.7, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(answer["boxes"][0], [[10, 10, 50, 50], [18, 18, 58, 58], [0] * 4, [0] * 4], atol=1e-3)
    lenient = layer(iou_threshold=0.9)(predictions(seen), tf.constant(SIZE))
    assert lenient["num_detections"].numpy().tolist() == [3]


def test_an_image_of_more_objects_than_answers_keeps_the_best():
    seen = [([8 * n, 8 * n, 8 * n + 7, 8 * n + 7], 0, 0.2 + 0.1 * n) for n in range(7)]
    answer = layer()(predictions(seen), tf.constant(SIZE))
    assert answer["num_detections"].numpy().tolist() == [4]
    np.testing.assert_allclose(answer["scores"], [[0.8, 0.7, 0.6, 0.5]], atol=1e-5)


def test_an_image_without_objects_has_an_answer():
    answer = layer()(predictions([]), tf.constant(SIZE))
    assert answer["num_detections"].numpy().tolist() == [0]
    assert not answer["boxes"].numpy().any()


def test_a_portrait_and_a_landscape_in_one_batch_get_their_own_pixels():
    box = [16, 32, 48, 64]
    seen = predictions([(box, 0, 0.9)], [(box, 0, 0.9)])
    answer = layer()(seen, tf.constant([[128, 64], [32, 96]]))
    # 128 x 64 became 64 x 32 in the columns from 32 on; 32 x 96 stayed, in the rows from 16 on
    np.testing.assert_allclose(answer["boxes"][0, 0], [32, 0, 96, 64], atol=1e-3)
    np.testing.assert_allclose(answer["boxes"][1, 0], [0, 32, 32, 64], atol=1e-3)


def test_thresholds_of_a_row_are_its_own():
    seen = [([10, 10, 50, 50], 0, 0.9), ([18, 10, 58, 50], 0, 0.8), ([4, 60, 20, 80], 1, 0.2)]
    given = predictions(seen, seen, seen), tf.constant(SIZE * 3)
    answer = layer().call_with_thresholds(*given, tf.constant([0.1, 0.5, 0.1]), tf.constant([0.5, 0.5, 0.95]))
    assert answer["num_detections"].numpy().tolist() == [2, 1, 3]
    alone = layer()(predictions(seen), tf.constant(SIZE))
    for name, value in alone.items():
        np.testing.assert_array_equal(answer[name][:1], value)


@pytest.mark.parametrize("height", [1, 7])
def test_boxes_stay_inside_of_a_thin_image(height):
    answer = layer()(predictions([([0, 0, 64, 96], 1, 0.9)]), tf.constant([[height, 300]]))
    np.testing.assert_allclose(answer["boxes"][0, 0], [0, 0, height, 300], atol=1e-3)
