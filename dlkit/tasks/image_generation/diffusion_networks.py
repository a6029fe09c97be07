"""The networks of image generators: what is trained, and what generates with its weights."""

from __future__ import annotations

from typing import Literal

from dlkit.lazy import keras
from dlkit.tasks.image_generation.diffusion import AddNoise, DiffusionSampler, MeanSquaredDifference
from dlkit.tasks.image_generation.network_parts import choose_levels, make_training_inputs
from dlkit.tasks.image_generation.unet import unet


def diffusion_networks(
    image_shape: tuple[int, ...],
    num_labels: int,
    *,
    width: int = 48,
    depth: int = 0,
    blocks: int = 2,
    patch: int = 0,
    dropout: float = 0.0,
    sampler: Literal["ddim", "ancestral"] = "ddim",
) -> tuple[keras.Model, keras.Model]:
    """Build a diffusion model.

    Args:
        image_shape: (height, width, channels).
        num_labels: number of labels; 0 for a model without labels.
        width, blocks, dropout: of the U-Net; see `dlkit.tasks.image_generation.unet.unet`.
        depth: number of levels; 0 selects it.
        patch: side of the patches in pixels; 0 selects it.
        sampler: "ddim" or "ancestral".

    Returns:
        Tuple of two functional models with the same weights. The first one, which is trained, maps `image`, (batch,
        height, width, channels) uint8, `label_id`, (batch,) int32, and `row_seed`, (batch, 2) int32, to `objective`,
        (batch, 1) float32, the loss of each row. The second one maps `seed`, `label_id`, `steps` and `guidance`,
        (batch,) each, to `image`, uint8.
    """
    patch, depth = choose_levels(image_shape, patch, depth)
    sizes = {"width": width, "depth": depth, "blocks": blocks, "patch": patch}
    velocity = unet((image_shape[0], image_shape[1], image_shape[2]), max(num_labels, 1), dropout=dropout, **sizes)
    inputs = make_training_inputs(image_shape)
    image, label_id, row_seed = inputs.values()
    noisy = AddNoise(name="add_noise")(image, row_seed)
    predicted = velocity({"noisy_image": noisy["noisy_image"], "time": noisy["time"], "label_id": label_id})
    objective = MeanSquaredDifference(name="objective")(predicted["velocity"], noisy["velocity"])
    network = keras.Model(inputs, {"objective": objective}, name="diffusion")
    kinds = {"seed": "int32", "label_id": "int32", "steps": "int32", "guidance": "float32"}
    request = {name: keras.Input((), dtype=kind, name=name) for name, kind in kinds.items()}
    generated = DiffusionSampler(velocity, sampler, labeled=num_labels > 0, name="sampler")(**request)
    return network, keras.Model(request, {"image": generated}, name="decode")
