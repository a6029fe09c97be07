"""Knobs that make a task quick, for checks that do not depend on its size."""

ALWAYS = {"image_classification", "sentiment"}  # images and texts, in whose checks `make test` takes the core's part
SMALL = {  # for a few steps
    "object_detection": {"width": 8, "image_size": 64},
    "image_segmentation": {"width": 8, "depth": 2, "image_size": 64},
    "translation": {"width": 16, "blocks": 1, "vocabulary_size": 400, "max_tokens": 24},
    "question_answering": {"embedding": 16, "units": 8, "window": 160, "max_question": 24},
    "recommendation": {"width": 16, "hidden": 32},
    "forecasting": {"units": 16, "members": 2, "batch_size": 16},
}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STEADY = {
    name: {"optimizer": "sgd", "learning_rate": 0.01}
    for name in ("object_detection", "image_segmentation", "recommendation")
}
LEARNS = {  # enough to be clearly better than the baseline
    "object_detection": {"width": 16, "image_size": 96, "epochs": 14, "mosaic": 0.0},
    "image_segmentation": {"width": 8, "depth": 3, "image_size": 64, "epochs": 5, "learning_rate": 0.01},
    "translation": {"width": 64, "blocks": 1, "vocabulary_size": 600, "max_tokens": 32, "epochs": 20, "batch_size": 16},
    "question_answering": {
        "embedding": 32,
        "units": 16,
        "window": 160,
        "max_question": 24,
        "epochs": 5,
        "batch_size": 16,
    },
    "recommendation": {"width": 16, "hidden": 32, "epochs": 20},
    "forecasting": {"units": 32, "members": 2, "epochs": 20, "batch_size": 16},
}


def small(name, **knobs):
    """The knobs of a task for a few steps, and those given."""
    return {**SMALL.get(name, {}), **knobs}
