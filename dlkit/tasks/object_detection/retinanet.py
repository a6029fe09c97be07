"""RetinaNet: anchors on a feature pyramid. Lin et al., 2017, arXiv:1708.02002.

Backbone, feature pyramid, anchors and the matching of anchors with objects are those of KerasHub.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import get_boxes, get_classes, in_crowd, is_crowd

PYRAMID_LEVELS = (3, 5)  # levels of the pyramid: strides of 8, 16 and 32 pixels
PYRAMID_FILTERS = 256  # filters of KerasHub's feature pyramid
HEAD_FILTERS, PRIOR_PROBABILITY = 128, 0.01  # filters of the heads; score of every anchor before training
ANCHOR_SIZE = 2.0  # side of the smallest anchors, in strides; the 4 of the paper suit images of 800 pixels
FOCAL_ALPHA, FOCAL_GAMMA, HUBER_DELTA = (
    0.25,
    2.0,
    1 / 9,
)  # as in the paper; of the box loss, as in its reference implementation


def build_network(
    input_shape: tuple[int, int, int], num_classes: int, *, preset: str = "", dropout: float = 0.0
) -> keras.Model:
    """Build heads with one convolution over a feature pyramid of a small ResNet of KerasHub, or of a preset.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32 pixels.
        num_classes: number of classes.
        preset: name or folder of a KerasHub backbone with a feature pyramid; "" for the small ResNet, with random
            weights.
        dropout: dropout rate before the heads, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `predictions`, (batch, anchors, num_classes + 4) float32: logits, and offsets from the anchors as center
        x, center y, width and height.

    Examples:
        >>> from dlkit.tasks.object_detection.retinanet import build_network
        >>> build_network((64, 64, 3), 2).output_shape
        (None, 756, 6)
    """
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(preset) if preset else _small_resnet(keras_hub, input_shape)
    pyramid = keras_hub.models.RetinaNetBackbone(
        image_encoder=backbone,
        min_level=PYRAMID_LEVELS[0],
        max_level=PYRAMID_LEVELS[1],
        use_p5=False,
        use_fpn_batch_norm=False,
        image_shape=input_shape,
        name="backbone",
    )
    image = keras.Input(input_shape, name="image")
    features = pyramid(keras.layers.Rescaling(1 / 64, -2.0, name="scale")(image))
    num_anchors = _anchor_generator().num_base_anchors
    heads = [
        _head("logits", num_anchors, num_classes, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)),
        _head("offsets", num_anchors, 4, 0.0),
    ]
    levels = []
    for level, feature in features.items():
        x = keras.layers.Dropout(dropout, name=f"dropout_{level}")(feature)
        levels.append(keras.layers.Concatenate(dtype="float32", name=f"concat_{level}")([head(x) for head in heads]))
    predictions = keras.layers.Concatenate(axis=1, dtype="float32", name="predictions")(levels)
    return keras.Model({"image": image}, {"predictions": predictions}, name="retinanet")


def _head(name: str, num_anchors: int, channels: int, bias: float) -> keras.Sequential:
    """Build one head for all levels. KerasHub's cannot be loaded from a file, and applies its prior to boxes."""
    return keras.Sequential(
        [
            keras.Input((None, None, PYRAMID_FILTERS)),
            keras.layers.Conv2D(HEAD_FILTERS, 3, padding="same", use_bias=False, name=f"{name}_convolution"),
            keras.layers.GroupNormalization(8, name=f"{name}_norm"),
            keras.layers.ReLU(name=f"{name}_relu"),
            keras.layers.Conv2D(
                num_anchors * channels,
                3,
                padding="same",
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=keras.initializers.Constant(bias),
                name=f"{name}_output",
            ),
            keras.layers.Reshape((-1, channels), name=f"{name}_of_anchors"),
        ],
        name=f"{name}_head",
    )


def _small_resnet(keras_hub: ModuleType, input_shape: tuple[int, int, int]) -> keras.Model:
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 128, 256],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=input_shape,
    )


