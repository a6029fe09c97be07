"""Plain Keras generators of Fashion-MNIST, measured as `image_generation.py` measures those of dlkit.

python benchmarks/image_generation_peers.py diffusion|gan|vae --cpu-minutes 16

Each is what one writes by hand after a tutorial: a U-Net that predicts the velocity of noisy images, with label dropout
and guidance; a GAN by label with the hinge loss and its two gradient tapes; a variational autoencoder with 16 latents.
They train for a CPU time, over which the learning rate falls to zero; the first two have averaged weights.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np
from image_generation import load_parts, report
from machine import print_machine

from dlkit.lazy import keras, load_tensorflow, tf

load_tensorflow()
layers = keras.layers
NO_LABEL, LATENTS, NOISE = 10, 16, 64


class CpuBudget(keras.callbacks.Callback):
    """Stops after so many seconds of CPU time, over which the learning rate falls as a cosine."""

    def __init__(self, seconds: float, *optimizers: keras.optimizers.Optimizer):
        super().__init__()
        self._seconds, self._rates = seconds, [(each, float(each.learning_rate.numpy())) for each in optimizers]
        self._begun = 0.0
        self.steps = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._begun = time.process_time()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.steps += 1
        share = min((time.process_time() - self._begun) / self._seconds, 1.0)
        for optimizer, rate in self._rates:
            optimizer.learning_rate.assign(rate * (0.5 + 0.5 * math.cos(math.pi * share)))
        self.model.stop_training = share >= 1.0


def batches_of(part: dict[str, Any], size: int) -> tf.data.Dataset:
    """Batches of images in [-1, 1] and label numbers, without end."""
    images = part["image"][..., None].astype(np.float32) / 127.5 - 1.0
    data = tf.data.Dataset.from_tensor_slices((images, np.array(part["label"], np.int32)))
    return data.shuffle(10_000).repeat().batch(size, drop_remainder=True)


def plain_unet(
    shape: tuple[int, int, int], labels: int, *, width: int, blocks: int, patch: int = 2, depth: int = 2
) -> keras.Model:
    """The default network of `ImageGenerator`, with Keras's layers alone."""
    noisy, when, label = keras.Input(shape), keras.Input(()), keras.Input((), dtype="int32")
    frequencies = math.pi * 1000.0 ** (np.arange(16) / 15)
    angles = layers.Reshape((1,))(when) * frequencies.astype(np.float32)
    known = layers.Concatenate()([keras.ops.sin(angles), keras.ops.cos(angles)])
    known = layers.Dense(4 * width)(layers.Dense(4 * width, activation="silu")(known))
    known = layers.Activation("silu")(layers.Add()([known, layers.Embedding(labels + 1, 4 * width)(label)]))

    def block(x: Any, features: int) -> Any:
        skip = x if x.shape[-1] == features else layers.Conv2D(features, 1)(x)
        x = layers.Activation("silu")(layers.GroupNormalization(8)(x))
        x = layers.GroupNormalization(8)(layers.Conv2D(features, 3, padding="same")(x))
        scale, shift = (layers.Reshape((1, 1, features))(layers.Dense(features)(known)) for _ in range(2))
        x = layers.Activation("silu")(x * (1.0 + scale) + shift)
        return layers.Add()([skip, layers.Conv2D(features, 3, padding="same", kernel_initializer="zeros")(x)])

    x, skips = layers.Conv2D(width, 3, patch, "same")(noisy), []
    for level in range(depth):
        x = layers.Conv2D(width * 2**level, 3, 2, "same")(x) if level else x
        for _ in range(blocks):
            x = block(x, width * 2**level)
        skips.append(x)
    tokens = layers.Reshape((-1, x.shape[-1]))(layers.GroupNormalization(8)(x))
    attended = layers.MultiHeadAttention(4, x.shape[-1] // 4)(tokens, tokens)
    x = block(layers.Add()([x, layers.Reshape(x.shape[1:])(attended)]), x.shape[-1])
    for level in reversed(range(depth - 1)):
        x = layers.Concatenate()([layers.UpSampling2D()(x), skips[level]])
        for _ in range(blocks):
            x = block(x, width * 2**level)
    x = layers.Activation("silu")(layers.GroupNormalization(8)(x))
    x = layers.Conv2DTranspose(shape[2], 3, patch, "same", kernel_initializer="zeros")(x)
    return keras.Model([noisy, when, label], x)


def fit_diffusion(network: keras.Model, part: dict[str, Any], size: int, *, epochs: int, callbacks: Any) -> None:
    """Train a U-Net to predict velocities. An epoch is a pass over the images."""

    def add_noise(images: tf.Tensor, labels: tf.Tensor) -> tuple[Any, tf.Tensor]:
        when, noise = tf.random.uniform([size]), tf.random.normal(tf.shape(images))
        angle = when[:, None, None, None] * (math.pi / 2)
        labels = tf.where(tf.random.uniform([size]) < 0.1, NO_LABEL, labels)
        noisy = tf.cos(angle) * images + tf.sin(angle) * noise
        return (noisy, when, labels), tf.cos(angle) * noise - tf.sin(angle) * images

    data = batches_of(part, size).map(add_noise, num_parallel_calls=2).prefetch(2)
    optimizer = keras.optimizers.AdamW(2e-3, weight_decay=0.0, clipnorm=1.0, use_ema=True, ema_momentum=0.999)
    network.compile(optimizer, loss="mse", jit_compile=False)
    callbacks = [each(optimizer) if callable(each) else each for each in callbacks]
    steps = len(part["image"]) // size
    network.fit(data, epochs=epochs, steps_per_epoch=steps, callbacks=callbacks, verbose=0)  # ends with the averages


def denoise(network: keras.Model, labels: np.ndarray, steps: int, guidance: float) -> np.ndarray:
    """Generate images with DDIM and guidance."""

    @tf.function
    def run(noise: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        for step in range(steps):
            now, then = (tf.fill([len(labels)], 1.0 - (step + more) / steps) for more in (0, 1))
            both = [tf.concat([noise, noise], 0), tf.concat([now, now], 0)]
            velocity = network([*both, tf.concat([labels, tf.fill([len(labels)], NO_LABEL)], 0)], training=False)
            given, without = tf.split(velocity, 2)
            velocity = without + guidance * (given - without)
            angle, next_angle = (each[0] * (math.pi / 2) for each in (now, then))
            clean = tf.clip_by_value(tf.cos(angle) * noise - tf.sin(angle) * velocity, -1.0, 1.0)
            rest = (noise - tf.cos(angle) * clean) / tf.sin(angle)
            noise = tf.cos(next_angle) * clean + tf.sin(next_angle) * rest
        return noise

    shape = network.inputs[0].shape[1:]
    parts = [run(tf.random.normal([len(each), *shape]), tf.constant(each)) for each in np.split(labels, 50)]
    return np.concatenate([part.numpy() for part in parts])


class Gan(keras.Model):
    """A generator and a critic by label, hinge loss; after Keras's example of a conditional GAN."""

    def __init__(self) -> None:
        super().__init__()
        noise, label = keras.Input((NOISE,)), keras.Input((), dtype="int32")
        x = layers.Concatenate()([noise, layers.Embedding(10, 32)(label)])
        x = layers.Reshape((7, 7, 32))(layers.Dense(7 * 7 * 32)(x))
        for width in (64, 32):
            x = layers.Conv2D(width, 5, padding="same")(layers.UpSampling2D()(x))
            x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
        self.generator = keras.Model([noise, label], layers.Conv2D(1, 5, padding="same", activation="tanh")(x))
        image, label = keras.Input((28, 28, 1)), keras.Input((), dtype="int32")
        x = layers.LeakyReLU(0.2)(layers.Conv2D(32, 4, 2, "same")(image))
        x = layers.LeakyReLU(0.2)(layers.Conv2D(64, 4, 2, "same")(x))
        x = layers.LeakyReLU(0.2)(layers.Conv2D(64, 3, 2, "same")(x))
        x = layers.GlobalAveragePooling2D()(x)
        judged = layers.Dot(1)([x, layers.Embedding(10, 64)(label)])
        self.critic = keras.Model([image, label], layers.Add()([layers.Dense(1)(x), judged]))

    def compile(self) -> None:
        super().compile(jit_compile=False)
        self.of_generator = keras.optimizers.Adam(2e-4, 0.5, use_ema=True, ema_momentum=0.999)
        self.of_critic = keras.optimizers.Adam(4e-4, 0.5)

    def train_step(self, data: Any) -> dict[str, Any]:
        images, labels = data
        noise = tf.random.normal([tf.shape(images)[0], NOISE])
        with tf.GradientTape() as tape:
            real = self.critic([images, labels], training=True)
            fake = self.critic([self.generator([noise, labels], training=True), labels], training=True)
            loss = tf.reduce_mean(tf.nn.relu(1.0 - real) + tf.nn.relu(1.0 + fake))
        weights = self.critic.trainable_weights
        self.of_critic.apply(tape.gradient(loss, weights), weights)
        with tf.GradientTape() as tape:
            fake = self.critic([self.generator([noise, labels], training=True), labels], training=True)
            deceived = -tf.reduce_mean(fake)
        weights = self.generator.trainable_weights
        self.of_generator.apply(tape.gradient(deceived, weights), weights)
        return {"critic": loss, "generator": deceived}


class Vae(keras.Model):
    """A convolutional variational autoencoder, Bernoulli likelihood; after Keras's example."""

    def __init__(self) -> None:
        super().__init__()
        image = keras.Input((28, 28, 1))
        x = layers.Conv2D(64, 3, 2, "same", activation="relu")(
            layers.Conv2D(32, 3, 2, "same", activation="relu")(image)
        )
        x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
        self.encoder = keras.Model(image, [layers.Dense(LATENTS)(x), layers.Dense(LATENTS)(x)])
        latent = keras.Input((LATENTS,))
        x = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64, activation="relu")(latent))
        for width in (64, 32):
            x = layers.Conv2DTranspose(width, 3, 2, "same", activation="relu")(x)
        self.decoder = keras.Model(latent, layers.Conv2DTranspose(1, 3, padding="same")(x))

    def bound(self, images: tf.Tensor) -> tf.Tensor:
        """The negative ELBO of images in [-1, 1], in nats: (batch,)."""
        mean, log_variance = self.encoder(images)
        latent = mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))
        target = (images + 1.0) / 2.0
        nats = tf.nn.sigmoid_cross_entropy_with_logits(target, self.decoder(latent))
        kl = 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1.0 - log_variance, 1)
        return tf.reduce_sum(nats, [1, 2, 3]) + kl

    def train_step(self, data: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.bound(data[0]))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def run_diffusion(train: dict[str, Any], labels: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    network = plain_unet((28, 28, 1), 10, width=args.width, blocks=1)
    print(f"{network.count_params():,} parameters")
    budget = [lambda optimizer: CpuBudget(60 * args.cpu_minutes, optimizer)]
    fit_diffusion(network, train, args.batch, epochs=1000, callbacks=budget)
    return denoise(network, labels, args.steps, args.guidance)


def run_gan(train: dict[str, Any], labels: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    model = Gan()
    model.compile()
    budget = CpuBudget(60 * args.cpu_minutes, model.of_generator, model.of_critic)
    steps = len(train["image"]) // args.batch
    model.fit(batches_of(train, args.batch), epochs=1000, steps_per_epoch=steps, callbacks=[budget], verbose=0)
    model.of_generator.finalize_variable_values(model.generator.trainable_variables)  # the averages
    print(f"{model.generator.count_params():,} + {model.critic.count_params():,} parameters, {budget.steps} steps")
    noise = tf.random.normal([len(labels), NOISE])
    return model.generator.predict([noise, labels], batch_size=500, verbose=0)


def run_vae(train: dict[str, Any], labels: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    model = Vae()
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    budget = CpuBudget(60 * args.cpu_minutes, model.optimizer)
    steps = len(train["image"]) // args.batch
    model.fit(batches_of(train, args.batch), epochs=1000, steps_per_epoch=steps, callbacks=[budget], verbose=0)
    print(f"{model.encoder.count_params() + model.decoder.count_params():,} parameters, {budget.steps} steps")
    pixels = args.test["image"][..., None].astype(np.float32) / 127.5 - 1.0
    nats, turned = (
        np.concatenate([model.bound(tf.constant(part)).numpy() for part in np.split(each, 20)])
        for each in (pixels, pixels[:, ::-1])
    )
    ranks = np.argsort(np.argsort(np.concatenate([nats, turned])))[len(nats) :]
    auroc = (ranks.sum() - len(nats) * (len(nats) - 1) / 2) / len(nats) ** 2
    print(f"negative ELBO {nats.mean():.1f} nats, AUROC of images upside down {auroc:.3f}")
    latent = tf.random.normal([len(labels), LATENTS])
    return 2.0 / (1.0 + np.exp(-model.decoder.predict(latent, batch_size=500, verbose=0))) - 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"diffusion": run_diffusion, "gan": run_gan, "vae": run_vae}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--cpu-minutes", type=float, default=16)
    parser.add_argument("--held-out", action="store_true", help="compare with training images that are held out")
    parser.add_argument("--count", type=int, default=5000, help="images to generate, a multiple of 50")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=32, help="of the U-Net")
    parser.add_argument("--steps", type=int, default=20, help="of the diffusion model")
    parser.add_argument("--guidance", type=float, default=1.5, help="of the diffusion model")
    args = parser.parse_args()
    print_machine()
    keras.utils.set_random_seed(args.seed)
    train, args.test = load_parts(args.held_out)
    labels = np.arange(args.count, dtype=np.int32) % 10
    images = kinds[args.kind](train, labels, args)
    images = np.clip(np.round((images[..., 0] + 1.0) * 127.5), 0, 255).astype(np.uint8)
    report(f"plain Keras {args.kind}", images, [str(label) for label in labels], args.test["image"])


if __name__ == "__main__":
    main()
