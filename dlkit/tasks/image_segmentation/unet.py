"""U-Net: an encoder and a decoder with skip connections. Ronneberger et al., 2015, arXiv:1505.04597."""

from __future__ import annotations

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.layers.pad_to_multiple import crop_padding, pad_to_multiple
from dlkit.lazy import keras

# Networks of keras.applications: the last layer of each level, from stride 2 to 32, and whether they rescale pixels.
_ENCODERS = {
    "MobileNetV2": (
        ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        False,
    ),
    "EfficientNetB0": (
        (
            "block2a_expand_activation",
            "block3a_expand_activation",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        True,
    ),
    "EfficientNetV2B0": (
        (
            "block1a_project_activation",
            "block2b_add",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        True,
    ),
    "ResNet50V2": (
        ("conv1_conv", "conv2_block3_1_relu", "conv3_block4_1_relu", "conv4_block6_1_relu", "post_relu"),
        False,
    ),
}


def unet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: int = 16,
    depth: int = 4,
    encoder: str = "",
    weights: str = "",
    dropout: float = 0.0,
) -> keras.Model:
    """Build U-Net.

    Without `encoder`, each level has two 3 x 3 convolutions with batch normalization. The first level has `width`
    filters and the size of the image; each further level has half the size and twice as many filters. Differences from
    the paper: convolutions are padded, batch normalization, and bilinear upsampling instead of transposed convolutions.

    Args:
        input_shape: (height, width, channels), of any size.
        num_classes: number of classes.
        width: number of filters at the first level, and at the last level of the decoder.
        depth: number of downsampling steps; with `encoder` always five.
        encoder: "" or a network of `keras.applications`: MobileNetV2, EfficientNetB0, EfficientNetV2B0, ResNet50V2.
        weights: weights of the encoder: "" for random ones, "imagenet" (downloaded by Keras), or a file.
        dropout: dropout rate of the deepest features, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, height, width, num_classes) float32. An encoder is the layer `backbone`.

    Raises:
        ValueError: `width` or `depth` is not positive, the encoder is unknown, or its weights cannot be loaded.

    Examples:
        >>> from dlkit.tasks.image_segmentation.unet import unet
        >>> unet((48, 48, 1), 3, width=4, depth=2).output_shape
        (None, 48, 48, 3)
    """
    if width < 1 or depth < 1:
        raise ValueError(f"`width` and `depth` must be at least 1. Received: width={width}, depth={depth}.")
    image = keras.Input(input_shape, name="image")
    if encoder:
        x, *skips = _pretrained_encoder(image, encoder, weights)
    else:
        x, *skips = _plain_encoder(image, width, depth)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level in reversed(range(len(skips))):
        x = keras.layers.UpSampling2D(interpolation="bilinear", name=f"up_{level}")(x)
        x = keras.layers.Concatenate(name=f"concat_{level}")([x, skips[level]])
        x = _conv_block(x, width * 2**level, f"decoder_{level}")
    if encoder:  # its first level has half the size of the image
        x = keras.layers.UpSampling2D(interpolation="bilinear", name="up_to_image")(x)
    x = keras.layers.Conv2D(num_classes, 1, name="classes")(x)
    return keras.Model({"image": image}, {"logits": crop_padding(x, input_shape)}, name="unet")


def _plain_encoder(image: keras.KerasTensor, width: int, depth: int) -> tuple[keras.KerasTensor, ...]:
    """Build the deepest features, followed by the features of each level, from the size of the image on."""
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image)
    x = pad_to_multiple(x, 2**depth)
    skips = []
    for level in range(depth):
        x = _conv_block(x, width * 2**level, f"encoder_{level}")
        skips.append(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{level}")(x)
    return _conv_block(x, width * 2**depth, "bottleneck"), *skips


def _conv_block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    for number in (1, 2):
        x = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv_{number}"
        )(x)
        x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm_{number}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{number}")(x)
    return x


def _pretrained_encoder(image: keras.KerasTensor, name: str, weights: str) -> tuple[keras.KerasTensor, ...]:
    """Build the deepest features of a network of `keras.applications`, followed by those from stride 2 on."""
    if name not in _ENCODERS:
        raise ValueError(f"`encoder` must be one of {', '.join(_ENCODERS)}. Received: encoder={name!r}.")
    levels, has_rescaling = _ENCODERS[name]
    x = image if image.shape[-1] == 3 else keras.layers.Concatenate(name="gray_to_rgb")([image] * 3)
    if not has_rescaling:
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(x)
    x = pad_to_multiple(x, 32)
    try:
        application = getattr(keras.applications, name)(
            include_top=False, weights=weights or None, input_shape=x.shape[1:]
        )
    except Exception as error:  # of the network, the file system or Keras
        raise ValueError(
            f'`weights` must be "", "imagenet" or a file of weights. Received: weights={weights!r}, and loading them '
            f"failed with {type(error).__name__}: {error}"
        ) from error
    features = keras.Model(
        application.input, [application.get_layer(level).output for level in levels], name="backbone"
    )(x)
    return features[-1], *features[:-1]
