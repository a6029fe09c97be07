"""What networks of images share: what they are trained on, their number of levels, and the patches of the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import keras

if TYPE_CHECKING:
    from keras import KerasTensor


def make_training_inputs(image_shape: tuple[int, ...]) -> dict[str, KerasTensor]:
    """Make the inputs of a network that is trained.

    Args:
        image_shape: (height, width, channels).

    Returns:
        `image`, (batch, height, width, channels) uint8; `label_id`, (batch,) int32, 0 for no label; and `row_seed`,
        (batch, 2) int32, of the random numbers of each row.
    """
    return {
        "image": keras.Input(image_shape, dtype="uint8", name="image"),
        "label_id": keras.Input((), dtype="int32", name="label_id"),
        "row_seed": keras.Input((2,), dtype="int32", name="row_seed"),
    }


def choose_levels(image_shape: tuple[int, ...], patch: int = 0, depth: int = 0) -> tuple[int, int]:
    """Return the side of the patches in pixels and the number of levels, where 0 asks for a choice.

    Examples:
        >>> choose_levels((28, 28, 1)), choose_levels((128, 96, 3))
        ((2, 2), (4, 3))
    """
    side = max(image_shape[:2])
    patch = patch or (1 if side < 24 else 2 if side <= 64 else 4)
    return patch, depth or (2 if side <= 16 * patch else 3)
