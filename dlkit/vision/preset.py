"""Pretrained image backbones of KerasHub, with the preprocessing that they were trained with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlkit.lazy import keras

if TYPE_CHECKING:
    import keras_hub


def preset(
    name_or_folder: str | Path, input_shape: tuple[int, int, int], outputs: int, *, dropout: float = 0.0
) -> keras.Model:
    """Build a KerasHub backbone with its image converter in front and a new classifier on top, as one functional model.

    The converter resizes to the size the weights were trained on and applies their scale and offset. A backbone
    without a saved converter gets the image as it is, 0 to 255, resized only if its size is fixed.

    Args:
        name_or_folder: name of a KerasHub preset ("resnet_50_imagenet"), a handle ("hf://...", "kaggle://...") or a
            folder written by `save_to_preset`.
        input_shape: (height, width, channels); one channel is repeated if the backbone needs three.
        outputs: number of logits.
        dropout: dropout rate of the pooled features, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255.
        Output `logits`: (batch, outputs) float32. The backbone is the layer called `backbone`.

    Raises:
        ValueError: there is no such preset, it cannot be loaded, or it is not an image backbone.

    Examples:
        >>> from dlkit.vision.preset import preset
        >>> model = preset("resnet_18_imagenet", (224, 224, 3), 10)  # doctest: +SKIP
        >>> model.output["logits"].shape  # doctest: +SKIP
        (None, 10)
    """
    converter, backbone = load_preset(name_or_folder)
    image = keras.Input(input_shape, name="image")
    x = image
    channels = backbone.input.shape[-1]
    if input_shape[-1] == 1 and channels == 3:
        x = keras.layers.Concatenate(name="gray_to_rgb")([x, x, x])
    x = _preprocess(x, converter, backbone.input_shape[1:3])
    x = backbone(x)
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    elif len(x.shape) == 3:  # (batch, tokens, width) of a vision transformer
        x = keras.layers.GlobalAveragePooling1D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="preset")


def load_preset(
    name_or_folder: str | Path,
) -> tuple[keras_hub.layers.ImageConverter | None, keras_hub.models.Backbone]:
    """Load the image converter of a preset, or None, and its backbone. Raise ValueError as `preset` does."""
    import keras_hub

    name_or_folder = str(name_or_folder)
    try:
        backbone = keras_hub.models.Backbone.from_preset(name_or_folder, name="backbone")
    except Exception as error:  # each hub and each kind of broken folder raises its own errors
        raise ValueError(
            "`name_or_folder` must be an available KerasHub preset, or a folder written by `save_to_preset`. "
            f"Received: name_or_folder={name_or_folder!r}, and loading it failed with {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}"
        ) from error
    shape = getattr(backbone, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            "`name_or_folder` must name an image backbone. "
            f"Received: name_or_folder={name_or_folder!r}, a {type(backbone).__name__}."
        )
    try:
        return keras_hub.layers.ImageConverter.from_preset(name_or_folder), backbone
    except (ValueError, FileNotFoundError):  # the folder holds a backbone alone
        return None, backbone


def _preprocess(
    x: keras.KerasTensor, converter: keras_hub.layers.ImageConverter | None, backbone_size: tuple[int | None, ...]
) -> keras.KerasTensor:
    """Express the converter's resizing, scale and offset as plain Keras layers, so that they are saved and exported."""
    size = converter.image_size if converter is not None else None
    size = size or (backbone_size if None not in backbone_size else None)
    if size is not None and tuple(size) != x.shape[1:3]:
        options = {"antialias": True}
        if converter is not None:
            names = ("interpolation", "antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio")
            options = {name: getattr(converter, name) for name in names}
        x = keras.layers.Resizing(*size, name="resize", **options)(x)
    return add_rescaling(x, converter)


def add_rescaling(x: keras.KerasTensor, converter: keras_hub.layers.ImageConverter | None) -> keras.KerasTensor:
    """Apply the scale and offset of a converter; without one, return the image unchanged."""
    scale, offset = (None, None) if converter is None else (converter.scale, converter.offset)
    if scale is None and offset is None:
        return x
    return keras.layers.Rescaling(1.0 if scale is None else scale, offset or 0.0, name="rescale")(x)
