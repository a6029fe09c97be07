"""Images by label and seed, from the graph that is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlkit.errors import HparamError
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator


def generate(task: ImageGenerator, label: str, count: int, seed: int, options: dict[str, Any]) -> list[Any]:
    """Generate images; see `ImageGenerator.generate`."""
    if count < 1:
        raise HparamError(f"`count` must be at least 1. Received: {count}.")
    unknown = [name for name, value in options.items() if value is not None and name not in task.inputs]
    if unknown:
        raise HparamError(f"{option('network', task.network)} has no {unknown[0]}: it applies to diffusion.")
    given = {name: value for name, value in options.items() if value is not None}
    requests = [{"label": label, "seed": seed + number, **given} for number in range(count)]
    return [answer["image"] for answer in task.predict(requests)]
