"""Generative adversarial networks: a generator and its critic as one model, trained by one optimizer.

Each loss reaches one of the two alone. The critic judges generated images twice: as constants, for its own loss, and
with its own weights as constants, for that of the generator. So the gradient of the sum of both losses is that of two
models that are trained side by side (Goodfellow et al., 2014, arXiv:1406.2661), each step with the same images.
"""

from __future__ import annotations

from typing import Literal

from dlkit.lazy import keras
from dlkit.tasks.image_generation.adversarial import AdversarialLoss, DrawLatent, StopGradient, ToLevels
from dlkit.tasks.image_generation.augment_images import AugmentImages
from dlkit.tasks.image_generation.critic import Critic
from dlkit.tasks.image_generation.generator import generator
from dlkit.tasks.image_generation.network_parts import choose_levels, make_training_inputs


def gan_networks(
    image_shape: tuple[int, int, int],
    num_labels: int,
    *,
    width: int = 32,
    depth: int = 0,
    blocks: int = 1,
    patch: int = 0,
    latents: int = 64,
    loss: Literal["hinge", "non_saturating"] = "hinge",
    critic_pace: float = 1.0,
    augmented: float = 0.0,
) -> tuple[keras.Model, keras.Model]:
    """Build a generative adversarial network.

    Args:
        image_shape: (height, width, channels).
        num_labels: number of labels; 0 for a model without labels.
        width, depth, blocks, patch, latents: of the generator; see
            `dlkit.tasks.image_generation.generator.generator`. The critic has the same width.
        loss: "hinge" or "non_saturating"; see `AdversarialLoss`.
        critic_pace: learning rate of the critic as a multiple of that of the generator.
        augmented: share of the images that are changed before the critic judges them, in [0, 1].

    Returns:
        Tuple of two functional models with the same generator. The first one, which is trained, maps `image`, (batch,
        height, width, channels) uint8, `label_id`, (batch,) int32, and `row_seed`, (batch, 2) int32, to the losses
        `critic` and `generator`, (batch, 1) float32. The second one maps `seed` and `label_id`, (batch,) int32, to
        `image`, uint8.
    """
    patch, depth = choose_levels(image_shape, patch, depth)
    sizes = {"width": width, "depth": depth, "blocks": blocks, "patch": patch, "latents": latents}
    paint = generator(image_shape, max(num_labels, 1), **sizes)
    judge = Critic(image_shape, num_labels, width=width, patch=patch, pace=critic_pace)
    inputs = make_training_inputs(image_shape)
    image, label_id, row_seed = inputs.values()
    latent = DrawLatent(latents, name="latent")(row_seed)
    painted = paint({"latent": latent, "label_id": label_id})["image"]
    real = keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="rescale")(image)
    real = AugmentImages(augmented, 1, name="augment_real")(real, row_seed)
    painted = AugmentImages(augmented, 2, name="augment_generated")(painted, row_seed)
    losses = AdversarialLoss(loss, name="losses")(
        real=judge(real, label_id, frozen=False),
        held=judge(StopGradient(name="held")(painted), label_id, frozen=False),
        generated=judge(painted, label_id, frozen=True),
    )
    network = keras.Model(inputs, losses, name="gan")
    seed = keras.Input((), dtype="int32", name="seed")
    label_id = keras.Input((), dtype="int32", name="label_id")
    painted = paint({"latent": DrawLatent(latents, name="latent")(seed), "label_id": label_id})["image"]
    request = {"seed": seed, "label_id": label_id}
    return network, keras.Model(request, {"image": ToLevels(name="levels")(painted)}, name="decode")
