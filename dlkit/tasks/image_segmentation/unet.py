"""U-Net: an encoder, and a decoder that sees each of its levels again. Ronneberger et al., 2015, arXiv:1505.04597."""

from __future__ import annotations

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.lazy import keras
from dlkit.tasks.image_segmentation.whole_pixels import logits_of, padded

# Of keras.applications: the last layers of each level, from half the size to a 32nd; and whether they scale pixels.
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
    classes: int,
    *,
    width: int = 16,
    depth: int = 4,
    encoder: str = "",
    weights: str = "",
    dropout: float = 0.0,
) -> keras.Model:
    """A network that labels each pixel.

    Without `encoder` its levels are two 3 x 3 convolutions with batch normalization each, `width` maps
    wide at the image's size and twice as wide at each further level. Divergences from the paper: convolutions keep the
    size, normalization, bilinear upsampling for the transposed convolution.

    Args:
        input_shape: (height, width, channels), of any size.
        classes: how many.
        width: maps of the first level, and of the decoder's last one.
        depth: how often the size is halved; with `encoder`, always five times.
        encoder: "" or a network of `keras.applications`: MobileNetV2, EfficientNetB0, EfficientNetV2B0, ResNet50V2.
        weights: of the encoder: "" for none, "imagenet", which Keras fetches, or a file.
        dropout: share of the deepest features dropped, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255. Output `logits`:
        (batch, height, width, classes) float32. An encoder is the layer called `backbone`.

    Raises:
        ValueError: there is no such encoder, or its weights cannot be fetched.
    """
    if width < 1 or depth < 1:
        raise ValueError(f"`width` and `depth` must be at least 1. Received: width={width}, depth={depth}.")
    image = keras.Input(input_shape, name="image")
    if encoder:
        x, *skips = _encoder(image, encoder, weights)
    else:
        x, *skips = _levels(image, width, depth)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level in reversed(range(len(skips))):
        x = keras.layers.UpSampling2D(interpolation="bilinear", name=f"up_{level}")(x)
        x = keras.layers.Concatenate(name=f"joined_{level}")([x, skips[level]])
        x = _block(x, width * 2**level, f"decoder_{level}")
    if encoder:  # whose first level has half the image's size
        x = keras.layers.UpSampling2D(interpolation="bilinear", name="up_to_image")(x)
    x = keras.layers.Conv2D(classes, 1, name="classes")(x)
    return keras.Model({"image": image}, {"logits": logits_of(x, input_shape)}, name="unet")


def _levels(image: keras.KerasTensor, width: int, depth: int) -> tuple[keras.KerasTensor, ...]:
    """The deepest features, then those of each level above it, from the image's size on."""
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(image)
    x = padded(x, 2**depth)
    skips = []
    for level in range(depth):
        x = _block(x, width * 2**level, f"encoder_{level}")
        skips.append(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{level}")(x)
    return _block(x, width * 2**depth, "bottom"), *skips


def _block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    for number in (1, 2):
        x = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv_{number}"
        )(x)
        x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm_{number}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{number}")(x)
    return x


def _encoder(image: keras.KerasTensor, name: str, weights: str) -> tuple[keras.KerasTensor, ...]:
    """The same of a network of `keras.applications`, from half the image's size on."""
    if name not in _ENCODERS:
        raise ValueError(f"`encoder` must be one of {', '.join(_ENCODERS)}. Received: encoder={name!r}.")
    levels, scales_itself = _ENCODERS[name]
    x = image if image.shape[-1] == 3 else keras.layers.Concatenate(name="grey_to_rgb")([image] * 3)
    if not scales_itself:
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_minus_one_one")(x)
    x = padded(x, 32)
    try:
        whole = getattr(keras.applications, name)(include_top=False, weights=weights or None, input_shape=x.shape[1:])
    except Exception as error:  # the network's, the file system's, or Keras's own
        raise ValueError(
            f'`weights` must be "", "imagenet" or a file of weights. Received: weights={weights!r}, and loading them '
            f"failed with {type(error).__name__}: {error}"
        ) from error
    features = keras.Model(whole.input, [whole.get_layer(level).output for level in levels], name="backbone")(x)
    return features[-1], *features[:-1]