def _anchor_generator() -> keras.layers.Layer:
    import keras_hub

    return keras_hub.layers.AnchorGenerator(
        "yxyx",
        PYRAMID_LEVELS[0],
        PYRAMID_LEVELS[1],
        num_scales=3,
        aspect_ratios=[0.5, 1.0, 2.0],
        anchor_size=ANCHOR_SIZE,
    )


def _all_anchors(height: int, width: int) -> tf.Tensor:
    levels = _anchor_generator()(tf.zeros([1, height, width, 3]))
    return tf.concat(list(levels.values()), axis=0)


def decode_predictions(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode predictions to the box and scores of each anchor.

    Args:
        predictions: (batch, anchors, classes + 4) float32.
        height, width: size of the network's input, in pixels.

    Returns:
        boxes: (batch, anchors, 4) float32, ymin, xmin, ymax, xmax in pixels of the network's input. scores: (batch,
        anchors, classes) float32.
    """
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
        anchors=_all_anchors(height, width),
        boxes_delta=predictions[..., -4:],
        encoded_format="center_xywh",
        anchor_format="yxyx",
        box_format="yxyx",
        image_shape=(height, width, 3),
    )
    return boxes, tf.sigmoid(predictions[..., :-4])


@keras.saving.register_keras_serializable("dlkit")
class RetinaNetLoss(keras.losses.Loss):
    """Focal loss of the classes of all anchors and Huber loss of the offsets of matched anchors.

    Args:
        height, width: size of the network's input, in pixels.
        mean_objects: mean number of objects per image, by which the sum of each row is divided.
    """

    def __init__(self, height: int, width: int, mean_objects: float, **kwargs: Any):
        super().__init__(**kwargs)
        from keras_hub.src.models.retinanet.retinanet_label_encoder import RetinaNetLabelEncoder

        self.height, self.width, self.mean_objects = height, width, mean_objects
        self._encoder = RetinaNetLabelEncoder(_anchor_generator(), "yxyx", encoding_format="center_xywh")

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row: (batch, objects, 6), (batch, anchors, classes + 4) to (batch,) float32."""
        is_not_target = is_crowd(y_true) | (get_classes(y_true) < 0)
        boxes = tf.where(is_not_target[..., tf.newaxis], -1.0, get_boxes(y_true))
        classes = tf.where(is_not_target, -1.0, y_true[..., 4])
        images = tf.zeros([1, self.height, self.width, 3])
        offsets, labels = self._encoder(images=images, gt_boxes=boxes, gt_classes=classes)
        anchors = _all_anchors(self.height, self.width)
        ignored = (labels == -2.0) | in_crowd(y_true, (anchors[:, :2] + anchors[:, 2:]) / 2)
        matched = labels > -1.0
        true = tf.one_hot(tf.cast(labels, tf.int32), y_pred.shape[-1] - 4)
        class_loss = keras.losses.binary_focal_crossentropy(
            true[..., tf.newaxis], y_pred[..., :-4, tf.newaxis],
            apply_class_balancing=True, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, from_logits=True,
        )  # fmt: skip
        class_loss = tf.where(ignored, 0.0, tf.reduce_sum(class_loss, axis=-1))
        box_loss = (
            keras.losses.huber(offsets[..., tf.newaxis], y_pred[..., -4:, tf.newaxis], delta=HUBER_DELTA) / HUBER_DELTA
        )
        box_loss = tf.where(matched, tf.reduce_sum(box_loss, axis=-1), 0.0)
        return (tf.reduce_sum(class_loss, axis=1) + tf.reduce_sum(box_loss, axis=1)) / self.mean_objects

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "height": self.height, "width": self.width, "mean_objects": self.mean_objects}


def build_loss(input_shape: tuple[int, int, int], mean_objects: float) -> RetinaNetLoss:
    """Build the loss.

    Args:
        input_shape: (height, width, channels) of the network's input.
        mean_objects: mean number of objects per image.

    Returns:
        The Keras loss.
    """
    return RetinaNetLoss(input_shape[0], input_shape[1], mean_objects)
