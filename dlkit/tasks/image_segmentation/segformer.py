"""SegFormer of KerasHub: a hierarchical transformer with an MLP decoder. Xie et al., 2021, arXiv:2105.15203."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_hub

from dlkit.layers.pad_to_multiple import crop_padding, pad_to_multiple
from dlkit.lazy import keras

STRIDE = 32  # of the last stage, in pixels; KerasHub's encoder needs square images


@keras.saving.register_keras_serializable("dlkit")
class MixTransformer(keras_hub.models.MiTBackbone):
    """Mix transformer of KerasHub with a dropout rate that can be chosen; the rate of KerasHub is fixed at 0.1.

    Args:
        dropout: dropout rate of all dropout layers, between 0 and 1.
        **kwargs: arguments of `keras_hub.models.MiTBackbone`.

    Examples:
        >>> from dlkit.tasks.image_segmentation.segformer import MixTransformer
        >>> encoder = MixTransformer(
        ...     dropout=0.2, layerwise_depths=[1], num_layers=1, layerwise_num_heads=[1], layerwise_sr_ratios=[2],
        ...     max_drop_path_rate=0.2, layerwise_patch_sizes=[7], layerwise_strides=[4], image_shape=(64, 64, 3),
        ...     hidden_dims=[16],
        ... )
        >>> encoder.get_config()["dropout"]
        0.2
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.dropout = dropout
        for layer in self._flatten_layers():
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = dropout

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dropout": self.dropout}


def segformer(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    widths: Sequence[int] = (32, 64, 128, 192),
    blocks: Sequence[int] = (1, 1, 1, 1),
    heads: Sequence[int] = (1, 2, 4, 6),
    decoder_width: int = 96,
    dropout: float = 0.0,
) -> keras.Model:
    """Build SegFormer over a small mix transformer, with random weights.

    Args:
        input_shape: (height, width, channels), of any size; images are padded to a square.
        num_classes: number of classes.
        widths: width of each of the four stages, all different; the strides are 4, 8, 16 and 32.
        blocks: number of transformer blocks in each stage.
        heads: number of attention heads in each stage; must divide the widths.
        decoder_width: width of the decoder.
        dropout: dropout rate, and maximum rate of stochastic depth, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, height, width, num_classes) float32.

    Raises:
        ValueError: there are not four stages, or the widths are not distinct multiples of their heads.

    Examples:
        >>> from dlkit.tasks.image_segmentation.segformer import segformer
        >>> segformer((64, 64, 3), 2).output_shape
        (None, 64, 64, 2)
    """
    if not len(widths) == len(set(widths)) == len(blocks) == len(heads) == 4:
        raise ValueError(
            f"`widths`, `blocks` and `heads` must have four stages with distinct widths. Received: widths={widths}, "
            f"blocks={blocks}, heads={heads}."
        )
    if any(width % head_count for width, head_count in zip(widths, heads, strict=True)):
        raise ValueError(f"`heads` must divide `widths`. Received: widths={widths}, heads={heads}.")
    image = keras.Input(input_shape, name="image")
    x = pad_to_multiple(keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image), STRIDE, square=True)
    encoder = MixTransformer(
        layerwise_depths=list(blocks),
        num_layers=4,
        layerwise_num_heads=list(heads),
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=dropout,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=x.shape[1:],
        hidden_dims=list(widths),
        dropout=dropout,
    )
    return segformer_from_backbone(
        image, x, keras_hub.models.SegFormerBackbone(encoder, decoder_width), num_classes, dropout
    )


def resize_backbone(
    backbone: keras_hub.models.SegFormerBackbone | keras_hub.models.MiTBackbone,
    image_shape: tuple[int, int, int],
    dropout: float,
    decoder_width: int = 256,
) -> keras_hub.models.SegFormerBackbone:
    """Rebuild a pretrained backbone for another image size; no weight depends on it.

    Args:
        backbone: pretrained SegFormer, or mix transformer, which gets a new decoder.
        image_shape: (height, width, channels) of the new input.
        dropout: dropout rate, and maximum rate of stochastic depth, between 0 and 1.
        decoder_width: width of a new decoder.

    Returns:
        The SegFormer backbone, with the pretrained weights.
    """
    with_decoder = isinstance(backbone, keras_hub.models.SegFormerBackbone)
    old_encoder = backbone.image_encoder if with_decoder else backbone
    config = {**old_encoder.get_config(), "image_shape": image_shape, "dropout": dropout, "max_drop_path_rate": dropout}
    encoder = MixTransformer(**{name: value for name, value in config.items() if name not in ("dtype", "trainable")})
    encoder.set_weights(old_encoder.get_weights())
    resized = keras_hub.models.SegFormerBackbone(
        encoder, backbone.projection_filters if with_decoder else decoder_width
    )
    if with_decoder:
        resized.set_weights(backbone.get_weights())
    return resized


def segformer_from_backbone(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    backbone: keras_hub.models.SegFormerBackbone,
    num_classes: int,
    dropout: float,
) -> keras.Model:
    """Build the segmentation network over a SegFormer backbone: KerasHub's head, with logits at the size of the image.

    Args:
        image: input of the network.
        x: the image, rescaled and padded to the input size of the backbone.
        backbone: SegFormer backbone.
        num_classes: number of classes.
        dropout: dropout rate before the last convolution, between 0 and 1.

    Returns:
        A functional model from `image` to `logits`, as `segformer`.
    """
    x = keras.layers.Dropout(dropout, name="dropout")(backbone(x))
    x = keras.layers.Conv2D(num_classes, 1, name="classes")(x)
    x = keras.layers.UpSampling2D(4, interpolation="bilinear", name="up_to_image")(x)
    return keras.Model({"image": image}, {"logits": crop_padding(x, image.shape[1:])}, name="segformer_segmenter")
