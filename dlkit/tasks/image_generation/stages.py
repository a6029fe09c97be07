"""The stages of image generation: requests, the networks of each kind, and PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.layers.blank_invalid_rows import blank_invalid_rows
from dlkit.lazy import keras
from dlkit.stages import Stages
from dlkit.tasks.image_generation.encode_images import EncodePng
from dlkit.tasks.image_generation.read_request import MAX_GUIDANCE, ReadRequest

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator


def build_stages(task: ImageGenerator) -> Stages:
    """Build the stages of a task that knows its labels and the shape of its images."""
    bounds = {"steps": (1, task.max_steps), "guidance": (0, MAX_GUIDANCE)}
    request = {name: keras.Input((), dtype=column.dtype, name=name) for name, column in task.inputs.items()}
    read = ReadRequest(task.labels_, {name: bounds[name] for name in request if name in bounds}, name="read_request")
    network, decode = _build_networks(task)
    image = keras.Input(task.shape_, dtype="uint8", name="image")
    png = {"image_bytes": EncodePng(name="encode_png")(image)}
    return Stages(
        preprocess=keras.Model(request, read(request), name="preprocess"),
        network=network,
        postprocess=blank_invalid_rows(keras.Model({"image": image}, png, name="postprocess")),
        decode=decode,
    )


def _build_networks(task: ImageGenerator) -> tuple[keras.Model, keras.Model]:
    """Build what is trained and what generates with its weights.

    The first model maps `image`, (batch, height, width, channels) uint8, `label_id`, (batch,) int32, and `row_seed`,
    (batch, 2) int32, to the losses of each row, (batch, 1) float32: `objective`, or those that `LOSSES` names. The
    second one maps what `ReadRequest` makes of a request to `image`, uint8.
    """
    build = {"diffusion": _build_diffusion, "gan": _build_gan, "vae": _build_vae}[task.network]
    return build(task, (task.shape_[0], task.shape_[1], task.shape_[2]))


def _build_diffusion(task: ImageGenerator, shape: tuple[int, int, int]) -> tuple[keras.Model, keras.Model]:
    from dlkit.tasks.image_generation.diffusion_networks import diffusion_networks

    return diffusion_networks(
        shape,
        len(task.labels_),
        width=task.width,
        depth=task.depth,
        blocks=task.blocks,
        patch=task.patch,
        dropout=task.dropout,
        sampler=task.sampler,
    )


def _build_gan(task: ImageGenerator, shape: tuple[int, int, int]) -> tuple[keras.Model, keras.Model]:
    from dlkit.tasks.image_generation.gan_networks import gan_networks

    return gan_networks(
        shape,
        len(task.labels_),
        width=task.width,
        depth=task.depth,
        blocks=task.blocks,
        patch=task.patch,
        loss=task.adversarial_loss,
        critic_pace=task.critic_learning_rate,
        latents=task.latents,
        augmented=task.augmented_share,
    )


def _build_vae(task: ImageGenerator, shape: tuple[int, int, int]) -> tuple[keras.Model, keras.Model]:
    from dlkit.tasks.image_generation.vae_networks import vae_networks

    return vae_networks(
        shape,
        len(task.labels_),
        width=task.width,
        latents=task.latents,
        likelihood=task.likelihood,
        beta=task.beta,
        free_nats=task.free_nats,
    )
