"""The generator of a generative adversarial network: latent vectors and labels to images."""

from __future__ import annotations

from dlkit.layers.pad_to_multiple import crop_padding
from dlkit.lazy import keras
from dlkit.tasks.image_generation.unet import GROUPS, LabelEmbedding, ScaleAndShift


def generator(
    image_shape: tuple[int, ...], num_labels: int, *, latents: int, width: int, depth: int, blocks: int, patch: int
) -> keras.Model:
    """Build a generator that upsamples from a small map.

    Residual blocks as in Miyato et al., 2018, arXiv:1802.05957. Latent vector and label together scale and shift the
    normalized features; the normalization, of groups of channels, looks at one image alone, so that an image does not
    depend on others in its batch.

    Args:
        image_shape: (height, width, channels), of any size.
        num_labels: number of labels.
        latents: length of the latent vectors.
        width: features of the last level, a multiple of 8; each level before has twice as many.
        depth: number of levels; each has twice the size of the one before.
        blocks: residual blocks of each level.
        patch: side of the patches in pixels that the last layer makes of the last level.

    Returns:
        A functional model of `latent`, (batch, latents) float32, and `label_id`, (batch,) int32 from 0 (no label) to
        `num_labels`, with the output `image`, (batch, height, width, channels) float32 in [-1, 1].

    Raises:
        ValueError: `width` is not a multiple of 8.

    Examples:
        >>> from dlkit.tasks.image_generation.generator import generator
        >>> generator((30, 28, 3), 10, latents=4, width=8, depth=2, blocks=1, patch=2).output["image"].shape
        (None, 30, 28, 3)
    """
    if width % GROUPS:
        raise ValueError(f"`width` must be a multiple of {GROUPS}. Received: width={width}.")
    latent = keras.Input((latents,), name="latent")
    label_id = keras.Input((), dtype="int32", name="label_id")
    label = LabelEmbedding(num_labels, latents, name="label")(label_id)
    known = keras.layers.Concatenate(name="latent_and_label")([latent, label])
    smallest = [-(-side // (patch * 2 ** (depth - 1))) for side in image_shape[:2]]
    features = width * 2 ** (depth - 1)
    x = keras.layers.Dense(smallest[0] * smallest[1] * features, name="map")(known)
    x = keras.layers.Reshape((*smallest, features), name="map_shape")(x)
    for level in reversed(range(depth)):
        if level < depth - 1:
            x = keras.layers.UpSampling2D(name=f"up_{level}")(x)
        for number in range(blocks):
            x = _residual_block(x, known, width * 2**level, f"level_{level}_{number}")
    x = keras.layers.GroupNormalization(GROUPS, name="norm")(x)
    x = keras.layers.Activation("silu", name="silu")(x)
    x = keras.layers.Conv2DTranspose(image_shape[2], max(2 * patch, 3), strides=patch, padding="same", name="pixels")(x)
    x = crop_padding(x, image_shape, name="crop")
    image = keras.layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model({"latent": latent, "label_id": label_id}, {"image": image}, name="generator")


def _residual_block(x: keras.KerasTensor, known: keras.KerasTensor, features: int, name: str) -> keras.KerasTensor:
    skip = x if x.shape[-1] == features else keras.layers.Conv2D(features, 1, name=f"{name}_skip")(x)
    for number in (1, 2):
        channels, name_of = x.shape[-1], f"{name}_{number}"
        x = keras.layers.GroupNormalization(GROUPS, center=False, scale=False, name=f"{name_of}_norm")(x)
        parts = keras.layers.Dense(2 * channels, kernel_initializer="zeros", name=f"{name_of}_known")(known)
        parts = keras.layers.Reshape((1, 1, 2 * channels), name=f"{name_of}_known_map")(parts)
        x = ScaleAndShift(name=f"{name_of}_modulate")(x, parts)
        x = keras.layers.Activation("silu", name=f"{name_of}_silu")(x)
        x = keras.layers.Conv2D(features, 3, padding="same", name=f"{name_of}_conv")(x)
    return keras.layers.Add(name=f"{name}_add")([x, skip])
