"""From a detector's predictions to boxes in pixels of the original image, inside the graph."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.vision.decode_image import pad_frame


@keras.saving.register_keras_serializable("dlkit")
class DetectObjects(keras.layers.Layer):
    """Decodes predictions, keeps the best box of those that overlap, class by class, and undoes the letterbox.

    Inputs: `predictions`: (batch, places, numbers) float32, of the network; `original_size`: (batch, 2) int32, height
    and width. Outputs, best first and padded to `max_detections` with zeros and empty labels: `boxes`: (batch,
    max_detections, 4) float32, yxyx in pixels of the original image, clipped to it; `labels`: (batch, max_detections)
    string; `scores`: (batch, max_detections) float32; `num_detections`: (batch,) int32.

    Args:
        detector: the name of the module beside this one that decodes.
        height, width: of the network's image, in pixels.
        labels: names of the classes.
        max_detections: the most answers of an image.
        score_threshold: lowest score of an answer, 0 to 1.
        iou_threshold: overlap, 0 to 1, from which the worse of two boxes of a class goes.
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
        self._decode = importlib.import_module(f"dlkit.tasks.object_detection.{detector}").decode

    def call(self, predictions: tf.Tensor, original_size: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores = self._decode(predictions, self.height, self.width)
        return self._answer(self._suppress(boxes, scores, self.iou_threshold, self.score_threshold), original_size)

    def with_thresholds(
        self, predictions: tf.Tensor, original_size: tf.Tensor, score_threshold: tf.Tensor, iou_threshold: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The same with two thresholds for each row, (batch,) float32 each."""

        def of_row(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            boxes, scores, iou, score = row
            kept = self._suppress(boxes[tf.newaxis], scores[tf.newaxis], iou, score)
            return tuple(value[0] for value in kept)

        given = (*self._decode(predictions, self.height, self.width), iou_threshold, score_threshold)
        most = self.max_detections
        specs = tuple(tf.TensorSpec(s, t) for s, t in (([most, 4], tf.float32), ([most], tf.float32),
                                                       ([most], tf.float32), ([], tf.int32)))  # fmt: skip
        return self._answer(tf.map_fn(of_row, given, fn_output_signature=specs), original_size)

    def _suppress(
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

    def _answer(self, kept: tuple[tf.Tensor, ...], original_size: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores, classes, count = kept
        inner, before = (tf.cast(pair, tf.float32) for pair in pad_frame(original_size, self.height, self.width))
        size = tf.cast(original_size, tf.float32)
        corners = tf.reshape(boxes, [-1, self.max_detections, 2, 2])  # two corners of y and x
        corners = (corners - before[:, tf.newaxis, tf.newaxis]) * (size / inner)[:, tf.newaxis, tf.newaxis]
        corners = tf.clip_by_value(corners, 0.0, size[:, tf.newaxis, tf.newaxis])
        there = tf.range(self.max_detections) < count[:, tf.newaxis]
        names = tf.gather(tf.constant(self.labels), tf.cast(classes, tf.int32))
        return {
            "boxes": tf.where(there[..., tf.newaxis], tf.reshape(corners, [-1, self.max_detections, 4]), 0.0),
            "labels": tf.where(there, names, ""),
            "scores": tf.where(there, scores, 0.0),
            "num_detections": count,
        }

    def compute_output_spec(
        self, predictions: keras.KerasTensor, original_size: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        batch, most = predictions.shape[0], self.max_detections
        return {
            "boxes": keras.KerasTensor((batch, most, 4), "float32"),
            "labels": keras.KerasTensor((batch, most), "string"),
            "scores": keras.KerasTensor((batch, most), "float32"),
            "num_detections": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self) -> dict[str, Any]:
        names = ("detector", "height", "width", "labels", "max_detections", "score_threshold", "iou_threshold")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
