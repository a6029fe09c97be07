"""DeepLabV3+: atrous spatial pyramid pooling with a decoder. Chen et al., 2018, arXiv:1802.02611."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_hub
from keras_hub.src.models.deeplab_v3.deeplab_v3_layers import SpatialPyramidPooling

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.layers.pad_to_multiple import crop_padding, pad_to_multiple
from dlkit.lazy import keras

LOW_LEVEL = "P2"  # pyramid level of the low-level features: a quarter of the image's size
DECODER_WIDTH = 256  # filters of KerasHub's decoder


@keras.saving.register_keras_serializable("dlkit")
class SpatialPyramid(SpatialPyramidPooling):
    """Atrous spatial pyramid pooling of KerasHub that also builds from lists and adapts quickly.

    Saved models hold shapes as lists. The momentum of batch normalization is 0.9, so that moving averages are accurate
    after a short training.

    Examples:
        >>> import numpy as np
        >>> from dlkit.tasks.image_segmentation.deeplab_v3 import SpatialPyramid
        >>> SpatialPyramid([2, 4])(np.zeros((1, 8, 8, 16), "float32")).shape
        TensorShape([1, 8, 8, 256])
    """

    def build(self, input_shape: Any) -> None:
        super().build(tuple(input_shape))
        for block in (*self.aspp_parallel_channels, self.projection):
            for layer in block.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.9


def deeplab_v3(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    widths: Sequence[int] = (64, 128, 256),
    blocks: Sequence[int] = (1, 1, 1),
    dilations: Sequence[int] = (2, 4, 6),
    projection_filters: int = 48,
    dropout: float = 0.0,
) -> keras.Model:
    """Build DeepLabV3+ over a ResNet of KerasHub, with random weights.

    Args:
        input_shape: (height, width, channels), of any size.
        num_classes: number of classes.
        widths: number of filters of each stage of the encoder; the first stage has stride 4 and must have 64 filters.
        blocks: number of residual blocks in each stage.
        dilations: dilation rates of the spatial pyramid. The (6, 12, 18) of the paper suit images of 513 pixels.
        projection_filters: number of filters to which the low-level features are projected.
        dropout: dropout rate before the last convolution, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, height, width, num_classes) float32. The encoder is the layer `backbone`.

    Raises:
        ValueError: `widths` and `blocks` do not match, or the first width is not 64.

    Examples:
        >>> from dlkit.tasks.image_segmentation.deeplab_v3 import deeplab_v3
        >>> deeplab_v3((32, 32, 3), 2, widths=(64, 64), blocks=(1, 1)).output_shape
        (None, 32, 32, 2)
    """
    if len(widths) != len(blocks) or len(widths) < 2 or widths[0] != 64:
        raise ValueError(
            "`widths` and `blocks` must have the same length, at least two stages, and the first width must be 64. "
            f"Received: widths={widths}, blocks={blocks}."
        )
    image = keras.Input(input_shape, name="image")
    x = pad_to_multiple(keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image), 2 ** (len(widths) + 1))
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
            layer.momentum = 0.9  # 0.99 adapts too slowly for short trainings
    return deeplab_v3_from_encoder(
        image, x, encoder, num_classes, dilations=dilations, projection_filters=projection_filters, dropout=dropout
    )


def deeplab_v3_from_encoder(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    encoder: keras_hub.models.FeaturePyramidBackbone,
    num_classes: int,
    *,
    high_level: str = "",
    low_level: str | None = LOW_LEVEL,
    dilations: Sequence[int] = (6, 12, 18),
    projection_filters: int = 48,
    dropout: float = 0.0,
) -> keras.Model:
    """Build DeepLabV3+ over an encoder of KerasHub with a feature pyramid.

    The layers are those of `DeepLabV3Backbone` of KerasHub, which upsamples 256 feature maps to the size of the image
    before the last 1 x 1 convolution. Both are linear: upsampling the logits instead gives the same at a lower cost.

    Args:
        image: input of the network.
        x: the image, rescaled for the encoder, with sides that are multiples of its stride.
        encoder: encoder with `pyramid_outputs`.
        num_classes: number of classes.
        high_level: pyramid level of the spatial pyramid; "" selects the coarsest.
        low_level: pyramid level of the low-level features; None for DeepLabV3 without a decoder.
        dilations: dilation rates of the spatial pyramid.
        projection_filters: number of filters to which the low-level features are projected.
        dropout: dropout rate before the last convolution, between 0 and 1.

    Returns:
        A functional model from `image` to `logits`, as `deeplab_v3`.
    """
    features = keras.Model(encoder.inputs, encoder.pyramid_outputs, name="backbone")(x)
    high_level = high_level or max(features)
    x = SpatialPyramid(list(dilations), name="spatial_pyramid")(features[high_level])
    stride = 2 ** int(high_level[1:])
    if low_level:
        factor = 2 ** (int(high_level[1:]) - int(low_level[1:]))
        x = keras.layers.UpSampling2D(factor, interpolation="bilinear", name="up_to_low")(x)
        x = keras.layers.Concatenate(name="concat")(
            [x, _convolution(features[low_level], projection_filters, "decoder")]
        )
        stride //= factor
    x = _convolution(x, DECODER_WIDTH, "segmentation_head")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(num_classes, 1, name="classes")(x)
    x = keras.layers.UpSampling2D(stride, interpolation="bilinear", name="up_to_image")(x)
    return keras.Model({"image": image}, {"logits": crop_padding(x, image.shape[1:])}, name="deeplab_v3")


def deeplab_v3_from_backbone(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    backbone: keras_hub.models.DeepLabV3Backbone,
    num_classes: int,
    dropout: float,
) -> keras.Model:
    """Build DeepLabV3+ with the weights of a `DeepLabV3Backbone` of KerasHub.

    Args:
        image: input of the network.
        x: the image, rescaled for the backbone, with sides that are multiples of its stride.
        backbone: pretrained backbone.
        num_classes: number of classes.
        dropout: dropout rate before the last convolution, between 0 and 1.

    Returns:
        A functional model from `image` to `logits`, as `deeplab_v3`.
    """
    network = deeplab_v3_from_encoder(
        image,
        x,
        backbone.image_encoder,
        num_classes,
        high_level=backbone.spatial_pyramid_pooling_key,
        low_level=backbone.low_level_feature_key,
        dilations=backbone.dilation_rates,
        projection_filters=backbone.projection_filters,
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
