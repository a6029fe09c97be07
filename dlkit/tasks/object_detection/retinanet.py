"""RetinaNet: anchors over a feature pyramid. Lin et al., 2017, arXiv:1708.02002.

Backbone, pyramid, anchors and the matching of anchors to objects are KerasHub's.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.object_detection.objects import boxes_of, classes_of, in_crowd, is_crowd

LEVELS = (3, 5)  # of the pyramid: strides of 8, 16 and 32 pixels
PYRAMID = 256  # maps of KerasHub's feature pyramid
WIDTH, PRIOR = 128, 0.01  # maps of the heads; score of every anchor before training
ANCHOR = 2.0  # side of the smallest anchors, in strides; the paper's 4 suit images of 800 pixels
FOCAL_ALPHA, FOCAL_GAMMA, HUBER = 0.25, 2.0, 1 / 9  # of the paper, and of its box loss in the reference implementation


def network(input_shape: tuple[int, int, int], classes: int, *, preset: str = "", dropout: float = 0.0) -> keras.Model:
    """Heads of one convolution over KerasHub's small ResNet of one block a stage, or over a preset.

    Args:
        input_shape: (height, width, channels); height and width are multiples of 32.
        classes: how many.
        preset: name or folder of a KerasHub backbone with a pyramid, or "" for the small one from scratch.
        dropout: share of the pyramid's features dropped before the heads, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output
        `predictions`: (batch, anchors, classes + 4) float32: logits, and offsets from the anchors as centre x, centre
        y, width and height.
    """
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(preset) if preset else _small_resnet(keras_hub, input_shape)
    pyramid = keras_hub.models.RetinaNetBackbone(
        image_encoder=backbone,
        min_level=LEVELS[0],
        max_level=LEVELS[1],
        use_p5=False,
        use_fpn_batch_norm=False,
        image_shape=input_shape,
        name="backbone",
    )
    image = keras.Input(input_shape, name="image")
    features = pyramid(keras.layers.Rescaling(1 / 64, -2.0, name="scale")(image))
    anchors = _anchor_generator().num_base_anchors
    heads = [_head("logits", anchors, classes, -math.log((1 - PRIOR) / PRIOR)), _head("offsets", anchors, 4, 0.0)]
    levels = []
    for level, feature in features.items():
        x = keras.layers.Dropout(dropout, name=f"dropout_{level}")(feature)
        levels.append(keras.layers.Concatenate(dtype="float32", name=f"both_{level}")([head(x) for head in heads]))
    together = keras.layers.Concatenate(axis=1, dtype="float32", name="predictions")(levels)
    return keras.Model({"image": image}, {"predictions": together}, name="retinanet")


def _head(name: str, anchors: int, numbers: int, bias: float) -> keras.Sequential:
    """One head for all levels. KerasHub's own cannot be read from a file, and gives its prior to the boxes."""
    return keras.Sequential(
        [
            keras.Input((None, None, PYRAMID)),
            keras.layers.Conv2D(WIDTH, 3, padding="same", use_bias=False, name=f"{name}_convolution"),
            keras.layers.GroupNormalization(8, name=f"{name}_norm"),
            keras.layers.ReLU(name=f"{name}_relu"),
            keras.layers.Conv2D(
                anchors * numbers,
                3,
                padding="same",
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=keras.initializers.Constant(bias),
                name=f"{name}_output",
            ),
            keras.layers.Reshape((-1, numbers), name=f"{name}_of_anchors"),
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
        "yxyx", LEVELS[0], LEVELS[1], num_scales=3, aspect_ratios=[0.5, 1.0, 2.0], anchor_size=ANCHOR
    )


def _anchors(height: int, width: int) -> tf.Tensor:
    levels = _anchor_generator()(tf.zeros([1, height, width, 3]))
    return tf.concat(list(levels.values()), axis=0)


def decode(predictions: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes and scores of every anchor.

    Args:
        predictions: (batch, anchors, classes + 4) float32.
        height, width: of the network's image.

    Returns:
        boxes: (batch, anchors, 4) float32, yxyx in pixels of the network's image; scores: (batch, anchors, classes).
    """
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
        anchors=_anchors(height, width),
        boxes_delta=predictions[..., -4:],
        encoded_format="center_xywh",
        anchor_format="yxyx",
        box_format="yxyx",
        image_shape=(height, width, 3),
    )
    return boxes, tf.sigmoid(predictions[..., :-4])


@keras.saving.register_keras_serializable("dlkit")
class RetinaNetLoss(keras.losses.Loss):
    """The focal loss of the anchors' classes and the Huber loss of the matched ones' offsets, by KerasHub's encoder.

    Args:
        height, width: of the network's image.
        objects: mean number of objects of an image, which each row's sum is divided by.
    """

    def __init__(self, height: int, width: int, objects: float, **kwargs: Any):
        super().__init__(**kwargs)
        from keras_hub.src.models.retinanet.retinanet_label_encoder import RetinaNetLabelEncoder

        self.height, self.width, self.objects = height, width, objects
        self._encoder = RetinaNetLabelEncoder(_anchor_generator(), "yxyx", encoding_format="center_xywh")

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, objects, 6) and (batch, anchors, classes + 4) to (batch,)."""
        found = is_crowd(y_true) | (classes_of(y_true) < 0)
        boxes = tf.where(found[..., tf.newaxis], -1.0, boxes_of(y_true))
        classes = tf.where(found, -1.0, y_true[..., 4])
        images = tf.zeros([1, self.height, self.width, 3])
        offsets, labels = self._encoder(images=images, gt_boxes=boxes, gt_classes=classes)
        anchors = _anchors(self.height, self.width)
        ignored = (labels == -2.0) | in_crowd(y_true, (anchors[:, :2] + anchors[:, 2:]) / 2)
        matched = labels > -1.0
        true = tf.one_hot(tf.cast(labels, tf.int32), y_pred.shape[-1] - 4)
        entropy = keras.losses.binary_focal_crossentropy(
            true[..., tf.newaxis], y_pred[..., :-4, tf.newaxis],
            apply_class_balancing=True, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, from_logits=True,
        )  # fmt: skip
        entropy = tf.where(ignored, 0.0, tf.reduce_sum(entropy, axis=-1))
        distance = keras.losses.huber(offsets[..., tf.newaxis], y_pred[..., -4:, tf.newaxis], delta=HUBER) / HUBER
        distance = tf.where(matched, tf.reduce_sum(distance, axis=-1), 0.0)
        return (tf.reduce_sum(entropy, axis=1) + tf.reduce_sum(distance, axis=1)) / self.objects

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "height": self.height, "width": self.width, "objects": self.objects}


def loss_of(input_shape: tuple[int, int, int], objects: float) -> RetinaNetLoss:
    """The loss for images of this shape, with so many objects on average."""
    return RetinaNetLoss(input_shape[0], input_shape[1], objects)
