"""Knobs that make a task quick, for checks that do not depend on its size."""

SMALL = {  # for a few steps
    "object_detection": {"width": 8, "image_size": 64},
    "image_segmentation": {"width": 8, "depth": 2, "image_size": 64},
}
LEARNS = {  # enough to be clearly better than the baseline
    "object_detection": {"width": 16, "image_size": 96, "epochs": 14, "mosaic": 0.0},
    "image_segmentation": {"width": 8, "depth": 3, "image_size": 96, "epochs": 6},
}


def small(name, **knobs):
    """The knobs of a task for a few steps, and those given."""
    return {**SMALL.get(name, {}), **knobs}
