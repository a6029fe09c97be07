"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant.

The baseline, `baseline_kid_skill`, is that of images whose pixels are each from another image.
"""

SMALL_HPARAMS = {"width": 8, "blocks": 1, "depth": 1, "sampling_steps": 2, "feature_model": "patches"}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {"width": 16, "blocks": 1, "sampling_steps": 8, "epochs": 10, "learning_rate": 5e-3, "ema": 0.98}
RECIPE_FLAGS = [
    "--width",
    "8",
    "--blocks",
    "1",
    "--depth",
    "1",
    "--sampling-steps",
    "2",
    "--epochs",
    "2",
    "--feature-model",
    "patches",
]
EDGE_INPUTS = {
    "a label": lambda: {"label": "3", "seed": 1},
    "no label": lambda: {"label": "", "seed": 2},
    "only a seed": lambda: {"seed": -(2**31)},
    "one step": lambda: {"label": "0", "steps": 1},
    "no guidance": lambda: {"label": "7", "guidance": 0.0},
    "strong guidance": lambda: {"label": "7", "guidance": 50.0},
}
INVALID_INPUTS = {
    "an unknown label": {"label": "a cat"},
    "no steps": {"label": "3", "steps": 0},
    "too many steps": {"label": "3", "steps": 2**20},
    "negative guidance": {"label": "3", "guidance": -1.0},
    "guidance that is no number": {"label": "3", "guidance": float("nan")},
    "a label that is a fraction": {"label": 3.5},
}
EQUAL_INPUTS = {"defaults": [{"label": "5", "seed": 0}, {"label": "5"}, {"label": "5", "steps": 8, "guidance": 1.5}]}
