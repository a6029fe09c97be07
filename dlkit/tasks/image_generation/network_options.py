"""Options, inputs of requests, and defaults that depend on the kind of network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator

USED_BY: Mapping[str, Collection[str]] = {  # the networks that use an option; options that are not listed serve all
    "depth": ("diffusion", "gan"),
    "blocks": ("diffusion", "gan"),
    "patch": ("diffusion", "gan"),
    "dropout": ("diffusion",),
    "sampler": ("diffusion",),
    "sampling_steps": ("diffusion",),
    "guidance": ("diffusion",),
    "latents": ("gan", "vae"),
    "adversarial_loss": ("gan",),
    "critic_learning_rate": ("gan",),
    "augmented_share": ("gan",),
    "likelihood": ("vae",),
    "beta": ("vae",),
    "free_nats": ("vae",),
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {  # of a network, where they differ from those of the options
    "gan": {"learning_rate": 1e-3, "momentum": 0.5, "width": 32, "blocks": 1, "latents": 64},
    "vae": {"width": 32, "monitor": "loss"},  # the bound tells how good a model is
}
REQUESTED: Mapping[str, Collection[str]] = {  # the inputs of a request beside `label` and `seed`
    "diffusion": ("steps", "guidance"),
}
LOSSES: Mapping[str, Collection[str]] = {  # the outputs of a network that are losses, if not `objective`
    "gan": ("critic", "generator"),
}


def list_unused_options(task: ImageGenerator) -> list[str]:
    """Return a remark on each option that is not at its default, and that the network does not use."""
    received = option("network", task.network)
    return [
        f"{option(field.name, value)} has no effect with {received}: it applies to {' and '.join(networks)}"
        for field in fields(task)
        for networks, value in [(USED_BY.get(field.name, (task.network,)), getattr(task, field.name))]
        if task.network not in networks and value != field.default
    ]
