"""The networks of a variational autoencoder: convolutions between images and latent vectors."""

from __future__ import annotations

from dlkit.layers.pad_to_multiple import crop_padding, pad_to_multiple
from dlkit.lazy import keras
from dlkit.tasks.image_generation.latent_prior import LatentPrior
from dlkit.tasks.image_generation.likelihood import PARAMETERS, Likelihood
from dlkit.tasks.image_generation.network_parts import make_training_inputs
from dlkit.tasks.image_generation.vae import NegativeElbo, VaeSampler

SMALLEST_SIDE, MOST_FEATURES = 8, 4  # of the last map at most, in pixels; and times `width`
HIDDEN = 8  # units of the hidden layers, times `width`


def vae_networks(
    image_shape: tuple[int, int, int],
    num_labels: int,
    *,
    width: int = 32,
    latents: int = 32,
    likelihood: Likelihood = "bernoulli",
    beta: float = 1.0,
    free_nats: float = 0.0,
) -> tuple[keras.Model, keras.Model]:
    """Build a variational autoencoder.

    Args:
        image_shape: (height, width, channels).
        num_labels: number of labels; 0 for a model without labels.
        width: features of the largest maps, a multiple of 8.
        latents: length of the latent vectors, at least 2.
        likelihood, beta, free_nats: see `dlkit.tasks.image_generation.vae.NegativeElbo`.

    Returns:
        Tuple of two functional models, of what is trained and of what generates with its first weights: `image`,
        `label_id`, `row_seed` to `objective`, and `seed`, `label_id` to `image`. The layer `objective` holds the parts.
    """
    halvings = max(1, sum(max(image_shape[:2]) > SMALLEST_SIDE * 2**level for level in range(5)))
    features = [width * min(2**level, MOST_FEATURES) for level in range(halvings)]
    encoder, map_shape = _encoder(image_shape, features, latents)
    values = PARAMETERS[likelihood] * image_shape[2]
    decoder = _decoder(latents, map_shape, features, (*image_shape[:2], values))
    prior = LatentPrior(latents, max(num_labels, 1), name="prior")
    inputs = make_training_inputs(image_shape)
    image, label_id, row_seed = inputs.values()
    objective = NegativeElbo(prior, decoder, encoder, likelihood, beta, free_nats, name="objective")
    network = keras.Model(inputs, {"objective": objective(image, label_id, row_seed)}, name="vae")
    seed = keras.Input((), dtype="int32", name="seed")
    generated = VaeSampler(prior, decoder, likelihood, name="sampler")(seed, label_id)
    return network, keras.Model({"seed": seed, "label_id": label_id}, {"image": generated}, name="decode")


def _encoder(
    image_shape: tuple[int, int, int], features: list[int], latents: int
) -> tuple[keras.Model, tuple[int, ...]]:
    """Build the encoder; also return the shape of its last map."""
    image = keras.Input(image_shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescale")(image)
    x = pad_to_multiple(x, 2 ** len(features))
    for level, count in enumerate(features, 1):
        x = keras.layers.Conv2D(count, 4, strides=2, padding="same", activation="silu", name=f"down_{level}")(x)
    map_shape = x.shape[1:]
    x = keras.layers.Dense(HIDDEN * features[0], activation="silu", name="hidden")(
        keras.layers.Flatten(name="flatten")(x)
    )
    outputs = {
        name: keras.layers.Dense(latents, dtype="float32", kernel_initializer=start, name=name)(x)
        for name, start in (("mean", "glorot_uniform"), ("log_deviation", "zeros"))
    }
    return keras.Model({"image": image}, outputs, name="encoder"), map_shape


def _decoder(
    latents: int,
    map_shape: tuple[int, ...],
    features: list[int],
    output_shape: tuple[int, int, int],
) -> keras.Model:
    latent = keras.Input((latents,), dtype="float32", name="latent")
    x = keras.layers.Dense(HIDDEN * features[0], activation="silu", name="hidden")(latent)
    x = keras.layers.Dense(map_shape[0] * map_shape[1] * map_shape[2], activation="silu", name="map")(x)
    x = keras.layers.Reshape(map_shape, name="map_shape")(x)
    for level, count in reversed([*enumerate([features[0] // 2, *features[:-1]])]):
        x = keras.layers.Conv2DTranspose(count, 4, strides=2, padding="same", activation="silu", name=f"up_{level}")(x)
    x = keras.layers.Conv2D(output_shape[2], 3, padding="same", name="pixels")(x)
    return keras.Model({"latent": latent}, {"parameters": crop_padding(x, output_shape, "parameters")}, name="decoder")
