"""CenterNet: objects as peaks of a heatmap, without anchors; quick to train on a CPU.

Zhou et al., 2019, arXiv:1904.07850, with the targets of TTFNet (Liu et al., 2019, arXiv:1909.00700), which train
several times as fast: elliptic Gaussians, and boxes that are learned at all locations around a center.
Differences: distances to the four sides are exponentials, and the box loss is complete IoU (Zheng et al., 2019,
arXiv:1911.08287).
"""

from __future__ import annotations

import math
from typing import Any

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import cell_centers, get_boxes, get_classes, in_crowd, is_object

STRIDE = 4  # pixels from one location of the heatmap to the next
GAUSSIAN_FRACTION = 0.54  # of TTFNet: fraction of a box that its Gaussian covers
PRIOR_PROBABILITY = 0.02  # score of every location before training, as in RetinaNet
PRIOR_BOX_SIDE = 24.0  # side of the predicted boxes before training, in pixels


def build_network(
    input_shape: tuple[int, int, int], num_classes: int, *, width: int = 32, dropout: float = 0.0
) -> keras.Model:
    """Build a residual encoder down to stride 32, a decoder up to stride 4, and the heads.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32 pixels.
        num_classes: number of classes.
        width: number of filters of the stem; the four stages have 2, 3, 4 and 6 times as many.
        dropout: dropout rate before the heads, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `predictions`, (batch, height / 4 * width / 4, num_classes + 4) float32: logits, and the logarithms of
        the distances to the top, left, bottom and right side of the box, in units of the stride.

    Examples:
        >>> from dlkit.tasks.object_detection.centernet import build_network
        >>> build_network((64, 64, 3), 2, width=8).output_shape
        (None, 256, 6)
    """
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 64, -2.0, name="scale")(image)
    x = _convolution(x, width, stride=2, name="stem")
    levels = []
    for stage, factor in enumerate((2, 3, 4, 6), start=1):
        x = _residual_block(x, factor * width, stride=2, name=f"stage{stage}")
        x = _residual_block(x, factor * width, stride=1, name=f"stage{stage}_more") if stage > 1 else x
        levels.append(x)
    for stage in (3, 2, 1):
        lateral = _convolution(levels[stage - 1], 2 * width, kernel=1, name=f"lateral{stage}")
        x = _convolution(x, 2 * width, kernel=1, name=f"down_to{stage}")
        x = keras.layers.Add(name=f"add{stage}")([keras.layers.UpSampling2D(name=f"up{stage}")(x), lateral])
        x = _convolution(x, 2 * width, name=f"smooth{stage}")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = []
    for name, channels, bias in (
        ("heatmap", num_classes, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)),
        ("distances", 4, math.log(PRIOR_BOX_SIDE / 2 / STRIDE)),
    ):
        branch = _convolution(x, 2 * width, name=f"{name}_convolution")
        outputs.append(
            keras.layers.Conv2D(
                channels,
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=keras.initializers.Constant(bias),
                dtype="float32",
                name=name,
            )(branch)
        )
    concatenated = keras.layers.Concatenate(dtype="float32", name="heatmap_and_distances")(outputs)
    predictions = keras.layers.Reshape((-1, num_classes + 4), dtype="float32", name="predictions")(concatenated)
    return keras.Model({"image": image}, {"predictions": predictions}, name="centernet")


def _convolution(
    x: keras.KerasTensor, filters: int, *, kernel: int = 3, stride: int = 1, relu: bool = True, name: str
) -> keras.KerasTensor:
    options = {"use_bias": False, "kernel_initializer": "he_normal", "name": name}
    x = keras.layers.Conv2D(filters, kernel, stride, "same", **options)(x)
    x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _residual_block(x: keras.KerasTensor, filters: int, *, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = keras.layers.AveragePooling2D(stride, name=f"{name}_pool")(x) if stride > 1 else x
        shortcut = _convolution(shortcut, filters, kernel=1, relu=False, name=f"{name}_shortcut")
    x = _convolution(x, filters, stride=stride, name=f"{name}_1")
    x = _convolution(x, filters, relu=False, name=f"{name}_2")
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, shortcut]))


