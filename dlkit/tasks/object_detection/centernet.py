"""An object as the peak of a heat map at its centre: quick to train on a CPU, without anchors.

Zhou et al., 2019, arXiv:1904.07850, with the targets of TTFNet (Liu et al., 2019, arXiv:1909.00700), which train
several times as fast: elliptic Gaussians, and boxes that are learnt at every place around a centre, not there alone.
Divergences: distances to the four sides are exponentials, and boxes are learnt by complete IoU (Zheng et al., 2019,
arXiv:1911.08287).
"""

from __future__ import annotations

import math
from typing import Any

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import boxes_of, classes_of, grid, in_crowd, is_object

STRIDE = 4  # pixels from one place of the heat map to the next
ALPHA = 0.54  # of TTFNet: the share of a box that its Gaussian covers
PRIOR = 0.02  # score of every place before training
TYPICAL = 24.0  # side of a box before training, in pixels


def network(input_shape: tuple[int, int, int], classes: int, *, width: int = 32, dropout: float = 0.0) -> keras.Model:
    """A residual encoder down to a stride of 32, and a way back up to one of 4.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32.
        classes: how many.
        width: maps of the stem; the stages have 2, 3, 4 and 6 times as many.
        dropout: share of the last features dropped, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output
        `predictions`: (batch, height / 4 * width / 4, classes + 4) float32: logits, and the logarithms of the distances
        to the four sides of the box, in strides: up, left, down, right.
    """
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 64, -2.0, name="scale")(image)
    x = _convolution(x, width, stride=2, name="stem")
    levels = []
    for stage, factor in enumerate((2, 3, 4, 6), start=1):
        x = _block(x, factor * width, stride=2, name=f"stage{stage}")
        x = _block(x, factor * width, stride=1, name=f"stage{stage}_more") if stage > 1 else x
        levels.append(x)
    for stage in (3, 2, 1):
        lateral = _convolution(levels[stage - 1], 2 * width, kernel=1, name=f"lateral{stage}")
        x = _convolution(x, 2 * width, kernel=1, name=f"down_to{stage}")
        x = keras.layers.Add(name=f"add{stage}")([keras.layers.UpSampling2D(name=f"up{stage}")(x), lateral])
        x = _convolution(x, 2 * width, name=f"smooth{stage}")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    parts = []
    for name, numbers, bias in (
        ("heat", classes, -math.log((1 - PRIOR) / PRIOR)),
        ("sides", 4, math.log(TYPICAL / 2 / STRIDE)),
    ):
        branch = _convolution(x, 2 * width, name=f"{name}_convolution")
        parts.append(
            keras.layers.Conv2D(
                numbers,
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=keras.initializers.Constant(bias),
                dtype="float32",
                name=name,
            )(branch)
        )
    together = keras.layers.Concatenate(dtype="float32", name="heat_and_sides")(parts)
    predictions = keras.layers.Reshape((-1, classes + 4), dtype="float32", name="predictions")(together)
    return keras.Model({"image": image}, {"predictions": predictions}, name="centernet")


def _convolution(
    x: keras.KerasTensor, maps: int, *, kernel: int = 3, stride: int = 1, relu: bool = True, name: str
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(maps, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", name=name)(x)
    x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _block(x: keras.KerasTensor, maps: int, *, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != maps:
        shortcut = keras.layers.AveragePooling2D(stride, name=f"{name}_pool")(x) if stride > 1 else x
        shortcut = _convolution(shortcut, maps, kernel=1, relu=False, name=f"{name}_shortcut")
    x = _convolution(x, maps, stride=stride, name=f"{name}_1")
    x = _convolution(x, maps, relu=False, name=f"{name}_2")
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, shortcut]))


