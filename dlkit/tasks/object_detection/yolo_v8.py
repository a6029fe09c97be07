"""KerasCV's YOLOv8: places of three strides, and objects assigned to the places that see them best.

Jocher et al., 2023, github.com/ultralytics/ultralytics; the assignment is Feng et al., 2021, arXiv:2108.07755, and
sides are distributions over 16 distances, Li et al., 2020, arXiv:2006.04388. KerasCV 0.9 is its last release:
this file alone imports it.
"""

from __future__ import annotations

import math
from typing import Any

from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector as keras_cv_yolo

from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import boxes_of, classes_of, in_crowd, is_object

SIDES = keras_cv_yolo.BOX_REGRESSION_CHANNELS  # four sides of 16 distances
WIDTHS, DEPTHS, PYRAMID_DEPTH = (32, 64, 128, 256), (1, 2, 2, 1), 1  # of KerasCV's preset "xs"
PRIOR = 0.01  # score of every place before training
BOX_WEIGHT, CLASS_WEIGHT = 7.5, 0.5  # KerasCV's defaults


def network(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """KerasCV's detector over its own backbone, from scratch.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32.
        classes: how many.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output
        `predictions`: (batch, places, classes + 64) float32: scores, and the logits of 16 distances to each side.
    """
    import keras_cv

    backbone = keras_cv.models.YOLOV8Backbone(
        stackwise_channels=WIDTHS, stackwise_depth=DEPTHS, include_rescaling=False, input_shape=input_shape
    )
    detector = keras_cv.models.YOLOV8Detector(
        backbone=backbone, num_classes=classes, bounding_box_format="xyxy", fpn_depth=PYRAMID_DEPTH
    )
    for level in (1, 2, 3):  # KerasCV starts at a score of one half everywhere, which takes the first epochs to unlearn
        bias = detector.get_layer(f"yolo_v8_head_{level}_class_3_conv").bias
        bias.assign(keras.ops.full(bias.shape, -math.log((1 - PRIOR) / PRIOR)))
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(image)
    # As plain layers: KerasCV's own class would have to be there to load the network.
    made = keras.Model(detector.inputs, detector.outputs, name="backbone")(x)
    boxes, scores = made if made[0].shape[-1] == SIDES else reversed(made)
    together = keras.layers.Concatenate(dtype="float32", name="predictions")([scores, boxes])
    return keras.Model({"image": image}, {"predictions": together}, name="yolo_v8")


def decode(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes and scores of every place.

    Args:
        predictions: (batch, places, classes + 64) float32.
        height, width: of the network's image.

    Returns:
        boxes: (batch, places, 4) float32, yxyx in pixels of the network's image; scores: (batch, places, classes).
    """
    sides = tf.reshape(predictions[..., -SIDES:], [-1, predictions.shape[1], 4, SIDES // 4])
    distances = tf.reduce_sum(tf.nn.softmax(sides) * tf.range(SIDES // 4, dtype=tf.float32), axis=-1)
    centres, strides = keras_cv_yolo.get_anchors(image_shape=(height, width, 3))  # x, y in strides
    left, top, right, bottom = tf.unstack(distances, axis=-1)
    x, y = centres[:, 0], centres[:, 1]
    boxes = tf.stack([y - top, x - left, y + bottom, x + right], axis=-1) * strides[:, tf.newaxis]
    return boxes, predictions[..., :-SIDES]


@keras.saving.register_keras_serializable("dlkit")
class YoloV8Loss(keras.losses.Loss):
    """Cross-entropy of the scores and complete IoU of the boxes, of the places that KerasCV's assigner gives an object.

    Divergence: KerasCV divides by the batch's sum of target scores, this by the mean number of objects of an image, so
    that a row's loss does not depend on the others; and there is no loss of the distributions, as in KerasCV.

    Args:
        height, width: of the network's image.
        objects: mean number of objects of an image, which each row's sum is divided by.
        classes: how many.
    """

    def __init__(self, height: int, width: int, objects: float, classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width, self.objects, self.classes = height, width, objects, classes
        self._encoder = keras_cv_yolo.YOLOV8LabelEncoder(num_classes=classes)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, objects, 6) and (batch, places, classes + 64) to (batch,)."""
        boxes, scores = decode(y_pred, self.height, self.width)
        centres, strides = keras_cv_yolo.get_anchors(image_shape=(self.height, self.width, 3))
        centres *= strides[:, tf.newaxis]
        there = is_object(y_true)
        true = tf.where(there[..., tf.newaxis], tf.gather(boxes_of(y_true), [1, 0, 3, 2], axis=-1), -1.0)
        targets, target_scores, matched = self._encoder(
            scores,
            tf.gather(boxes, [1, 0, 3, 2], axis=-1),
            centres,
            tf.where(there, classes_of(y_true), -1),
            true,
            there[..., tf.newaxis],
        )
        targets, target_scores = tf.stop_gradient(targets), tf.stop_gradient(target_scores)
        matched = tf.cast(matched, tf.float32)
        overlap = keras.utils.bounding_boxes.compute_ciou(tf.gather(targets, [1, 0, 3, 2], axis=-1), boxes, "yxyx")
        weights = tf.reduce_sum(target_scores, axis=-1) * matched
        box_loss = tf.reduce_sum(tf.where(weights > 0, weights * (1.0 - overlap), 0.0), axis=1)
        entropy = keras.losses.binary_crossentropy(target_scores[..., tf.newaxis], scores[..., tf.newaxis])
        ignored = in_crowd(y_true, centres[:, ::-1])
        entropy = tf.reduce_sum(tf.where(ignored, 0.0, tf.reduce_sum(entropy, axis=-1)), axis=1)
        return (BOX_WEIGHT * box_loss + CLASS_WEIGHT * entropy) / self.objects

    def get_config(self) -> dict[str, Any]:
        names = ("height", "width", "objects", "classes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def loss_of(input_shape: tuple[int, int, int], objects: float, classes: int) -> YoloV8Loss:
    """The loss for images of this shape and so many classes, with so many objects on average."""
    return YoloV8Loss(input_shape[0], input_shape[1], objects, classes)
