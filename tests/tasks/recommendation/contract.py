"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

SMALL_HPARAMS = {"width": 16, "hidden": 32}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {"width": 16, "hidden": 32, "epochs": 20}
RECIPE_FLAGS = ["--width", "16", "--epochs", "2"]
EDGE_INPUTS = {
    "empty": lambda: "",
    "unknown": lambda: "nobody 🎉",
    "known": lambda: "u001",
    "of an item": lambda: "comedy-01",
    "bytes": lambda: "é".encode(),
    "very long": lambda: "x" * 100_000,
}
INVALID_INPUTS = {"a fraction": 3.5, "not UTF-8": b"\xff\xfe", "a dict": {}}