def decode_predictions(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode predictions to boxes and scores; locations next to a better one of the same class get a score of 0.

    A box is the mean of the boxes of the 3 x 3 locations around, weighted by their scores, since all of them are
    trained on the same box: box voting of Gidaris and Komodakis, 2015, arXiv:1505.01749, section 5, over neighbors.

    Args:
        predictions: (batch, locations, classes + 4) float32.
        height, width: size of the network's input, in pixels.

    Returns:
        boxes: (batch, locations, 4) float32, ymin, xmin, ymax, xmax in pixels of the network's input. scores: (batch,
        locations, classes) float32.
    """
    num_classes = predictions.shape[-1] - 4
    heatmap = tf.reshape(tf.sigmoid(predictions[..., :-4]), [-1, height // STRIDE, width // STRIDE, num_classes])
    local_max = tf.nn.max_pool2d(heatmap, 3, 1, "SAME")
    scores = tf.where(heatmap == local_max, heatmap, 0.0)
    weights = tf.reduce_max(heatmap, axis=-1, keepdims=True)
    boxes = tf.reshape(_decode_boxes(predictions, height, width), [-1, height // STRIDE, width // STRIDE, 4])
    weighted_sum, weight_sum = (tf.nn.avg_pool2d(tensor, 3, 1, "SAME") for tensor in (weights * boxes, weights))
    mean_boxes = tf.math.divide_no_nan(weighted_sum, weight_sum)
    locations = predictions.shape[1]
    return tf.reshape(mean_boxes, [-1, locations, 4]), tf.reshape(scores, [-1, locations, num_classes])


def _decode_boxes(predictions: tf.Tensor, height: int, width: int) -> tf.Tensor:
    distances = STRIDE * tf.exp(tf.clip_by_value(predictions[..., -4:], -6.0, 6.0))
    centers = cell_centers(height, width, STRIDE)
    return tf.concat([centers - distances[..., :2], centers + distances[..., 2:]], axis=-1)


@keras.saving.register_keras_serializable("dlkit")
class CenterNetLoss(keras.losses.Loss):
    """Penalty-reduced focal loss of the heatmap and complete IoU loss of the boxes around the centers.

    Args:
        height, width: size of the network's input, in pixels.
        mean_objects: mean number of objects per image, by which the sum of each row is divided.
        box_weight: weight of the box loss; 5 in TTFNet.
    """

    def __init__(self, height: int, width: int, mean_objects: float, box_weight: float = 5.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width, self.mean_objects, self.box_weight = height, width, mean_objects, box_weight

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row: (batch, objects, 6), (batch, locations, classes + 4) to (batch,) float32."""
        gaussians = self._gaussians(y_true)
        heatmap = _heatmap_targets(gaussians, get_classes(y_true), y_pred.shape[-1] - 4)
        ignored = in_crowd(y_true, cell_centers(self.height, self.width, STRIDE))
        heatmap_loss = _focal_loss(heatmap, y_pred[..., :-4], ignored)
        box_loss = self._box_loss(gaussians, y_true, y_pred)
        return (heatmap_loss + self.box_weight * box_loss) / self.mean_objects

    def _gaussians(self, objects: tf.Tensor) -> tf.Tensor:
        """Compute the Gaussian of each object, 1 at the cell of its center: (batch, objects, locations)."""
        boxes = get_boxes(objects) / STRIDE
        factors = []
        for axis, cells in ((0, self.height // STRIDE), (1, self.width // STRIDE)):
            low, high = boxes[..., axis], boxes[..., axis + 2]
            center = tf.clip_by_value(tf.floor((low + high) / 2), 0.0, cells - 1.0)[..., tf.newaxis]
            radius = tf.maximum(tf.floor((high - low) / 2 * GAUSSIAN_FRACTION), 0.0)[..., tf.newaxis]
            distance = tf.range(cells, dtype=tf.float32) - center
            deviation = (2 * radius + 1) / 6
            factors.append(tf.where(tf.abs(distance) <= radius, tf.exp(-tf.square(distance / deviation) / 2), 0.0))
        gaussians = factors[0][..., :, tf.newaxis] * factors[1][..., tf.newaxis, :]
        gaussians *= tf.cast(is_object(objects), tf.float32)[..., tf.newaxis, tf.newaxis]
        locations = factors[0].shape[-1] * factors[1].shape[-1]
        return tf.reshape(gaussians, [tf.shape(objects)[0], objects.shape[1], locations])

    def _box_loss(self, gaussians: tf.Tensor, objects: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        """Compute the box loss of each row, (batch,).

        The loss of an object is the mean over the locations that are nearest to it, weighted by its Gaussian.
        """
        highest = tf.reduce_max(gaussians, axis=1, keepdims=True)
        assigned = tf.where(gaussians == highest, gaussians, 0.0)
        weights = tf.reduce_sum(tf.math.divide_no_nan(assigned, tf.reduce_sum(assigned, axis=2, keepdims=True)), axis=1)
        targets = tf.gather(get_boxes(objects), tf.argmax(gaussians, axis=1), batch_dims=1)
        boxes = _decode_boxes(predictions, self.height, self.width)
        ciou = keras.utils.bounding_boxes.compute_ciou(targets, boxes, "yxyx")
        return tf.reduce_sum(tf.where(weights > 0, weights * (1.0 - ciou), 0.0), axis=1)

    def get_config(self) -> dict[str, Any]:
        config = {
            "height": self.height,
            "width": self.width,
            "mean_objects": self.mean_objects,
            "box_weight": self.box_weight,
        }
        return {**super().get_config(), **config}


def _heatmap_targets(gaussians: tf.Tensor, classes: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Compute the maximum Gaussian of each class: (batch, objects, locations) to (batch, locations, classes)."""
    batch, objects, locations = tf.shape(gaussians)[0], gaussians.shape[1], gaussians.shape[2]
    segments = tf.where(classes < 0, -1, classes + tf.range(batch)[:, tf.newaxis] * num_classes)
    flat = tf.reshape(gaussians, [batch * objects, locations])
    highest = tf.math.unsorted_segment_max(flat, tf.reshape(segments, [-1]), batch * num_classes)
    return tf.transpose(tf.maximum(tf.reshape(highest, [batch, num_classes, locations]), 0.0), [0, 2, 1])


def _focal_loss(heatmap: tf.Tensor, logits: tf.Tensor, ignored: tf.Tensor) -> tf.Tensor:
    """Compute equation 1 of CenterNet with alpha 2 and beta 4, summed over locations and classes: (batch,)."""
    score, log_score, log_complement = tf.sigmoid(logits), tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
    positive = -tf.square(1 - score) * log_score
    negative = -tf.pow(1 - heatmap, 4.0) * tf.square(score) * log_complement
    negative = tf.where(ignored[..., tf.newaxis], 0.0, negative)
    return tf.reduce_sum(tf.where(heatmap == 1.0, positive, negative), axis=(1, 2))


def build_loss(input_shape: tuple[int, int, int], mean_objects: float, box_weight: float) -> CenterNetLoss:
    """Build the loss.

    Args:
        input_shape: (height, width, channels) of the network's input.
        mean_objects: mean number of objects per image.
        box_weight: weight of the box loss.

    Returns:
        The Keras loss.
    """
    return CenterNetLoss(input_shape[0], input_shape[1], mean_objects, box_weight)
