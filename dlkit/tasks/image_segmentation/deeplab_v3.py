"""DeepLabV3+: features at several dilations, refined by finer ones. Chen et al., 2018, arXiv:1802.02611."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_hub
from keras_hub.src.models.deeplab_v3.deeplab_v3_layers import SpatialPyramidPooling

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras
from dlkit.tasks.image_segmentation.whole_pixels import logits_of, padded

LOW = "P2"  # the pyramid's level that refines: a quarter of the image's size
WIDTH = 256  # of KerasHub's decoder


@keras.saving.register_keras_serializable("dlkit")
class SpatialPyramid(SpatialPyramidPooling):
    """KerasHub's, which builds from lists too, as files hold shapes, and learns its moments in a short training."""

    def build(self, input_shape: Any) -> None:
        super().build(tuple(input_shape))
        for part in (*self.aspp_parallel_channels, self.projection):
            for layer in part.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.9


def deeplab_v3(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    widths: Sequence[int] = (64, 128, 256),
    blocks: Sequence[int] = (1, 1, 1),
    dilations: Sequence[int] = (2, 4, 6),
    projection: int = 48,
    dropout: float = 0.0,
) -> keras.Model:
    """DeepLabV3+ over KerasHub's ResNet, from scratch.

    Args:
        input_shape: (height, width, channels), of any size.
        classes: how many.
        widths: maps of the encoder's stages, of which the first ends at a quarter of the size. KerasHub wants 64 first.
        blocks: of two convolutions, in each stage.
        dilations: of the pyramid's convolutions, at the last stage's size. The paper's (6, 12, 18) suit images of 513.
        projection: maps of the finer features.
        dropout: share of the last features dropped, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output `logits`:
        (batch, height, width, classes) float32. The encoder is the layer called `backbone`.

    Raises:
        ValueError: the stages are not as KerasHub wants them, or not equally many.
    """
    if len(widths) != len(blocks) or len(widths) < 2 or widths[0] != 64:
        raise ValueError(
            "`widths` and `blocks` must have the same length, at least two stages, and the first width must be 64. "
            f"Received: widths={widths}, blocks={blocks}."
        )
    image = keras.Input(input_shape, name="image")
    x = padded(keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image), 2 ** (len(widths) + 1))
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(widths),
        stackwise_num_blocks=list(blocks),
        stackwise_num_strides=[1] + [2] * (len(widths) - 1),
        block_type="basic_block",
        image_shape=x.shape[1:],
    )
    for layer in encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # of 0.99 little is left after a short training
    return segmenter(image, x, encoder, classes, dilations=dilations, projection=projection, dropout=dropout)


def segmenter(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    encoder: keras_hub.models.FeaturePyramidBackbone,
    classes: int,
    *,
    last: str = "",
    low: str | None = LOW,
    dilations: Sequence[int] = (6, 12, 18),
    projection: int = 48,
    dropout: float = 0.0,
) -> keras.Model:
    """The network over an encoder of KerasHub with a pyramid.

    Its layers are those of KerasHub's `DeepLabV3Backbone`, which enlarges 256 maps to the image's size before the last
    convolution of 1 x 1. Both are linear: enlarging the classes instead gives the same in a fraction of the time.

    Args:
        image: the network's input.
        x: the image as the encoder wants it, its sides multiples of the encoder's stride.
        last: the pyramid's level for the dilations; "" for the coarsest.
        low: the level that refines, or None, as in DeepLabV3 without the plus.
    """
    features = keras.Model(encoder.inputs, encoder.pyramid_outputs, name="backbone")(x)
    last = last or max(features)
    x = SpatialPyramid(list(dilations), name="spatial_pyramid")(features[last])
    stride = 2 ** int(last[1:])
    if low:
        factor = 2 ** (int(last[1:]) - int(low[1:]))
        x = keras.layers.UpSampling2D(factor, interpolation="bilinear", name="up_to_low")(x)
        x = keras.layers.Concatenate(name="joined")([x, _convolution(features[low], projection, "decoder")])
        stride //= factor
    x = _convolution(x, WIDTH, "segmentation_head")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(classes, 1, name="classes")(x)
    x = keras.layers.UpSampling2D(stride, interpolation="bilinear", name="up_to_image")(x)
    return keras.Model({"image": image}, {"logits": logits_of(x, image.shape[1:])}, name="deeplab_v3")


def pretrained(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    backbone: keras_hub.models.DeepLabV3Backbone,
    classes: int,
    dropout: float,
) -> keras.Model:
    """The network with the weights of KerasHub's `DeepLabV3Backbone`."""
    network = segmenter(
        image,
        x,
        backbone.image_encoder,
        classes,
        last=backbone.spatial_pyramid_pooling_key,
        low=backbone.low_level_feature_key,
        dilations=backbone.dilation_rates,
        projection=backbone.projection_filters,
        dropout=dropout,
    )
    for layer in backbone.layers:
        if isinstance(layer, SpatialPyramidPooling):
            network.get_layer("spatial_pyramid").set_weights(layer.get_weights())
        elif layer.weights and not isinstance(layer, keras.Model):  # the encoder is shared
            network.get_layer(layer.name).set_weights(layer.get_weights())
    return network


def _convolution(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(
        FusedBatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x)
    )
