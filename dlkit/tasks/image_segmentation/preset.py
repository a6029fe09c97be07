"""Segmentation networks over pretrained image backbones of KerasHub, with their own rescaling."""

from __future__ import annotations

from pathlib import Path

from dlkit.layers.pad_to_multiple import pad_to_multiple
from dlkit.lazy import keras
from dlkit.vision.preset import add_rescaling, load_preset

STRIDE = 32  # of the coarsest level of a published encoder


def preset_segmenter(
    name_or_folder: str | Path, input_shape: tuple[int, int, int], num_classes: int, *, dropout: float = 0.0
) -> keras.Model:
    """Build a segmentation network over a KerasHub backbone, with a new last layer, or a new decoder over an encoder.

    DeepLabV3 and SegFormer backbones keep their decoders. A mix transformer gets the decoder of SegFormer; any other
    encoder with a feature pyramid, such as ResNet, gets the decoder of DeepLabV3+.

    Args:
        name_or_folder: name of a KerasHub preset ("deeplab_v3_plus_resnet50_pascalvoc"), a handle ("hf://...",
            "kaggle://...") or a folder written by `save_to_preset`.
        input_shape: (height, width, channels), of any size; one channel is repeated if the backbone needs three.
        num_classes: number of classes.
        dropout: dropout rate before the last convolution, between 0 and 1; of a transformer, also inside its blocks.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, height, width, num_classes) float32.

    Raises:
        ValueError: the preset does not exist, cannot be downloaded, or is not an image backbone with a feature pyramid.

    Examples:
        >>> from dlkit.tasks.image_segmentation.preset import preset_segmenter
        >>> network = preset_segmenter("deeplab_v3_plus_resnet50_pascalvoc", (96, 96, 3), 2)  # doctest: +SKIP
    """
    converter, backbone = load_preset(name_or_folder)
    import keras_hub

    models = keras_hub.models
    image = keras.Input(input_shape, name="image")
    x = image
    if input_shape[-1] == 1 and backbone.input.shape[-1] == 3:
        x = keras.layers.Concatenate(name="gray_to_rgb")([x, x, x])
    x = add_rescaling(x, converter)
    if isinstance(backbone, (models.SegFormerBackbone, models.MiTBackbone)):
        from dlkit.tasks.image_segmentation import segformer

        x = pad_to_multiple(x, STRIDE, square=True)
        return segformer.segformer_from_backbone(
            image, x, segformer.resize_backbone(backbone, x.shape[1:], dropout), num_classes, dropout
        )
    from dlkit.tasks.image_segmentation import deeplab_v3

    x = pad_to_multiple(x, STRIDE)
    if isinstance(backbone, models.DeepLabV3Backbone):
        return deeplab_v3.deeplab_v3_from_backbone(image, x, backbone, num_classes, dropout)
    if deeplab_v3.LOW_LEVEL not in getattr(backbone, "pyramid_outputs", {}):
        raise ValueError(
            "`network=preset:` must name a segmentation backbone, or an image encoder with a feature pyramid. "
            f"Received: {str(name_or_folder)!r}, a {type(backbone).__name__}."
        )
    return deeplab_v3.deeplab_v3_from_encoder(image, x, backbone, num_classes, dropout=dropout)
