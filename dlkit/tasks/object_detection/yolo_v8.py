"""YOLOv8 of KerasCV: locations of three strides, with task-aligned assignment of objects.

Jocher et al., 2023, github.com/ultralytics/ultralytics; the assignment is Feng et al., 2021, arXiv:2108.07755;
distances are distributions over 16 values, Li et al., 2020, arXiv:2006.04388. KerasCV 0.9 is its last release; only
this module imports it.
"""

from __future__ import annotations

import math
from typing import Any

from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector as keras_cv_yolo

from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import get_boxes, get_classes, in_crowd, is_object

BOX_CHANNELS = keras_cv_yolo.BOX_REGRESSION_CHANNELS  # channels of the box head: 4 sides times 16 distances
STAGE_FILTERS, NUM_BLOCKS, FPN_DEPTH = (32, 64, 128, 256), (1, 2, 2, 1), 1  # as in KerasCV's preset "xs"
PRIOR_PROBABILITY = 0.01  # score of every location before training
BOX_WEIGHT, CLASS_WEIGHT = 7.5, 0.5  # KerasCV's defaults


def build_network(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Build KerasCV's detector over its own backbone, with random weights.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32 pixels.
        num_classes: number of classes.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `predictions`, (batch, locations, num_classes + 64) float32: scores, and the logits of 16 distances to
        each side.

    Examples:
        >>> from dlkit.tasks.object_detection.yolo_v8 import build_network
        >>> build_network((64, 64, 3), 2).output_shape
        (None, 84, 66)
    """
    import keras_cv

    backbone = keras_cv.models.YOLOV8Backbone(
        stackwise_channels=STAGE_FILTERS, stackwise_depth=NUM_BLOCKS, include_rescaling=False, input_shape=input_shape
    )
    detector = keras_cv.models.YOLOV8Detector(
        backbone=backbone, num_classes=num_classes, bounding_box_format="xyxy", fpn_depth=FPN_DEPTH
    )
    for level in (1, 2, 3):  # KerasCV initializes all scores to 0.5, which costs the first epochs
        bias = detector.get_layer(f"yolo_v8_head_{level}_class_3_conv").bias
        bias.assign(keras.ops.full(bias.shape, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)))
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(image)
    # As a plain functional model, which loads without KerasCV's class.
    outputs = keras.Model(detector.inputs, detector.outputs, name="backbone")(x)
    boxes, scores = outputs if outputs[0].shape[-1] == BOX_CHANNELS else reversed(outputs)
    predictions = keras.layers.Concatenate(dtype="float32", name="predictions")([scores, boxes])
    return keras.Model({"image": image}, {"predictions": predictions}, name="yolo_v8")


def decode_predictions(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode predictions to the box and scores of each location.

    Args:
        predictions: (batch, locations, classes + 64) float32.
        height, width: size of the network's input, in pixels.

    Returns:
        boxes: (batch, locations, 4) float32, ymin, xmin, ymax, xmax in pixels of the network's input. scores: (batch,
        locations, classes) float32.
    """
    distance_logits = tf.reshape(predictions[..., -BOX_CHANNELS:], [-1, predictions.shape[1], 4, BOX_CHANNELS // 4])
    distances = tf.reduce_sum(tf.nn.softmax(distance_logits) * tf.range(BOX_CHANNELS // 4, dtype=tf.float32), axis=-1)
    centers, strides = keras_cv_yolo.get_anchors(image_shape=(height, width, 3))  # x, y in strides
    left, top, right, bottom = tf.unstack(distances, axis=-1)
    x, y = centers[:, 0], centers[:, 1]
    boxes = tf.stack([y - top, x - left, y + bottom, x + right], axis=-1) * strides[:, tf.newaxis]
    return boxes, predictions[..., :-BOX_CHANNELS]


@keras.saving.register_keras_serializable("dlkit")
class YoloV8Loss(keras.losses.Loss):
    """Cross-entropy of the scores, and complete IoU loss of the boxes at locations that are assigned to an object.

    Differences: KerasCV divides by the sum of the target scores of the batch, this loss by the mean number of objects
    per image, so that the loss of a row does not depend on other rows. As in KerasCV, there is no distribution focal
    loss.

    Args:
        height, width: size of the network's input, in pixels.
        mean_objects: mean number of objects per image, by which the sum of each row is divided.
        num_classes: number of classes.
    """

    def __init__(self, height: int, width: int, mean_objects: float, num_classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width, self.mean_objects, self.classes = height, width, mean_objects, num_classes
        self._encoder = keras_cv_yolo.YOLOV8LabelEncoder(num_classes=num_classes)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row: (batch, objects, 6), (batch, locations, classes + 64) to (batch,) float32."""
        boxes, scores = decode_predictions(y_pred, self.height, self.width)
        centers, strides = keras_cv_yolo.get_anchors(image_shape=(self.height, self.width, 3))
        centers *= strides[:, tf.newaxis]
        is_target = is_object(y_true)
        true_boxes = tf.where(is_target[..., tf.newaxis], tf.gather(get_boxes(y_true), [1, 0, 3, 2], axis=-1), -1.0)
        target_boxes, target_scores, matched = self._encoder(
            scores,
            tf.gather(boxes, [1, 0, 3, 2], axis=-1),
            centers,
            tf.where(is_target, get_classes(y_true), -1),
            true_boxes,
            is_target[..., tf.newaxis],
        )
        target_boxes, target_scores = tf.stop_gradient(target_boxes), tf.stop_gradient(target_scores)
        matched = tf.cast(matched, tf.float32)
        ciou = keras.utils.bounding_boxes.compute_ciou(tf.gather(target_boxes, [1, 0, 3, 2], axis=-1), boxes, "yxyx")
        weights = tf.reduce_sum(target_scores, axis=-1) * matched
        box_loss = tf.reduce_sum(tf.where(weights > 0, weights * (1.0 - ciou), 0.0), axis=1)
        class_loss = keras.losses.binary_crossentropy(target_scores[..., tf.newaxis], scores[..., tf.newaxis])
        ignored = in_crowd(y_true, centers[:, ::-1])
        class_loss = tf.reduce_sum(tf.where(ignored, 0.0, tf.reduce_sum(class_loss, axis=-1)), axis=1)
        return (BOX_WEIGHT * box_loss + CLASS_WEIGHT * class_loss) / self.mean_objects

    def get_config(self) -> dict[str, Any]:
        names = ("height", "width", "mean_objects", "classes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def build_loss(input_shape: tuple[int, int, int], mean_objects: float, num_classes: int) -> YoloV8Loss:
    """Build the loss.

    Args:
        input_shape: (height, width, channels) of the network's input.
        mean_objects: mean number of objects per image.
        num_classes: number of classes.

    Returns:
        The Keras loss.
    """
    return YoloV8Loss(input_shape[0], input_shape[1], mean_objects, num_classes)
