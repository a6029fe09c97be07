"""Decoding of a detector's predictions to boxes in pixels of the original image, in the graph."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.vision.decode_image import pad_frame


@keras.saving.register_keras_serializable("dlkit")
class DetectionDecoder(keras.layers.Layer):
    """Decode predictions, suppress overlapping boxes and map boxes to the original image.

    Non-maximum suppression is done for each class. Inputs: `predictions`, (batch, locations, channels) float32, of the
    network, and `original_size`, (batch, 2) int32, height and width in pixels. Outputs, by descending score and padded
    to `max_detections` with zeros and empty labels: `boxes`, (batch, max_detections, 4) float32, ymin, xmin, ymax, xmax
    in pixels of the original image, clipped to it; `labels`, (batch, max_detections) string; `scores`, (batch,
    max_detections) float32; `num_detections`, (batch,) int32.

    Args:
        detector: network that made the predictions: "centernet", "retinanet" or "yolo_v8".
        height, width: size of the network's input, in pixels.
        labels: class names.
        max_detections: maximum number of detections per image.
        score_threshold: minimum score of a detection, between 0 and 1.
        iou_threshold: IoU threshold of non-maximum suppression, between 0 and 1.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.tasks.object_detection.detection_decoder import DetectionDecoder
        >>> layer = DetectionDecoder("centernet", 64, 64, ["cat", "dog"], 5, 0.05, 0.5)
        >>> layer(tf.zeros((1, 256, 6)), tf.constant([[100, 100]]))["boxes"].shape
        TensorShape([1, 5, 4])
    """

    def __init__(
        self,
        detector: str,
        height: int,
        width: int,
        labels: Sequence[str],
        max_detections: int,
        score_threshold: float,
        iou_threshold: float,
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.detector, self.height, self.width, self.labels = detector, height, width, list(labels)
        self.max_detections, self.score_threshold, self.iou_threshold = max_detections, score_threshold, iou_threshold
        self._decode_predictions = importlib.import_module(
            f"dlkit.tasks.object_detection.{detector}"
        ).decode_predictions

    def call(self, predictions: tf.Tensor, original_size: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores = self._decode_predictions(predictions, self.height, self.width)
        return self._to_detections(
            self._suppress_overlapping(boxes, scores, self.iou_threshold, self.score_threshold), original_size
        )

    def call_with_thresholds(
        self, predictions: tf.Tensor, original_size: tf.Tensor, score_threshold: tf.Tensor, iou_threshold: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Decode predictions with thresholds of each row, (batch,) float32 each."""

        def detect(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            boxes, scores, iou, score = row
            detections = self._suppress_overlapping(boxes[tf.newaxis], scores[tf.newaxis], iou, score)
            return tuple(value[0] for value in detections)

        inputs = (*self._decode_predictions(predictions, self.height, self.width), iou_threshold, score_threshold)
        count = self.max_detections
        shapes: Any = (([count, 4], tf.float32), ([count], tf.float32), ([count], tf.float32), ([], tf.int32))
        specs = tuple(tf.TensorSpec(shape, dtype) for shape, dtype in shapes)
        return self._to_detections(tf.map_fn(detect, inputs, fn_output_signature=specs), original_size)

    def _suppress_overlapping(
        self, boxes: tf.Tensor, scores: tf.Tensor, iou_threshold: float | tf.Tensor, score_threshold: float | tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        return tuple(
            tf.image.combined_non_max_suppression(
                boxes[:, :, tf.newaxis],
                scores,
                max_output_size_per_class=self.max_detections,
                max_total_size=self.max_detections,
                iou_threshold=iou_threshold,
                score_threshold=score_threshold,
                clip_boxes=False,
            )
        )

    def _to_detections(self, detections: tuple[tf.Tensor, ...], original_size: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores, classes, count = detections
        resized_size, offset = (tf.cast(pair, tf.float32) for pair in pad_frame(original_size, self.height, self.width))
        size = tf.cast(original_size, tf.float32)
        corners = tf.reshape(boxes, [-1, self.max_detections, 2, 2])  # two corners (y, x)
        corners = (corners - offset[:, tf.newaxis, tf.newaxis]) * (size / resized_size)[:, tf.newaxis, tf.newaxis]
        corners = tf.clip_by_value(corners, 0.0, size[:, tf.newaxis, tf.newaxis])
        is_detection = tf.range(self.max_detections) < count[:, tf.newaxis]
        names = tf.gather(tf.constant(self.labels), tf.cast(classes, tf.int32))
        return {
            "boxes": tf.where(is_detection[..., tf.newaxis], tf.reshape(corners, [-1, self.max_detections, 4]), 0.0),
            "labels": tf.where(is_detection, names, ""),
            "scores": tf.where(is_detection, scores, 0.0),
            "num_detections": count,
        }

    def compute_output_spec(
        self, predictions: keras.KerasTensor, original_size: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        batch, max_detections = predictions.shape[0], self.max_detections
        return {
            "boxes": keras.KerasTensor((batch, max_detections, 4), "float32"),
            "labels": keras.KerasTensor((batch, max_detections), "string"),
            "scores": keras.KerasTensor((batch, max_detections), "float32"),
            "num_detections": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self) -> dict[str, Any]:
        names = ("detector", "height", "width", "labels", "max_detections", "score_threshold", "iou_threshold")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
