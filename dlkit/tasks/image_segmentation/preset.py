"""Segmenters over pretrained image backbones of KerasHub, with the scale that they were trained with."""

from __future__ import annotations

from pathlib import Path

from dlkit.lazy import keras
from dlkit.tasks.image_segmentation.whole_pixels import padded
from dlkit.vision.preset import add_rescaling, load_preset

STRIDE = 32  # of the coarsest level of a published encoder


def mask_preset(
    name_or_folder: str | Path, input_shape: tuple[int, int, int], classes: int, *, dropout: float = 0.0
) -> keras.Model:
    """A KerasHub backbone under a new last layer, or under a whole new decoder if it is an encoder alone.

    DeepLabV3 and SegFormer backbones keep their decoders. A mix transformer gets SegFormer's, and any other encoder
    with a pyramid, such as ResNet, DeepLabV3's.

    Args:
        name_or_folder: name of a KerasHub preset ("deeplab_v3_plus_resnet50_pascalvoc"), a handle ("hf://...",
            "kaggle://...") or a folder written by `save_to_preset`.
        input_shape: (height, width, channels), of any size; one channel is repeated to three where three are wanted.
        classes: how many.
        dropout: share of the last features dropped, 0 to 1; of a transformer, inside of it too.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output `logits`:
        (batch, height, width, classes) float32.

    Raises:
        ValueError: there is no such preset, it cannot be fetched, or it is no image backbone with a pyramid.
    """
    converter, backbone = load_preset(name_or_folder)
    import keras_hub

    models = keras_hub.models
    image = keras.Input(input_shape, name="image")
    x = image
    if input_shape[-1] == 1 and backbone.input.shape[-1] == 3:
        x = keras.layers.Concatenate(name="grey_to_rgb")([x, x, x])
    x = add_rescaling(x, converter)
    if isinstance(backbone, (models.SegFormerBackbone, models.MiTBackbone)):
        from dlkit.tasks.image_segmentation import segformer

        x = padded(x, STRIDE, square=True)
        return segformer.segmenter(image, x, segformer.resized(backbone, x.shape[1:], dropout), classes, dropout)
    from dlkit.tasks.image_segmentation import deeplab_v3

    x = padded(x, STRIDE)
    if isinstance(backbone, models.DeepLabV3Backbone):
        return deeplab_v3.pretrained(image, x, backbone, classes, dropout)
    if deeplab_v3.LOW not in getattr(backbone, "pyramid_outputs", {}):
        raise ValueError(
            "`network=preset:` must name a segmentation backbone, or an image encoder with a feature pyramid. "
            f"Received: {str(name_or_folder)!r}, a {type(backbone).__name__}."
        )
    return deeplab_v3.segmenter(image, x, backbone, classes, dropout=dropout)
