"""The levels of networks of images: how many there are, and the patches of the first one."""

from __future__ import annotations


def choose_levels(image_shape: tuple[int, ...], patch: int = 0, depth: int = 0) -> tuple[int, int]:
    """Return the side of the patches in pixels and the number of levels, where 0 asks for a choice.

    Examples:
        >>> choose_levels((28, 28, 1)), choose_levels((128, 96, 3))
        ((2, 2), (4, 3))
    """
    side = max(image_shape[:2])
    patch = patch or (1 if side < 24 else 2 if side <= 64 else 4)
    return patch, depth or (2 if side <= 16 * patch else 3)