def decode(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes and scores of every place; places beside a better one of the same class have none.

    A box is the mean of those of the 3 x 3 places around, weighted by their scores, as all of them were taught the same
    one: the voting of Gidaris and Komodakis, 2015, arXiv:1505.01749, section 5, over neighbours.

    Args:
        predictions: (batch, places, classes + 4) float32.
        height, width: of the network's image.

    Returns:
        boxes: (batch, places, 4) float32, yxyx in pixels of the network's image; scores: (batch, places, classes).
    """
    classes = predictions.shape[-1] - 4
    heat = tf.reshape(tf.sigmoid(predictions[..., :-4]), [-1, height // STRIDE, width // STRIDE, classes])
    highest = tf.nn.max_pool2d(heat, 3, 1, "SAME")
    scores = tf.where(heat == highest, heat, 0.0)
    weights = tf.reduce_max(heat, axis=-1, keepdims=True)
    boxes = tf.reshape(_boxes(predictions, height, width), [-1, height // STRIDE, width // STRIDE, 4])
    total, shares = (tf.nn.avg_pool2d(part, 3, 1, "SAME") for part in (weights * boxes, weights))
    mean = tf.math.divide_no_nan(total, shares)
    places = predictions.shape[1]
    return tf.reshape(mean, [-1, places, 4]), tf.reshape(scores, [-1, places, classes])


def _boxes(predictions: tf.Tensor, height: int, width: int) -> tf.Tensor:
    sides = STRIDE * tf.exp(tf.clip_by_value(predictions[..., -4:], -6.0, 6.0))
    centres = grid(height, width, STRIDE)
    return tf.concat([centres - sides[..., :2], centres + sides[..., 2:]], axis=-1)


@keras.saving.register_keras_serializable("dlkit")
class CenterNetLoss(keras.losses.Loss):
    """The penalty-reduced focal loss of the heat map and the complete IoU of the boxes around the centres.

    Args:
        height, width: of the network's image.
        objects: mean number of objects of an image, which each row's sum is divided by.
        box_weight: of the boxes' part; TTFNet's is 5.
    """

    def __init__(self, height: int, width: int, objects: float, box_weight: float = 5.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width, self.objects, self.box_weight = height, width, objects, box_weight

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, objects, 6) and (batch, places, classes + 4) to (batch,)."""
        shares = self._shares(y_true)
        heat = _heat(shares, classes_of(y_true), y_pred.shape[-1] - 4)
        ignored = in_crowd(y_true, grid(self.height, self.width, STRIDE))
        places = _focal(heat, y_pred[..., :-4], ignored)
        boxes = self._box_loss(shares, y_true, y_pred)
        return (places + self.box_weight * boxes) / self.objects

    def _shares(self, objects: tf.Tensor) -> tf.Tensor:
        """(batch, objects, places): the Gaussian of each object, 1 in the cell of its centre."""
        boxes = boxes_of(objects) / STRIDE
        parts = []
        for axis, cells in ((0, self.height // STRIDE), (1, self.width // STRIDE)):
            low, high = boxes[..., axis], boxes[..., axis + 2]
            centre = tf.clip_by_value(tf.floor((low + high) / 2), 0.0, cells - 1.0)[..., tf.newaxis]
            radius = tf.maximum(tf.floor((high - low) / 2 * ALPHA), 0.0)[..., tf.newaxis]
            away = tf.range(cells, dtype=tf.float32) - centre
            deviation = (2 * radius + 1) / 6
            parts.append(tf.where(tf.abs(away) <= radius, tf.exp(-tf.square(away / deviation) / 2), 0.0))
        shares = parts[0][..., :, tf.newaxis] * parts[1][..., tf.newaxis, :]
        shares *= tf.cast(is_object(objects), tf.float32)[..., tf.newaxis, tf.newaxis]
        return tf.reshape(shares, [tf.shape(objects)[0], objects.shape[1], parts[0].shape[-1] * parts[1].shape[-1]])

    def _box_loss(self, shares: tf.Tensor, objects: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        """(batch,): each object's mean over the places that are nearest to it, weighted by its Gaussian; their sum."""
        best = tf.reduce_max(shares, axis=1, keepdims=True)
        own = tf.where(shares == best, shares, 0.0)
        weights = tf.reduce_sum(tf.math.divide_no_nan(own, tf.reduce_sum(own, axis=2, keepdims=True)), axis=1)
        targets = tf.gather(boxes_of(objects), tf.argmax(shares, axis=1), batch_dims=1)
        found = _boxes(predictions, self.height, self.width)
        overlap = keras.utils.bounding_boxes.compute_ciou(targets, found, "yxyx")
        return tf.reduce_sum(tf.where(weights > 0, weights * (1.0 - overlap), 0.0), axis=1)

    def get_config(self) -> dict[str, Any]:
        own = {"height": self.height, "width": self.width, "objects": self.objects, "box_weight": self.box_weight}
        return {**super().get_config(), **own}


def _heat(shares: tf.Tensor, classes: tf.Tensor, count: int) -> tf.Tensor:
    """(batch, objects, places) to (batch, places, classes): the highest Gaussian of each class."""
    batch, objects, places = tf.shape(shares)[0], shares.shape[1], shares.shape[2]
    segments = tf.where(classes < 0, -1, classes + tf.range(batch)[:, tf.newaxis] * count)
    flat = tf.reshape(shares, [batch * objects, places])
    highest = tf.math.unsorted_segment_max(flat, tf.reshape(segments, [-1]), batch * count)
    return tf.transpose(tf.maximum(tf.reshape(highest, [batch, count, places]), 0.0), [0, 2, 1])


def _focal(heat: tf.Tensor, logits: tf.Tensor, ignored: tf.Tensor) -> tf.Tensor:
    """(batch,): equation 1 of CenterNet with alpha 2 and beta 4, summed over places and classes."""
    score, log_score, log_rest = tf.sigmoid(logits), tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
    centre = -tf.square(1 - score) * log_score
    beside = -tf.pow(1 - heat, 4.0) * tf.square(score) * log_rest
    beside = tf.where(ignored[..., tf.newaxis], 0.0, beside)
    return tf.reduce_sum(tf.where(heat == 1.0, centre, beside), axis=(1, 2))


def loss_of(input_shape: tuple[int, int, int], objects: float, box_weight: float) -> CenterNetLoss:
    """The loss for images of this shape, with so many objects on average."""
    return CenterNetLoss(input_shape[0], input_shape[1], objects, box_weight)
