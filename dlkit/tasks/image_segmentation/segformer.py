"""KerasHub's SegFormer: a transformer in four sizes under a dense decoder. Xie et al., 2021, arXiv:2105.15203."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_hub

from dlkit.lazy import keras
from dlkit.tasks.image_segmentation.whole_pixels import logits_of, padded

STRIDE = 32  # pixels of the image for one place of the last stage; KerasHub's encoder takes square images alone


@keras.saving.register_keras_serializable("dlkit")
class MixTransformer(keras_hub.models.MiTBackbone):
    """KerasHub's, in which every layer drops a tenth whatever one asks for; here `dropout` says how much."""

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
    classes: int,
    *,
    widths: Sequence[int] = (32, 64, 128, 192),
    blocks: Sequence[int] = (1, 1, 1, 1),
    heads: Sequence[int] = (1, 2, 4, 6),
    decoder: int = 96,
    dropout: float = 0.0,
) -> keras.Model:
    """SegFormer over a small mix transformer, from scratch.

    Args:
        input_shape: (height, width, channels), of any size; it is padded to a square.
        classes: how many.
        widths: of the four stages, each another; at 1/4, 1/8, 1/16 and 1/32 of the size.
        blocks: in each stage.
        heads: of attention, in each stage; they divide the widths.
        decoder: width of the decoder.
        dropout: share of features, and of whole blocks at the end, dropped, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output `logits`:
        (batch, height, width, classes) float32.

    Raises:
        ValueError: there are not four stages, or the widths are not each another and divided by their heads.
    """
    if not len(widths) == len(set(widths)) == len(blocks) == len(heads) == 4:
        raise ValueError(
            f"`widths`, `blocks` and `heads` must have four stages with distinct widths. Received: widths={widths}, "
            f"blocks={blocks}, heads={heads}."
        )
    if any(width % parts for width, parts in zip(widths, heads, strict=True)):
        raise ValueError(f"`heads` must divide `widths`. Received: widths={widths}, heads={heads}.")
    image = keras.Input(input_shape, name="image")
    x = padded(keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image), STRIDE, square=True)
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
    return segmenter(image, x, keras_hub.models.SegFormerBackbone(encoder, decoder), classes, dropout)


def resized(
    backbone: keras_hub.models.SegFormerBackbone | keras_hub.models.MiTBackbone,
    image_shape: tuple[int, int, int],
    dropout: float,
    decoder: int = 256,
) -> keras_hub.models.SegFormerBackbone:
    """A pretrained SegFormer, or a new one over an encoder, for images of another size: no weight depends on it."""
    whole = isinstance(backbone, keras_hub.models.SegFormerBackbone)
    old = backbone.image_encoder if whole else backbone
    config = {**old.get_config(), "image_shape": image_shape, "dropout": dropout, "max_drop_path_rate": dropout}
    encoder = MixTransformer(**{name: value for name, value in config.items() if name not in ("dtype", "trainable")})
    encoder.set_weights(old.get_weights())
    other = keras_hub.models.SegFormerBackbone(encoder, backbone.projection_filters if whole else decoder)
    if whole:
        other.set_weights(backbone.get_weights())
    return other


def segmenter(
    image: keras.KerasTensor,
    x: keras.KerasTensor,
    backbone: keras_hub.models.SegFormerBackbone,
    classes: int,
    dropout: float,
) -> keras.Model:
    """The network of such a backbone: KerasHub's head, with logits at the image's size."""
    x = keras.layers.Dropout(dropout, name="dropout")(backbone(x))
    x = keras.layers.Conv2D(classes, 1, name="classes")(x)
    x = keras.layers.UpSampling2D(4, interpolation="bilinear", name="up_to_image")(x)
    return keras.Model({"image": image}, {"logits": logits_of(x, image.shape[1:])}, name="segformer_segmenter")
